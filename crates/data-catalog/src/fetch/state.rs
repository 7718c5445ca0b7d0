//! What stands where a file belongs.

use std::path::Path;

use crate::error::{Error, Result};
use crate::layout::Record;
use crate::manifest::DataFile;

/// What stands where a file belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlacedFile {
    /// Nothing.
    Absent,
    /// The file, as far as manifest and receipt can tell.
    Right {
        /// Its size.
        bytes: u64,
        /// Its SHA-256, where it was computed now or by an earlier fetch.
        sha256: Option<String>,
    },
    /// Something else.
    Other(String),
}

/// Looks at the place of a file. With `hash`, the content is read where a checksum is known; without, the size decides.
///
/// # Errors
/// The file cannot be read.
pub fn file_state(path: &Path, file: &DataFile, receipt: Option<&Record>, hash: bool) -> Result<PlacedFile> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(PlacedFile::Absent),
        Err(e) => return Err(Error::io(path, "cannot be read")(e)),
    };
    if !metadata.is_file() {
        return Ok(PlacedFile::Other("it is a folder or something else than a file".to_owned()));
    }
    let bytes = metadata.len();
    if let Some(expected) = file.bytes.or_else(|| receipt.map(|record| record.bytes))
        && expected != bytes
    {
        return Ok(PlacedFile::Other(format!("the file there has {bytes} bytes instead of {expected}")));
    }
    let known = file.sha256.as_ref().or_else(|| receipt.map(|record| &record.sha256));
    let Some(expected) = known.filter(|_| hash) else {
        return Ok(PlacedFile::Right { bytes, sha256: receipt.map(|record| record.sha256.clone()) });
    };
    let sha256 = run_store::hash::file(path)?;
    if *expected != sha256 {
        return Ok(PlacedFile::Other(format!("the file there has SHA-256 {sha256} instead of {expected}")));
    }
    Ok(PlacedFile::Right { bytes, sha256: Some(sha256) })
}
