//! Building `[CLS] a [SEP]` and `[CLS] a [SEP] b [SEP]`, or what stands in their place ([`PairFrame`](crate::PairFrame)).

use std::sync::Arc;

use run_store::contain;
use run_store::shown::excerpt;

use crate::error::{Error, Result};
use crate::load::{TextEncoder, broken};
use crate::plain::PlainBert;

/// One encoded text or pair; both vectors have the same length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids with the special tokens.
    pub ids: Vec<u32>,
    /// 0 up to and with the first `[SEP]`, then 1; 0 throughout for a tokenizer of one segment.
    pub type_ids: Vec<u8>,
    /// Tokens at the end of the text, or of both, for which there was no room.
    pub left_out: usize,
}

/// What a text that is too long loses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Cut {
    /// Its last tokens.
    #[default]
    End,
    /// Its first tokens.
    Start,
}

impl Cut {
    /// The `count` ids of `ids` that stay.
    fn kept(self, ids: &[u32], count: usize) -> &[u32] {
        match self {
            Self::End => &ids[..count],
            Self::Start => &ids[ids.len() - count..],
        }
    }
}

/// The tokens of a text and where they come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WithOffsets {
    /// Token ids without special tokens.
    pub ids: Vec<u32>,
    /// The bytes of the text that a token stands for: first and one past the last, both on character boundaries. Characters that
    /// the tokenizer dropped (white space, control characters, stripped accents) can lie between two tokens.
    pub offsets: Vec<(usize, usize)>,
}

impl TextEncoder {
    /// The ids of a text without special tokens and the bytes that each covers, not truncated.
    ///
    /// # Errors
    /// As [`TextEncoder::encode_plain`].
    pub fn encode_with_offsets(&self, text: &str) -> Result<WithOffsets> {
        let library = self.library()?;
        let encoded = contain::call(|| library.encode(text, false));
        let encoding = self.checked(encoded, text)?;
        // A tokenizer of bytes can cut a character; whole characters are what a reader of the text can use. The space before a word
        // belongs to the word's first token in some vocabularies, and not to the word.
        let whole = |(mut start, mut end): (usize, usize)| {
            end = end.min(text.len());
            start = start.min(end);
            while !text.is_char_boundary(start) {
                start -= 1;
            }
            while !text.is_char_boundary(end) {
                end += 1;
            }
            let spaces = text[start..end].len() - text[start..end].trim_start().len();
            (start + spaces, end)
        };
        let offsets = encoding.get_offsets().iter().copied().map(whole).collect();
        Ok(WithOffsets { ids: encoding.get_ids().to_vec(), offsets })
    }

    /// The ids of a text without special tokens, not truncated.
    ///
    /// # Errors
    /// The tokenizer fails on the text: a word outside a vocabulary without `[UNK]`.
    pub fn encode_plain(&self, text: &str) -> Result<Vec<u32>> {
        let Some(plain) = &self.plain else { return self.encode_by_library(text) };
        let mut ids = Vec::new();
        for (chunk, simple) in plain.chunks(text) {
            if simple {
                plain.encode_chunk(chunk, &mut ids, |word, ids| plain.encode_word(word, ids));
            } else {
                ids.extend(self.encode_by_library(chunk)?);
            }
        }
        Ok(ids)
    }

    /// As [`TextEncoder::encode_plain`], all of it by the library.
    pub(crate) fn encode_by_library(&self, text: &str) -> Result<Vec<u32>> {
        let library = self.library()?;
        let encoded = contain::call(|| library.encode_fast(text, false));
        Ok(self.checked(encoded, text)?.get_ids().to_vec())
    }

    /// What the tokenizer does without the library, where it is a plain BERT's.
    pub(crate) fn plain(&self) -> Result<Option<Arc<PlainBert>>> {
        match &self.plain {
            Some(plain) => Ok(Some(Arc::clone(plain))),
            None => Ok(PlainBert::read(&self.to_json()?).map(Arc::new)),
        }
    }

