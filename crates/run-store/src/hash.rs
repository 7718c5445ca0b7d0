//! SHA-256 as lower-case hexadecimal text.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{Error, Operation, Result};

/// Files are read in pieces of this many bytes, so hashing a large file needs little memory.
const PIECE: usize = 64 * 1024;

/// SHA-256 of `bytes`: 64 lower-case hexadecimal digits.
///
/// ```
/// assert!(run_store::hash::bytes(b"abc").starts_with("ba7816bf"));
/// ```
#[must_use]
pub fn bytes(bytes: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(bytes.as_ref()))
}

/// SHA-256 of the file at `path`.
///
/// # Errors
/// [`Error::Io`] when it cannot be read.
pub fn file(path: impl AsRef<Path>) -> Result<String> {
    size_and_hash(path.as_ref()).map(|(_, hash)| hash)
}

/// Length in bytes and SHA-256 of the file at `path`, both from one pass.
pub(crate) fn size_and_hash(path: &Path) -> Result<(u64, String)> {
    let failed = |e| Error::io(Operation::Read, path, e);
    let mut file = File::open(path).map_err(failed)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE];
    let mut size = 0;
    loop {
        let count = match file.read(&mut piece) {
            Ok(0) => return Ok((size, hex(&hasher.finalize()))),
            Ok(count) => count,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(failed(e)),
        };
        hasher.update(&piece[..count]);
        size += count as u64;
    }
}

/// `digest` as lower-case hexadecimal digits.
#[must_use]
pub fn hex(digest: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * digest.len());
    for byte in digest {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    // FIPS 180-4 example values.
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const MILLION_A: &str = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

    #[test]
    fn bytes_hash_to_the_published_values() {
        assert_eq!(bytes(b""), EMPTY);
        assert_eq!(bytes(b"abc"), ABC);
    }

    #[test]
    fn a_file_larger_than_one_piece_hashes_to_the_published_value() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, vec![b'a'; 1_000_000]).unwrap();
        assert_eq!(size_and_hash(&path).unwrap(), (1_000_000, MILLION_A.to_owned()));
    }

    #[test]
    fn a_missing_file_is_named_in_the_error() {
        let message = file("no/such/file").unwrap_err().to_string();
        assert!(message.contains("read no/such/file"), "{message}");
    }
}
