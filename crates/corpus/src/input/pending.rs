//! A long text handed out in documents of bounded size.

/// Documents are cut to about this many bytes, as in plain text.
const MAX_DOCUMENT_BYTES: usize = 1 << 20;

/// A text of which the rest is still to be handed out.
#[derive(Debug, Default)]
pub(super) struct Pending {
    text: String,
    at: usize,
}

impl Pending {
    /// Begins with another text.
    pub fn set(&mut self, text: String) {
        (self.text, self.at) = (text, 0);
    }

    /// Appends the next part that is not blank and a line break; false where nothing is left.
    pub fn take(&mut self, out: &mut String) -> bool {
        self.take_up_to(out, MAX_DOCUMENT_BYTES)
    }

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
