//! Append-only JSON lines: a run's events, one JSON value a line.
//!
//! A record is complete with its line break and not before. Whatever follows the last line break is
//! a torn line: a writer was cut off, or is writing at this moment. Readers skip it;
//! opening for writing cuts it off, so that the next record does not merge with it.
//!
//! | failure | what readers find |
//! |---|---|
//! | error (full disk) | all earlier lines; the torn rest is cut off before the next append |
//! | process killed | every line that `append` returned from |
//! | power loss | a part of the lines, from the first on: they are not forced to the disk |

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Operation, Result};
use crate::ops;

/// What [`read`] found.
#[derive(Debug, Clone, PartialEq)]
pub struct Records<T> {
    /// The complete records, in order.
    pub records: Vec<T>,
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
        repair(&path)?;
        Ok(Self { path, file, dirty: false })
    }

    /// Appends `record` as one line. It survives the death of the process once this returns.
    ///
    /// # Errors
    /// [`Error::Encode`] when `record` has no JSON form; [`Error::Io`] when the line could not be written. The writer stays
    /// usable: a torn line is cut off first.
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
    let mut number = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        reader.read_until(b'\n', &mut line).map_err(failed)?;
        if !line.ends_with(b"\n") {
            return Ok(Records { records, damaged });
        }
        number += 1;
        match serde_json::from_slice(&line) {
            Ok(record) => records.push(record),
            Err(_) => damaged.push(number),
        }
    }
}

/// Cuts a torn last line off the file at `path`.
fn repair(path: &Path) -> Result<()> {
    let failed = |e| Error::io(Operation::Repair, path, e);
    // A handle of its own: Windows does not let an appending handle shorten the file.
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(failed(e)),
    };
    let size = file.seek(SeekFrom::End(0)).map_err(failed)?;
    let offset = end_of_last_line(&mut file, size).map_err(failed)?;
    if offset == size {
        return Ok(());
    }
    ops::truncate(&file, offset, Operation::Repair, path)?;
    ops::sync_file(&file, path)
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
        assert!(matches!(&error, Error::Io { cause, .. } if cause.kind() == ErrorKind::StorageFull), "{error:?}");
        assert!(error.to_string().contains("earlier lines are intact"), "{error}");
        // What a device that filled up in the middle of the line would have left.
        std::fs::write(&path, "1\n2").unwrap();
        log.file = real;
        log.append(&3).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n3\n");
    }
}
