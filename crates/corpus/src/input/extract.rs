//! What wikiextractor writes: plain text between `<doc ...>` and `</doc>`.

use std::io::BufRead;
use std::path::Path;

use super::MAX_RECORD_BYTES;
use super::markup::decode_entities;
use super::pending::Records;
use super::record_lines::RecordLines;
use crate::error::Result;

/// The documents of an extract. The title, which wikiextractor repeats as the first line, is dropped; entities are decoded.
pub(super) struct Extract<R>(RecordLines<R>);

impl<R: BufRead> Extract<R> {
    pub fn new(input: R, path: &Path) -> Self {
        Self(RecordLines::new(input, path))
    }

    fn text(&self) -> Result<&str> {
        let text = std::str::from_utf8(&self.0.buffer).map_err(|e| {
            let reason = format!("byte {} is not valid UTF-8; convert the file to UTF-8", e.valid_up_to() + 1);
            self.0.bad(self.0.number, reason)
        })?;
        Ok(text.trim_start_matches('\u{feff}').trim())
    }
}

impl<R: BufRead + Send> Records for Extract<R> {
    fn next_text(&mut self) -> Result<Option<String>> {
        let (opened, title) = loop {
            if !self.0.advance("")? {
                return Ok(None);
            }
            let line = self.text()?;
            if line.starts_with("<doc ") && line.ends_with('>') {
                break (self.0.number, decode_entities(attribute(line, "title").unwrap_or_default()));
            }
            if !line.is_empty() {
                let reason = "text outside of a document; `<doc id=\"..\" title=\"..\">` is expected";
                return Err(self.0.bad(self.0.number, reason));
            }
        };
        let mut body = String::new();
        loop {
            if !self.0.advance("")? {
                return Err(self.0.bad(opened, "this `<doc>` has no `</doc>`; is the file cut short?"));
            }
            let line = self.text()?;
            if line == "</doc>" {
                return Ok(Some(body));
            }
            if line.starts_with("<doc ") && line.contains("id=\"") {
                return Err(self.0.bad(self.0.number, format!("a `<doc>` within the one of line {opened}")));
            }
            let line = decode_entities(line);
            if line.is_empty() || (body.is_empty() && line == title) {
                continue;
            }
            if body.len() + line.len() > MAX_RECORD_BYTES {
                return Err(self.0.bad(opened, format!("this document is longer than {MAX_RECORD_BYTES} bytes")));
            }
            body.push_str(&line);
            body.push('\n');
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
    use crate::input::pending::RecordDocuments;

    fn read(text: &str) -> Result<Vec<String>> {
        all(RecordDocuments::new(Extract::new(text.as_bytes(), Path::new("wiki_00"))))
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
