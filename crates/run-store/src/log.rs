//! Append-only JSON lines: a run's events, one JSON value a line.
//!
//! A record is complete with its line break and not before. Whatever follows the last line break is
//! a torn line: a writer was cut off, or is writing at this moment. Readers skip and report it;
//! opening for writing cuts it off, so that the next record does not merge with it.
//!
//! | failure | what readers find |
//! |---|---|
//! | error (full disk) | all earlier lines; the torn rest is cut off before the next append |
//! | process killed | every line that `append` returned from |
//! | power loss | every line up to the last [`JsonlWriter::sync`], perhaps more |

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Operation, Result};
use crate::ops;

/// A last line without line break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TornTail {
    /// Where it starts, in bytes from the start of the file.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// What [`read`] found.
#[derive(Debug, Clone, PartialEq)]
pub struct Records<T> {
    /// The complete records, in order.
    pub records: Vec<T>,
    /// The torn last line, if there is one; it is not among the records.
    pub torn: Option<TornTail>,
    /// Numbers, from 1, of complete lines that are no valid record and were passed over.
    pub damaged: Vec<u64>,
}

/// Appends records to a JSON-lines file.
///
/// Each record is one `write` call on a file opened for appending, so records of several writers do
/// not interleave on a local Unix file system. Repairs assume a single writer: hold the
/// [run lock](crate::lock).
#[derive(Debug)]
pub struct JsonlWriter {
    path: PathBuf,
    file: File,
    repaired: Option<TornTail>,
    /// Whether a failed append may have left a torn line.
    dirty: bool,
}

impl JsonlWriter {
    /// Opens the log at `path`, creating it if needed and cutting off a torn last line.
    ///
    /// # Errors
    /// When the file cannot be opened, read, repaired or created.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let failed = |e| Error::io(Operation::Append, &path, e);
        let is_new = !path.exists();
        let file = ops::open_append(&path).map_err(failed)?;
        if is_new {
            ops::sync_dir(ops::parent(&path))?;
        }
        let repaired = repair(&path)?;
        Ok(Self { path, file, repaired, dirty: false })
    }

    /// The torn line that [`open`](Self::open) cut off, if there was one.
    #[must_use]
    pub fn repaired(&self) -> Option<TornTail> {
        self.repaired
    }

    /// The log's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends `record` as one line. It survives the death of the process once this returns, and a
    /// power loss after the next [`sync`](Self::sync).
    ///
    /// # Errors
    /// [`Error::Encode`] when `record` has no JSON form; [`Error::NoSpace`] and its kin when the
    /// line could not be written. The writer stays usable: a torn line is cut off first.
    pub fn append(&mut self, record: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(record).map_err(|cause| Error::Encode { path: self.path.clone(), cause })?;
        line.push(b'\n');
        if self.dirty {
            repair(&self.path)?;
        }
        self.dirty = true;
        ops::write_all(&self.file, &line, Operation::Append, &self.path)?;
        self.dirty = false;
        Ok(())
    }

    /// Forces all appended lines to the disk.
    ///
    /// # Errors
    /// When the system reports that they may not have reached it.
    pub fn sync(&self) -> Result<()> {
        ops::sync_file(&self.file, &self.path)
    }
}

/// Reads every complete record of the log at `path`. A log tells what happened, and nothing is decided by it: a line that is no valid
/// `T` is passed over and [reported](Records::damaged).
///
/// # Errors
/// An error of reading, also when the file does not exist.
pub fn read<T: DeserializeOwned>(path: impl AsRef<Path>) -> Result<Records<T>> {
    let path = path.as_ref();
    let failed = |e| Error::io(Operation::Read, path, e);
    let mut reader = BufReader::new(File::open(path).map_err(failed)?);
    let (mut records, mut damaged) = (Vec::new(), Vec::new());
    let (mut offset, mut number) = (0, 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line).map_err(failed)? as u64;
        if !line.ends_with(b"\n") {
            let torn = (length > 0).then_some(TornTail { offset, length });
            return Ok(Records { records, torn, damaged });
        }
        number += 1;
        match serde_json::from_slice(&line) {
            Ok(record) => records.push(record),
            Err(_) => damaged.push(number),
        }
        offset += length;
    }
}

/// Cuts a torn last line off the file at `path`.
fn repair(path: &Path) -> Result<Option<TornTail>> {
    let failed = |e| Error::io(Operation::Repair, path, e);
    // A handle of its own: Windows does not let an appending handle shorten the file.
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    let size = file.seek(SeekFrom::End(0)).map_err(failed)?;
    let offset = end_of_last_line(&mut file, size).map_err(failed)?;
    if offset == size {
        return Ok(None);
    }
    ops::truncate(&file, offset, Operation::Repair, path)?;
    ops::sync_file(&file, path)?;
    let length = size - offset;
    Ok(Some(TornTail { offset, length }))
}

/// The position after the last line break among the first `size` bytes, 0 without one.
fn end_of_last_line(file: &mut File, size: u64) -> std::io::Result<u64> {
    const PIECE: u64 = 8 * 1024;
    let mut piece = [0; PIECE as usize];
    let mut end = size;
    while end > 0 {
        let start = end.saturating_sub(PIECE);
        let piece = &mut piece[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(piece)?;
        if let Some(at) = piece.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_reported_and_the_next_append_cuts_the_torn_line_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.jsonl");
        let mut log = JsonlWriter::open(&path).unwrap();
        log.append(&1).unwrap();
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let real = std::mem::replace(&mut log.file, full);
        let error = log.append(&2).unwrap_err();
        assert!(matches!(error, Error::NoSpace { .. }), "{error:?}");
        assert!(error.to_string().contains("earlier lines are intact"), "{error}");
        // What a device that filled up in the middle of the line would have left.
        std::fs::write(&path, "1\n2").unwrap();
        log.file = real;
        log.append(&3).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n3\n");
    }
}
