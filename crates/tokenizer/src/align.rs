//! Words and the tokens that begin them, for labels of words.

use std::ops::Range;

use crate::encode::{Encoded, WithOffsets};
use crate::error::{Error, Result};
use crate::load::TextEncoder;

/// A text of words as token ids, and where each word begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlignedWords {
    /// The ids and segments with special tokens.
    pub encoded: Encoded,
    /// For every word the position of its first token in [`Encoded::ids`]; `None` where the word was cut off, or where the tokenizer makes
    /// nothing of it, as of a control character.
    pub starts: Vec<Option<u32>>,
}

/// The words of plain text, as byte ranges: white space divides words, and each punctuation mark and each Chinese character is a word by
/// itself.
///
/// Marks are ASCII's, the dashes, quotes and dots of U+2010 to U+205E, `¡ ¿ « »`, and those of Chinese and full-width texts. So `don't` is
/// three words, as BERT's own splitter has it; texts whose words were divided in another way are given as words.
pub fn divide_words(text: &str) -> Vec<Range<usize>> {
    let mut words: Vec<Range<usize>> = Vec::new();
    // Whether the next character goes on with the last word.
    let mut open = false;
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        if c.is_whitespace() || c.is_control() {
            open = false;
        } else if stands_alone(c) {
            words.push(at..end);
            open = false;
        } else if let (true, Some(word)) = (open, words.last_mut()) {
            word.end = end;
        } else {
            words.push(at..end);
            open = true;
        }
    }
    words
}

/// Whether a character is a word by itself.
fn stands_alone(c: char) -> bool {
    let is_mark = c.is_ascii_punctuation()
        || matches!(c, '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}' | '¡' | '¿' | '«' | '»')
        || matches!(c, '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}' | '\u{3014}'..='\u{301f}')
        || matches!(c, '\u{ff01}'..='\u{ff0f}' | '\u{ff1a}'..='\u{ff20}' | '\u{ff3b}'..='\u{ff40}' | '\u{ff5b}'..='\u{ff65}');
    let is_chinese = matches!(
        c,
        '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{2ceaf}'
            | '\u{2f800}'..='\u{2fa1f}'
    );
    is_mark || is_chinese
}

impl TextEncoder {
    /// `[CLS] text [SEP]` of at most `max_len` tokens with the first token of each of `words`, byte ranges of the text in their order that
    /// do not overlap. The text is encoded as a whole, so a tokenizer of any kind sees the spaces that it learned with.
    ///
    /// A token begins a word if it is the first whose own first character, the space before it left out, lies in the word.
    ///
    /// # Errors
    /// `max_len` that leaves no room beside the special tokens, or as [`TextEncoder::encode_plain`].
    pub fn encode_words(&self, text: &str, words: &[Range<usize>], max_len: usize) -> Result<AlignedWords> {
        // One for `[CLS]`, one for `[SEP]`.
        let special = 2;
        if max_len <= special {
            return Err(Error::MaxLenTooSmall { given: max_len, needed: special + 1 });
        }
        let WithOffsets { mut ids, offsets } = self.encode_with_offsets(text)?;
        ids.truncate(max_len - special);
        let mut tokens = offsets.iter().take(ids.len()).enumerate().peekable();
        let starts = words.iter().map(|word| {
            while tokens.next_if(|(_, (start, _))| *start < word.start).is_some() {}
            // `[CLS]` comes before the first token.
            tokens.peek().filter(|(_, (start, _))| *start < word.end).map(|(at, _)| *at as u32 + 1)
        });
        let starts = starts.collect();
        Ok(AlignedWords { encoded: self.assemble(&ids, None), starts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divided(text: &str) -> Vec<&str> {
        divide_words(text).into_iter().map(|word| &text[word]).collect()
    }

    #[test]
    fn white_space_and_marks_divide_plain_text() {
        assert_eq!(
            divided("  Anna lives in  St. Gallen\t(CH)."),
            ["Anna", "lives", "in", "St", ".", "Gallen", "(", "CH", ")", "."]
        );
        assert_eq!(divided("don\u{2019}t “stop”"), ["don", "\u{2019}", "t", "“", "stop", "”"]);
        assert_eq!(divided("我在Berlin。"), ["我", "在", "Berlin", "。"]);
        assert_eq!(divided("cafe\u{301} 3€ 🙂"), ["cafe\u{301}", "3€", "🙂"]);
        assert!(divided(" \n\u{7}").is_empty() && divided("").is_empty());
    }

    proptest::proptest! {
        #[test]
        fn words_of_any_text_are_in_order_and_leave_out_white_space_only(text in ".{0,40}") {
            let words = divide_words(&text);
            let mut end = 0;
            for word in &words {
                proptest::prop_assert!(word.start >= end && word.end > word.start);
                let between = &text[end..word.start];
                proptest::prop_assert!(between.chars().all(|c| c.is_whitespace() || c.is_control()));
                end = word.end;
            }
        }
    }
}
