//! Lines of a UTF-8 text file, streamed, with bounds and positions.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The longest line that is read, in bytes without its line break. The longest real line in GLUE has about 100 kB.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// Reads one line at a time into one buffer. A byte-order mark before line 1 is dropped, and so is one CR before a LF.
pub struct Lines<R> {
    input: R,
    path: PathBuf,
    line: u64,
    buffer: Vec<u8>,
}

impl Lines<BufReader<File>> {
    /// Opens a file.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::io(path, source))?;
        Ok(Self::new(BufReader::with_capacity(64 * 1024, file), path.to_owned()))
    }
}

impl<R: BufRead> Lines<R> {
    /// Reads `input`; `path` appears in errors.
    pub fn new(input: R, path: PathBuf) -> Self {
        Self { input, path, line: 0, buffer: Vec::new() }
    }

    /// The next line and its number from 1; `None` at the end of the file.
    ///
    /// # Errors
    /// A line that is too long or not UTF-8, or the system's refusal to read.
    pub fn next_line(&mut self) -> Result<Option<(u64, &str)>> {
        self.buffer.clear();
        let bound = MAX_LINE_BYTES as u64 + 2;
        let read =
            (&mut self.input).take(bound).read_until(b'\n', &mut self.buffer).map_err(|e| Error::io(&self.path, e))?;
        if read == 0 {
            return Ok(None);
        }
        self.line += 1;
        if self.buffer.last() == Some(&b'\n') {
            self.buffer.pop();
            if self.buffer.last() == Some(&b'\r') {
                self.buffer.pop();
            }
        }
        if self.buffer.len() > MAX_LINE_BYTES {
            let reason =
                format!("the line is longer than {MAX_LINE_BYTES} bytes; is this a text file with one entry per line?");
            return Err(Error::line(&self.path, self.line, reason));
        }
        match std::str::from_utf8(&self.buffer) {
            Ok(text) if self.line == 1 => Ok(Some((1, text.strip_prefix('\u{feff}').unwrap_or(text)))),
            Ok(text) => Ok(Some((self.line, text))),
            Err(bad) => {
                let at = bad.valid_up_to();
                let field = 1 + self.buffer[..at].iter().filter(|b| **b == b'\t').count();
                let reason = format!(
                    "byte {} of the line (tab-separated field {field}) is not valid UTF-8; convert the file to UTF-8",
                    at + 1
                );
                Err(Error::line(&self.path, self.line, reason))
            }
        }
    }

    /// The file that is read.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Result<Vec<String>> {
        let mut reader = Lines::new(bytes, PathBuf::from("x.tsv"));
        let mut out = Vec::new();
        while let Some((number, text)) = reader.next_line()? {
            assert_eq!(number as usize, out.len() + 1);
            out.push(text.to_owned());
        }
        Ok(out)
    }

    #[test]
    fn byte_order_mark_line_breaks_of_both_kinds_and_a_missing_last_one_are_tolerated() {
        assert_eq!(lines(b"\xef\xbb\xbfa\r\nb\n\nc").unwrap(), ["a", "b", "", "c"]);
        assert_eq!(lines(b"").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_bad_byte_is_reported_with_line_byte_and_field() {
        let message = lines(b"ok\nab\tc\xffd\n").unwrap_err().to_string();
        assert!(message.starts_with("x.tsv:2: byte 5 of the line (tab-separated field 2)"), "{message}");
    }

    #[test]
    fn a_line_of_the_maximum_length_is_read_and_a_longer_one_is_an_error() {
        let mut bytes = vec![b'a'; MAX_LINE_BYTES];
        bytes.extend(b"\r\nb");
        assert_eq!(lines(&bytes).unwrap().len(), 2);
        let message = lines(&vec![b'a'; 3 * MAX_LINE_BYTES]).unwrap_err().to_string();
        assert!(message.starts_with("x.tsv:1: the line is longer than"), "{message}");
    }
}
