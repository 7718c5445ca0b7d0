//! What wikiextractor writes: plain text between `<doc ...>` and `</doc>`.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use super::markup::decode_entities;
use super::pending::Pending;
use super::{Documents, MAX_RECORD_BYTES};
use crate::error::{Error, Result};

/// The documents of an extract. The title, which wikiextractor repeats as the first line, is dropped; entities are decoded.
pub(super) struct Extract<R> {
    input: R,
    path: PathBuf,
    line: u64,
    buffer: Vec<u8>,
    pending: Pending,
}

impl<R: BufRead> Extract<R> {
    pub fn new(input: R, path: &Path) -> Self {
        Self { input, path: path.to_owned(), line: 0, buffer: Vec::new(), pending: Pending::default() }
    }

    fn bad(&self, line: u64, reason: &str) -> Error {
        Error::input(&self.path, format!("line {line}"), reason)
    }

    /// Reads one line into the buffer; false at the end.
    fn next_line(&mut self) -> Result<bool> {
        self.buffer.clear();
        let most = MAX_RECORD_BYTES as u64 + 1;
        let read = (&mut self.input)
            .take(most)
            .read_until(b'\n', &mut self.buffer)
            .map_err(|e| Error::input(&self.path, format!("line {}", self.line + 1), e.to_string()))?;
        self.line += 1;
        if read as u64 == most && self.buffer.last() != Some(&b'\n') {
            return Err(self.bad(self.line, &format!("the line is longer than {MAX_RECORD_BYTES} bytes")));
        }
        Ok(read > 0)
    }

    fn text(&self) -> Result<&str> {
        let text = std::str::from_utf8(&self.buffer).map_err(|e| {
            self.bad(self.line, &format!("byte {} is not valid UTF-8; convert the file to UTF-8", e.valid_up_to() + 1))
        })?;
        Ok(text.trim_start_matches('\u{feff}').trim())
    }

    fn next_page(&mut self) -> Result<Option<String>> {
        let (opened, title) = loop {
            if !self.next_line()? {
                return Ok(None);
            }
            let line = self.text()?;
            if line.starts_with("<doc ") && line.ends_with('>') {
                break (self.line, decode_entities(attribute(line, "title").unwrap_or_default()));
            }
            if !line.is_empty() {
                return Err(
                    self.bad(self.line, "text outside of a document; `<doc id=\"..\" title=\"..\">` is expected")
                );
            }
        };
        let mut body = String::new();
        loop {
            if !self.next_line()? {
                return Err(self.bad(opened, "this `<doc>` has no `</doc>`; is the file cut short?"));
            }
            let line = self.text()?;
            if line == "</doc>" {
                return Ok(Some(body));
            }
            if line.starts_with("<doc ") && line.contains("id=\"") {
                return Err(self.bad(self.line, &format!("a `<doc>` within the one of line {opened}")));
            }
            let line = decode_entities(line);
            if line.is_empty() || (body.is_empty() && line == title) {
                continue;
            }
            if body.len() + line.len() > MAX_RECORD_BYTES {
                return Err(self.bad(opened, &format!("this document is longer than {MAX_RECORD_BYTES} bytes")));
            }
            body.push_str(&line);
            body.push('\n');
        }
    }
}

impl<R: BufRead + Send> Documents for Extract<R> {
    fn next_document(&mut self, text: &mut String) -> Result<bool> {
        loop {
            if self.pending.take(text) {
                return Ok(true);
            }
            let Some(page) = self.next_page()? else { return Ok(false) };
            self.pending.set(page);
        }
    }
}

/// The value of an attribute in double quotes.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    let end = tag[start..].find('"')?;
    Some(&tag[start..start + end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::all;

    fn read(text: &str) -> Result<Vec<String>> {
        all(Extract::new(text.as_bytes(), Path::new("wiki_00")))
    }

    #[test]
    fn documents_are_read_without_title_and_blank_lines() {
        let text = "<doc id=\"1\" url=\"u\" title=\"A &amp; B\">\nA &amp; B\n\nFirst &lt;b&gt;.\n\nA &amp; B\n</doc>\n\n<doc id=\"2\" title=\"C\">\n</doc>\n<doc id=\"3\" title=\"D\">\nD\n\nx\n</doc>";
        assert_eq!(read(text).unwrap(), ["First <b>.\nA & B\n", "x\n"]);
    }

    #[test]
    fn what_does_not_open_or_close_is_named_with_its_line() {
        let message = |text: &str| read(text).unwrap_err().to_string();
        assert!(message("\nplain\n").starts_with("wiki_00, line 2: text outside"));
        assert!(message("<doc id=\"1\">\nx\n").starts_with("wiki_00, line 1: this `<doc>` has no"));
        assert!(message("<doc id=\"1\">\nx\n<doc id=\"2\">\n").contains("line 3: a `<doc>` within the one of line 1"));
    }
}
