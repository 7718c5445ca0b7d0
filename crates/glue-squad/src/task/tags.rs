//! The tags of the words of a text.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Stands for white space inside of a word where words are joined by spaces. Tokenizers take it for white space too.
const INNER_SPACE: char = '\u{a0}';

/// One tag for each word of a text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tags {
    /// Indices into [`super::Task::labels`].
    pub tags: Vec<u16>,
    /// A number for each word that equal words share, by which [`super::Majority`] knows words again.
    pub keys: Vec<u64>,
}

impl Tags {
    /// The most tags that a task can have.
    pub const MOST: usize = 4096;

    /// Tags of these words.
    pub fn new<'a>(words: impl IntoIterator<Item = &'a str>, tags: Vec<u16>) -> Self {
        Self { tags, keys: words.into_iter().map(key).collect() }
    }
}

/// FNV-1a, which is the same everywhere.
pub(super) fn key(word: &str) -> u64 {
    word.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The text of some words: one space between two of them. White space inside of a word becomes a no-break space, which a word without any
/// character is too, so that [`words_of`] finds them again.
pub fn join_words<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for (at, word) in words.into_iter().enumerate() {
        if at > 0 {
            text.push(' ');
        }
        if word.is_empty() {
            text.push(INNER_SPACE);
        }
        text.extend(word.chars().map(|c| if c.is_whitespace() { INNER_SPACE } else { c }));
    }
    text
}

/// The words of such a text, as byte ranges.
pub fn words_of(text: &str) -> Vec<Range<usize>> {
    if text.is_empty() {
        return Vec::new();
    }
    let mut start = 0;
    let range = |word: &str| {
        let range = start..start + word.len();
        start = range.end + 1;
        range
    };
    text.split(' ').map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_words_are_found_again() {
        let text = join_words(["1 000", "", "a\tb", "é"]);
        assert_eq!(text, "1\u{a0}000 \u{a0} a\u{a0}b é");
        let found: Vec<&str> = words_of(&text).into_iter().map(|word| &text[word]).collect();
        assert_eq!(found, ["1\u{a0}000", "\u{a0}", "a\u{a0}b", "é"]);
        assert!(words_of(&join_words([])).is_empty());
    }

    #[test]
    fn equal_words_share_a_key() {
        let tags = Tags::new(["a", "b", "a"], vec![0, 1, 2]);
        assert_eq!(tags.keys[0], tags.keys[2]);
        assert_ne!(tags.keys[0], tags.keys[1]);
    }
}
