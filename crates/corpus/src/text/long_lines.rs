//! Lines of a text of any length: what is too long for one buffer comes in pieces.

use std::io::BufRead;
use std::path::PathBuf;

use crate::error::{Error, Result};

/// A line longer than this many bytes comes in pieces, cut after white space where there is some.
pub(super) const MAX_PIECE_BYTES: usize = 1 << 20;

/// A line, or a piece of one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// The text without its line break.
    pub text: &'a str,
    /// False where more of the same line follows.
    pub ends_line: bool,
}

/// Reads lines in bounded memory. A byte-order mark at the start is dropped, and so is one CR before a LF.
pub(super) struct LongLines<R> {
    input: R,
    path: PathBuf,
    limit: usize,
    line: u64,
    /// Bytes of the current line that were handed out before what is in `buffer`.
    before: usize,
    buffer: Vec<u8>,
    /// Bytes at the start of `buffer` that were handed out.
    used: usize,
    /// The buffer holds the end of the line, whose break is taken off.
    complete: bool,
}

impl<R: BufRead> LongLines<R> {
    pub fn new(input: R, path: PathBuf) -> Self {
        Self::with_limit(input, path, MAX_PIECE_BYTES)
    }

    fn with_limit(input: R, path: PathBuf, limit: usize) -> Self {
        Self { input, path, limit, line: 0, before: 0, buffer: Vec::new(), used: 0, complete: true }
    }

    /// The next line or piece; `None` at the end.
    pub fn next_piece(&mut self) -> Result<Option<Piece<'_>>> {
        let first = self.complete;
        if first {
            (self.line, self.before) = (self.line + 1, 0);
            self.buffer.clear();
        } else {
            self.before += self.used;
            self.buffer.drain(..self.used);
        }
        self.used = 0;
        // Two more than the limit, so that a line of just that length is seen to end.
        let room = (self.limit + 2 - self.buffer.len().min(self.limit + 2)) as u64;
        let read = std::io::Read::take(&mut self.input, room)
            .read_until(b'\n', &mut self.buffer)
            .map_err(|e| Error::io(&self.path, e))?;
        if first && read == 0 {
            return Ok(None);
        }
        let broken = self.buffer.last() == Some(&b'\n');
        if broken {
            self.buffer.pop();
            self.buffer.pop_if(|b| *b == b'\r');
        }
        self.complete = broken || (read as u64) < room;
        if self.line == 1 && first && self.buffer.starts_with("\u{feff}".as_bytes()) {
            self.buffer.drain(.."\u{feff}".len());
        }
        let (valid, bad) = match std::str::from_utf8(&self.buffer) {
            Ok(_) => (self.buffer.len(), None),
            // A character that the end of the buffer cuts in two.
            Err(e) if e.error_len().is_none() && !self.complete => (e.valid_up_to(), None),
            Err(e) => (0, Some(e.valid_up_to())),
        };
        if let Some(at) = bad {
            return Err(Error::NotUtf8 { path: self.path.clone(), line: self.line, offset: self.before + at + 1 });
        }
        self.used = if self.complete { valid } else { cut(&self.buffer[..valid]) };
        let text = std::str::from_utf8(&self.buffer[..self.used]).unwrap_or_default();
        Ok(Some(Piece { text, ends_line: self.complete }))
    }

    /// The number of the line that was handed out last, from 1.
    #[cfg(test)]
    fn line(&self) -> u64 {
        self.line
    }
}

/// Where to cut: after the last ASCII white space of the second half, else at the end.
fn cut(bytes: &[u8]) -> usize {
    let half = bytes.len() / 2;
    bytes[half..].iter().rposition(u8::is_ascii_whitespace).map_or(bytes.len(), |at| half + at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(bytes: &[u8], limit: usize) -> Result<Vec<(String, bool)>> {
        let mut lines = LongLines::with_limit(bytes, PathBuf::from("x.txt"), limit);
        let mut out = Vec::new();
        while let Some(piece) = lines.next_piece()? {
            out.push((piece.text.to_owned(), piece.ends_line));
        }
        Ok(out)
    }

    fn whole(lines: &[&str]) -> Vec<(String, bool)> {
        lines.iter().map(|l| ((*l).to_owned(), true)).collect()
    }

    #[test]
    fn short_lines_come_whole() {
        assert_eq!(pieces(b"\xef\xbb\xbfa\r\nb\n\nc", 10).unwrap(), whole(&["a", "b", "", "c"]));
        assert_eq!(pieces(b"", 10).unwrap(), []);
        assert_eq!(pieces(b"abcdefgh\r\nx", 8).unwrap(), whole(&["abcdefgh", "x"]));
    }

    #[test]
    fn long_lines_are_cut_after_white_space_and_between_characters() {
        let found = pieces("ab cd ef gh ij\nééééééé\n".as_bytes(), 8).unwrap();
        let texts: Vec<&str> = found.iter().map(|(t, _)| t.as_str()).collect();
        assert_eq!(texts, ["ab cd ef ", "gh ij", "ééééé", "éé"]);
        assert_eq!(found.iter().map(|(_, end)| *end).collect::<Vec<_>>(), [false, true, false, true]);
    }

    #[test]
    fn a_bad_byte_is_reported_with_its_place_in_the_line() {
        let message = pieces(b"ok\nab cd ef gh\xff\n", 6).unwrap_err().to_string();
        assert!(message.starts_with("x.txt:2: byte 12 of the line"), "{message}");
        assert!(pieces(b"ab\xc3", 6).unwrap_err().to_string().starts_with("x.txt:1: byte 3"));
    }

    proptest::proptest! {
        #[test]
        fn pieces_join_to_the_text(text in "[a é\n]{0,60}", limit in 4_usize..20) {
            let mut joined = String::new();
            for (piece, ends) in pieces(text.as_bytes(), limit).unwrap() {
                proptest::prop_assert!(piece.len() <= limit + 2);
                joined.push_str(&piece);
                if ends { joined.push('\n'); }
            }
            let wanted = if text.is_empty() || text.ends_with('\n') { text.clone() } else { format!("{text}\n") };
            proptest::prop_assert_eq!(joined, wanted);
        }
    }

    #[test]
    fn pieces_keep_the_number_of_their_line() {
        let mut lines = LongLines::with_limit(&b"aa bb cc dd ee\nf"[..], PathBuf::from("x"), 6);
        let mut numbers = Vec::new();
        while lines.next_piece().unwrap().is_some() {
            numbers.push(lines.line());
        }
        assert_eq!(numbers.last(), Some(&2));
        assert!(numbers.iter().filter(|n| **n == 1).count() >= 2);
    }
}
