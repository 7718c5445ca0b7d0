//! An entry as a file with a digest and its key, so that damaged and foreign files are recognized.
//!
//! ```text
//! digest   SHA-256 of all that follows, 64 hexadecimal digits
//! key      64 hexadecimal digits
//! tensors  a safetensors file, in which their names are their places: 0000, 0001, ...
//! ```
//!
//! A torn, changed or renamed file is recognized by digest and key, so an entry is used only as it was written.

use burn::tensor::{DType, TensorData, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors};

const DIGITS: usize = 64;

fn name(place: usize) -> String {
    format!("{place:04}")
}

/// The tensors of an entry as they stand in its file, which is [`HEAD`] bytes longer.
pub(super) fn tensors(pieces: &[TensorData]) -> Result<Vec<u8>, SafeTensorError> {
    let mut views = Vec::with_capacity(pieces.len());
    for (place, piece) in pieces.iter().enumerate() {
        let dtype = if piece.dtype() == DType::F16 { Dtype::F16 } else { Dtype::F32 };
        views.push((name(place), TensorView::new(dtype, piece.shape().to_vec(), piece.as_bytes())?));
    }
    safetensors::serialize(views, None)
}

/// Bytes of a file before its tensors.
pub(super) const HEAD: usize = 2 * DIGITS;

/// The file of an entry.
pub(super) fn encode(key: &str, tensors: &[u8]) -> Vec<u8> {
    let mut file = [&[0; DIGITS], key.as_bytes(), tensors].concat();
    let digest = run_store::hash::bytes(&file[DIGITS..]);
    file[..DIGITS].copy_from_slice(digest.as_bytes());
    file
}

/// The tensors of a file.
///
/// # Errors
/// What is wrong with it; it must not be used then.
pub(super) fn decode(bytes: &[u8], key: &str) -> Result<Vec<TensorData>, String> {
    let (digest, body) = bytes.split_at_checked(DIGITS).ok_or("it is cut off")?;
    if run_store::hash::bytes(body).as_bytes() != digest {
        return Err("its checksum is wrong".into());
    }
    let tensors = body.strip_prefix(key.as_bytes()).ok_or("it belongs to another question")?;
    let tensors = SafeTensors::deserialize(tensors).map_err(|e| e.to_string())?;
    let piece = |place| {
        let view = tensors.tensor(&name(place)).map_err(|e| e.to_string())?;
        let (data, shape) = (view.data(), view.shape().to_vec());
        match view.dtype() {
            Dtype::F32 => {
                Ok(TensorData::new(data.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(), shape))
            }
            Dtype::F16 => {
                Ok(TensorData::new(data.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b)).collect(), shape))
            }
            other => Err(format!("a tensor is of format {other:?}")),
        }
    };
    (0..tensors.len()).map(piece).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(digit: &str) -> String {
        digit.repeat(DIGITS)
    }

    fn pieces() -> impl Strategy<Value = Vec<TensorData>> {
        let piece =
            (prop::collection::vec(0usize..4, 0..4), any::<bool>(), any::<u32>()).prop_map(|(shape, half, seed)| {
                let count = shape.iter().product::<usize>();
                let number = |i: usize| f32::from_bits(seed.wrapping_mul(i as u32 + 1)).clamp(-9.0, 9.0);
                match half {
                    true => TensorData::new((0..count).map(|i| f16::from_f32(number(i))).collect(), shape),
                    false => TensorData::new((0..count).map(number).collect(), shape),
                }
            });
        prop::collection::vec(piece, 0..4)
    }

    fn file(digit: &str, pieces: &[TensorData]) -> Vec<u8> {
        encode(&key(digit), &tensors(pieces).unwrap())
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_written_again_the_same(pieces in pieces()) {
            let bytes = file("a", &pieces);
            prop_assert_eq!(bytes.len(), HEAD + tensors(&pieces).unwrap().len());
            let read = decode(&bytes, &key("a")).unwrap();
            prop_assert_eq!(file("a", &read), bytes, "numbers that are none differ from themselves");
        }

        #[test]
        fn a_cut_or_changed_file_and_one_of_another_key_are_refused(
            pieces in pieces(), at in any::<prop::sample::Index>(), flip in 1u8..,
        ) {
            let bytes = file("a", &pieces);
            prop_assert!(decode(&bytes, &key("b")).is_err());
            prop_assert!(decode(&bytes[..at.index(bytes.len())], &key("a")).is_err());
            let mut changed = bytes.clone();
            changed[at.index(bytes.len())] ^= flip;
            prop_assert!(decode(&changed, &key("a")).is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(decode(&bytes, &key("a")).is_err());
            // The same behind a digest and a key that fit.
            let _ = decode(&encode(&key("a"), &bytes), &key("a"));
        }
    }

    #[test]
    fn sizes_that_no_file_could_hold_are_refused_without_asking_for_memory() {
        for shape in ["[18446744073709551615]", "[1152921504606846976, 1152921504606846976]"] {
            let header = format!(r#"{{"0000":{{"dtype":"F32","shape":{shape},"data_offsets":[0,0]}}}}"#);
            let tensors = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
            assert!(decode(&encode(&key("a"), &tensors), &key("a")).is_err());
        }
    }
}
