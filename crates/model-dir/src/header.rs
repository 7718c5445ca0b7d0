//! The header of a safetensors file.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use crate::bytes::matrix_of;
use crate::{Error, Result};

/// Longest safetensors header that is read; the format's own limit.
const MAX_HEADER: u64 = 100_000_000;

/// Tensor names from the header of a safetensors file; the values are not read. The scales of a matrix in bytes are part of
/// it and have no name here.
///
/// # Errors
/// The file cannot be read, or has no such header.
pub fn tensor_names(path: &Path) -> Result<Vec<String>> {
    let header = header(path)?;
    let is_tensor =
        |name: &&String| *name != "__metadata__" && !matrix_of(name).is_some_and(|name| is_bytes(&header, name));
    Ok(header.keys().filter(is_tensor).cloned().collect())
}

/// Names of the tensors that a safetensors file has in 8-bit integers.
///
/// # Errors
/// As [`tensor_names`].
pub(crate) fn byte_names(path: &Path) -> Result<BTreeSet<String>> {
    let header = header(path)?;
    Ok(header.keys().filter(|name| is_bytes(&header, name)).cloned().collect())
}

fn is_bytes(header: &Map<String, Value>, name: &str) -> bool {
    header.get(name).and_then(|tensor| tensor.get("dtype")).is_some_and(|dtype| dtype == "I8")
}

fn header(path: &Path) -> Result<Map<String, Value>> {
    let bad = |message: String| Error::WeightFile { path: path.to_path_buf(), format: "safetensors", message };
    let io = |e| Error::io("read", path, e);
    let mut file = File::open(path).map_err(io)?;
    let available = file.metadata().map_err(io)?.len();
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|_| bad(format!("only {available} bytes long")))?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER || length + 8 > available {
        return Err(bad(format!("its header claims {length} bytes, the file has {available}")));
    }
    let mut header = vec![0; length as usize];
    file.read_exact(&mut header).map_err(io)?;
    serde_json::from_slice(&header).map_err(|e| bad(e.to_string()))
}
