//! An entry as a file: it proves what it is and that it is whole.
//!
//! ```text
//! magic    8 bytes
//! digest   SHA-256 of all that follows, 64 hexadecimal digits
//! key      64 hexadecimal digits
//! count    u32, number of tensors
//! tensor   format u8 (0 f32, 1 f16), rank u8, sizes u64 each, values
//! ```
//!
//! Numbers are little-endian. A torn, changed or renamed file is told from a whole one by digest and key, so an entry needs no trust
//! in whoever wrote it last.

use burn::tensor::f16;

use super::pieces::{HostPiece, Values};

const MAGIC: &[u8; 8] = b"ebteach1";
const DIGITS: usize = 64;
/// No tensor of an encoder has more.
const MOST_RANKS: usize = 8;

/// Length of the file of an entry.
pub(super) fn length(pieces: &[HostPiece]) -> u64 {
    let tensors: u64 = pieces.iter().map(|p| 2 + 8 * p.shape.len() as u64 + p.values.bytes()).sum();
    (MAGIC.len() + 2 * DIGITS + 4) as u64 + tensors
}

/// The file of an entry.
pub(super) fn encode(key: &str, pieces: &[HostPiece]) -> Vec<u8> {
    let mut body = Vec::with_capacity(length(pieces) as usize);
    body.extend_from_slice(key.as_bytes());
    body.extend_from_slice(&(pieces.len() as u32).to_le_bytes());
    for piece in pieces {
        body.push(u8::from(matches!(piece.values, Values::F16(_))));
        body.push(piece.shape.len() as u8);
        for &size in &piece.shape {
            body.extend_from_slice(&(size as u64).to_le_bytes());
        }
        let start = body.len();
        body.resize(start + piece.values.bytes() as usize, 0);
        match &piece.values {
            Values::F32(values) => {
                for (to, value) in body[start..].chunks_exact_mut(4).zip(values) {
                    to.copy_from_slice(&value.to_le_bytes());
                }
            }
            Values::F16(values) => {
                for (to, value) in body[start..].chunks_exact_mut(2).zip(values) {
                    to.copy_from_slice(&value.to_le_bytes());
                }
            }
        }
    }
    let digest = run_store::hash::bytes(&body);
    [MAGIC.as_slice(), digest.as_bytes(), &body].concat()
}

/// The tensors of a file.
///
/// # Errors
/// What is wrong with it; nothing of it is to be used then.
pub(super) fn decode(bytes: &[u8], key: &str) -> Result<Vec<HostPiece>, String> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("it is not an entry of a teacher cache")?;
    let (digest, body) = rest.split_at_checked(DIGITS).ok_or("it is cut off")?;
    if run_store::hash::bytes(body).as_bytes() != digest {
        return Err("its checksum does not fit".into());
    }
    let mut reader = Reader(body);
    if reader.take(DIGITS)? != key.as_bytes() {
        return Err("it is an entry for something else".into());
    }
    let count = u32::from_le_bytes(reader.array()?);
    let mut pieces = Vec::new();
    for _ in 0..count {
        pieces.push(reader.piece()?);
    }
    if reader.0.is_empty() { Ok(pieces) } else { Err(format!("{} bytes stand after its end", reader.0.len())) }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("it ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?.try_into().map_err(|_| "it ends too early".to_string())
    }

    fn piece(&mut self) -> Result<HostPiece, String> {
        let [format, rank] = self.array()?;
        if usize::from(rank) > MOST_RANKS {
            return Err(format!("a tensor has {rank} dimensions"));
        }
        let mut shape = Vec::new();
        for _ in 0..rank {
            let size = u64::from_le_bytes(self.array()?);
            shape.push(usize::try_from(size).map_err(|_| format!("a tensor has a size of {size}"))?);
        }
        let elements = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        let bytes =
            |each: usize| elements.and_then(|n| n.checked_mul(each)).ok_or(format!("a tensor has sizes {shape:?}"));
        let values = match format {
            0 => Values::F32(
                self.take(bytes(4)?)?.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            ),
            1 => Values::F16(self.take(bytes(2)?)?.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]])).collect()),
            other => return Err(format!("a tensor is of unknown format {other}")),
        };
        Ok(HostPiece { shape, values })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(digit: &str) -> String {
        digit.repeat(DIGITS)
    }

    fn pieces() -> impl Strategy<Value = Vec<HostPiece>> {
        let piece =
            (prop::collection::vec(0usize..4, 0..4), any::<bool>(), any::<u32>()).prop_map(|(shape, half, seed)| {
                let count = shape.iter().product::<usize>();
                let number = |i: usize| f32::from_bits(seed.wrapping_mul(i as u32 + 1)).clamp(-9.0, 9.0);
                let values = match half {
                    true => Values::F16((0..count).map(|i| f16::from_f32(number(i))).collect()),
                    false => Values::F32((0..count).map(number).collect()),
                };
                HostPiece { shape, values }
            });
        prop::collection::vec(piece, 0..4)
    }

    /// A file whose digest fits, whatever the body is.
    fn signed(body: &[u8]) -> Vec<u8> {
        [MAGIC.as_slice(), run_store::hash::bytes(body).as_bytes(), body].concat()
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_written_again_the_same(pieces in pieces()) {
            let bytes = encode(&key("a"), &pieces);
            prop_assert_eq!(bytes.len() as u64, length(&pieces));
            let read = decode(&bytes, &key("a")).unwrap();
            prop_assert_eq!(encode(&key("a"), &read), bytes, "numbers that are none differ from themselves");
        }

        #[test]
        fn a_cut_or_changed_file_and_one_of_another_key_are_refused(
            pieces in pieces(), at in any::<prop::sample::Index>(), flip in 1u8..,
        ) {
            let bytes = encode(&key("a"), &pieces);
            prop_assert!(decode(&bytes, &key("b")).is_err());
            prop_assert!(decode(&bytes[..at.index(bytes.len())], &key("a")).is_err());
            let mut changed = bytes.clone();
            changed[at.index(bytes.len())] ^= flip;
            prop_assert!(decode(&changed, &key("a")).is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(decode(&bytes, &key("a")).is_err());
            // The same behind a digest that fits, so that every part of the reader sees it.
            let _ = decode(&signed(&bytes), &key("a"));
            let _ = decode(&signed(&[key("a").as_bytes(), &bytes].concat()), &key("a"));
            let counted = [key("a").as_bytes(), &[2, 0, 0, 0, 0, 2], &bytes].concat();
            let _ = decode(&signed(&counted), &key("a"));
        }
    }

    #[test]
    fn sizes_that_no_file_could_hold_are_refused_without_asking_for_memory() {
        let size = u64::MAX.to_le_bytes();
        for sizes in [vec![size], vec![size, size], vec![(1u64 << 60).to_le_bytes(), 0u64.to_le_bytes()]] {
            let head = [1, 0, 0, 0, 0, sizes.len() as u8];
            let body = [key("a").as_bytes(), &head, &sizes.concat()].concat();
            let read = decode(&signed(&body), &key("a"));
            assert!(read.is_err() || read.unwrap()[0].values.bytes() == 0);
        }
    }
}