    /// What the library answered for `text`, its errors and panics as errors of this crate.
    fn checked(
        &self,
        encoded: std::result::Result<tokenizers::Result<tokenizers::Encoding>, contain::Panicked>,
        text: &str,
    ) -> Result<tokenizers::Encoding> {
        let fail = |reason: &str| broken(&self.source, &format!("cannot encode `{}`: {reason}", excerpt(text)));
        match encoded {
            Ok(Ok(encoding)) => Ok(encoding),
            Ok(Err(reason)) => Err(fail(&excerpt(&reason.to_string()))),
            Err(_) => Err(fail("the tokenizer library failed on it")),
        }
    }

    /// `[CLS] a [SEP]`, or `[CLS] a [SEP] b [SEP]` as [`TextEncoder::frame`] has it, of at most `max_len` tokens. What is too long
    /// loses its end, the longer text first (Hugging Face's `longest_first`: equal halves where both are too long).
    ///
    /// # Errors
    /// `max_len` that leaves no room beside the special tokens, or as [`TextEncoder::encode_plain`].
    pub fn encode_pair(&self, a: &str, b: Option<&str>, max_len: usize) -> Result<Encoded> {
        self.encode_cut(a, b, max_len, Cut::End)
    }

    /// [`TextEncoder::encode_pair`], where what is too long loses its end or its beginning.
    ///
    /// # Errors
    /// As there.
    pub fn encode_cut(&self, a: &str, b: Option<&str>, max_len: usize, cut: Cut) -> Result<Encoded> {
        let special = if b.is_some() { self.frame.special() } else { 2 };
        if max_len <= special {
            return Err(Error::MaxLenTooSmall { given: max_len, needed: special + 1 });
        }
        let a = self.encode_plain(a)?;
        let b = b.map(|text| self.encode_plain(text)).transpose()?;
        let all = a.len() + b.as_ref().map_or(0, Vec::len);
        let (keep_a, keep_b) = longest_first(a.len(), all - a.len(), max_len - special);
        let encoded = self.assemble(cut.kept(&a, keep_a), b.as_ref().map(|ids| cut.kept(ids, keep_b)));
        Ok(Encoded { left_out: all - keep_a - keep_b, ..encoded })
    }

    /// Places the special tokens around ids that already fit.
    pub fn assemble(&self, a: &[u32], b: Option<&[u32]>) -> Encoded {
        let mut ids = Vec::with_capacity(a.len() + b.map_or(2, |b| b.len() + self.frame.special()));
        ids.push(self.cls);
        ids.extend_from_slice(a);
        ids.push(self.sep);
        let mut type_ids = vec![0; ids.len()];
        if let Some(b) = b {
            ids.resize(ids.len() + self.frame.separators() - 1, self.sep);
            type_ids.resize(ids.len(), 0);
            ids.extend_from_slice(b);
            ids.push(self.sep);
            type_ids.resize(ids.len(), self.frame.second_segment());
        }
        Encoded { ids, type_ids, left_out: 0 }
    }
}

/// How many tokens of two texts stay so that together they have at most `budget`.
fn longest_first(a: usize, b: usize, budget: usize) -> (usize, usize) {
    if a + b <= budget {
        return (a, b);
    }
    let (shorter, half) = (a.min(b), budget / 2);
    if shorter <= half {
        let rest = budget - shorter;
        return if a <= b { (a, rest) } else { (rest, b) };
    }
    // An odd token goes to the longer text, to the second of equals.
    if a <= b { (half, budget - half) } else { (budget - half, half) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncation_takes_from_the_longer_text_first() {
        assert_eq!(longest_first(3, 4, 7), (3, 4));
        assert_eq!(longest_first(3, 9, 8), (3, 5));
        assert_eq!(longest_first(9, 3, 8), (5, 3));
        assert_eq!(longest_first(9, 8, 7), (4, 3));
        assert_eq!(longest_first(8, 8, 7), (3, 4));
        assert_eq!(longest_first(9, 0, 4), (4, 0));
    }

    #[test]
    fn truncation_always_fills_the_budget() {
        for a in 0..20 {
            for b in 0..20 {
                for budget in 0..25 {
                    let (x, y) = longest_first(a, b, budget);
                    assert!(x <= a && y <= b && x + y == budget.min(a + b), "{a} {b} {budget}");
                    assert!(x == a || y == b || x.abs_diff(y) <= 1, "{a} {b} {budget}");
                }
            }
        }
    }
}
