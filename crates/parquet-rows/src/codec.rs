//! Pages out of their compression, never larger than they say and never larger than [`MAX_PAGE_BYTES`].

use std::io::Read;

/// The largest page that is unpacked. Writers make pages of 1 MiB, DuckDB of up to 100 MB.
pub(super) const MAX_PAGE_BYTES: u64 = 128 << 20;

/// How a column's pages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    None,
    Snappy,
    Gzip,
    Zstd,
    /// By its name in the format.
    Other(&'static str),
}

impl Codec {
    pub fn from_code(code: i64) -> Self {
        match code {
            0 => Self::None,
            1 => Self::Snappy,
            2 => Self::Gzip,
            3 => Self::Other("LZO"),
            4 => Self::Other("Brotli"),
            5 => Self::Other("LZ4"),
            6 => Self::Zstd,
            7 => Self::Other("LZ4_RAW"),
            _ => Self::Other("an unknown method"),
        }
    }

    /// Unpacks a page that has `size` bytes when unpacked.
    pub fn unpack(self, packed: Vec<u8>, size: u64) -> Result<Vec<u8>, String> {
        let unpacked = match self {
            Self::None => packed,
            Self::Snappy => {
                let said = snap::raw::decompress_len(&packed).map_err(|e| format!("Snappy: {e}"))?;
                if said as u64 != size {
                    return Err(format!("Snappy holds {said} bytes where the page has {size}"));
                }
                snap::raw::Decoder::new().decompress_vec(&packed).map_err(|e| format!("Snappy: {e}"))?
            }
            Self::Gzip => read_up_to(flate2::read::MultiGzDecoder::new(&packed[..]), size, "gzip")?,
            Self::Zstd => {
                let decoder =
                    ruzstd::decoding::StreamingDecoder::new(&packed[..]).map_err(|e| format!("Zstandard: {e}"))?;
                read_up_to(decoder, size, "Zstandard")?
            }
            Self::Other(name) => {
                return Err(format!(
                    "the page is compressed with {name}, which is not supported; write the file again with snappy, gzip, zstd or without compression"
                ));
            }
        };
        match unpacked.len() as u64 == size {
            true => Ok(unpacked),
            false => Err(format!("the page unpacks to {} bytes instead of {size}", unpacked.len())),
        }
    }
}

/// Memory follows what really comes out, not what a damaged header announces.
fn read_up_to(input: impl Read, size: u64, name: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    input.take(size + 1).read_to_end(&mut out).map_err(|e| format!("{name}: {e}"))?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_are_not_those_of_the_page_are_refused() {
        let text = vec![7_u8; 1000];
        let snappy = snap::raw::Encoder::new().compress_vec(&text).unwrap();
        assert_eq!(Codec::Snappy.unpack(snappy.clone(), 1000).unwrap(), text);
        assert!(Codec::Snappy.unpack(snappy, 999).unwrap_err().contains("1000 bytes where the page has 999"));
        assert!(Codec::None.unpack(text, 5).is_err());
        assert!(Codec::Gzip.unpack(vec![1, 2, 3], 5).unwrap_err().starts_with("gzip"));
        assert!(Codec::Zstd.unpack(vec![1, 2, 3], 5).unwrap_err().starts_with("Zstandard"));
        assert!(Codec::from_code(4).unpack(vec![], 0).unwrap_err().contains("Brotli"));
    }
}
