//! Lines of bounded length, with their numbers.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use super::MAX_RECORD_BYTES;
use crate::error::{Error, Result};

/// Reads one line after another into a buffer.
pub(super) struct RecordLines<R> {
    input: R,
    path: PathBuf,
    /// The number of the line in the buffer, from 1.
    pub number: u64,
    /// The line with its line break.
    pub buffer: Vec<u8>,
}

impl<R: BufRead> RecordLines<R> {
    pub fn new(input: R, path: &Path) -> Self {
        Self { input, path: path.to_owned(), number: 0, buffer: Vec::new() }
    }

    /// An error at a line.
    pub fn bad(&self, line: u64, reason: impl Into<String>) -> Error {
        Error::input(&self.path, format!("line {line}"), reason)
    }

    /// Reads the next line; false at the end. `hint` is said of one that is too long.
    pub fn advance(&mut self, hint: &str) -> Result<bool> {
        self.buffer.clear();
        let most = MAX_RECORD_BYTES as u64 + 1;
        let read = (&mut self.input).take(most).read_until(b'\n', &mut self.buffer);
        let read = read.map_err(|e| self.bad(self.number + 1, e.to_string()))?;
        if read == 0 {
            return Ok(false);
        }
        self.number += 1;
        if read as u64 == most && self.buffer.last() != Some(&b'\n') {
            return Err(self.bad(self.number, format!("the line is longer than {MAX_RECORD_BYTES} bytes{hint}")));
        }
        Ok(true)
    }
}
