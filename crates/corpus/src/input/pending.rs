//! Texts of records (a line, a row, a page) handed out in documents of bounded size.

use super::Documents;
use crate::error::Result;

/// Documents are cut to about this many bytes, as in plain text.
const MAX_DOCUMENT_BYTES: usize = 1 << 20;

/// What gives one text per record.
pub(super) trait Records: Send {
    /// The text of the next record that has any; `None` at the end.
    fn next_text(&mut self) -> Result<Option<String>>;
}

/// The texts of records as documents; a long text becomes several.
pub(super) struct RecordDocuments<R> {
    records: R,
    pending: Pending,
}

impl<R: Records> RecordDocuments<R> {
    pub fn new(records: R) -> Self {
        Self { records, pending: Pending::default() }
    }
}

impl<R: Records> Documents for RecordDocuments<R> {
    fn next_document(&mut self, text: &mut String) -> Result<bool> {
        while !self.pending.take_up_to(text, MAX_DOCUMENT_BYTES) {
            let Some(next) = self.records.next_text()? else { return Ok(false) };
            self.pending.set(next);
        }
        Ok(true)
    }
}

/// A text of which the rest is still to be handed out.
#[derive(Debug, Default)]
struct Pending {
    text: String,
    at: usize,
}

impl Pending {
    /// Begins with another text.
    fn set(&mut self, text: String) {
        (self.text, self.at) = (text, 0);
    }

    /// Appends the next part that is not blank and a line break; false where nothing is left.
    fn take_up_to(&mut self, out: &mut String, limit: usize) -> bool {
        loop {
            let rest = &self.text[self.at..];
            if rest.is_empty() {
                self.set(String::new());
                return false;
            }
            let part = &rest[..cut(rest, limit)];
            self.at += part.len();
            if !part.trim().is_empty() {
                out.push_str(part.trim());
                out.push('\n');
                return true;
            }
        }
    }
}

/// The end of the first part: all of a short text, else behind the last line break, space or at least character within the limit.
fn cut(text: &str, limit: usize) -> usize {
    if text.len() <= limit {
        return text.len();
    }
    let most = text.floor_char_boundary(limit);
    let half = text.floor_char_boundary(most / 2);
    let window = &text[half..most];
    let at = window.rfind('\n').or_else(|| window.rfind(' ')).map(|at| half + at + 1);
    at.unwrap_or(if most == 0 { text.ceil_char_boundary(1) } else { most })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str, limit: usize) -> Vec<String> {
        let mut pending = Pending::default();
        pending.set(text.to_owned());
        let mut found = Vec::new();
        let mut out = String::new();
        while pending.take_up_to(&mut out, limit) {
            found.push(std::mem::take(&mut out));
        }
        found
    }

    #[test]
    fn long_texts_are_cut_between_lines_then_words_then_characters() {
        assert_eq!(parts("ab\ncd ef\ngh", 100), ["ab\ncd ef\ngh\n"]);
        assert_eq!(parts("ab cd\nef gh", 8), ["ab cd\n", "ef gh\n"]);
        assert_eq!(parts("ab cd ef", 6), ["ab cd\n", "ef\n"]);
        assert_eq!(parts("ééééé", 5), ["éé\n", "éé\n", "é\n"]);
        assert_eq!(parts("東京", 1), ["東\n", "京\n"]);
        assert!(parts(" \n\n ", 2).is_empty() && parts("", 5).is_empty());
    }
}
