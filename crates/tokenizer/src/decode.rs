//! Ids back to tokens and text.

use run_store::contain;

use crate::error::Result;
use crate::load::TextEncoder;

impl TextEncoder {
    /// The token of an id, as the vocabulary spells it; `None` for an id that it does not have.
    ///
    /// # Errors
    /// The library cannot be built from the tokenizer's file.
    pub fn token(&self, id: u32) -> Result<Option<String>> {
        Ok(self.library()?.id_to_token(id))
    }

    /// Whether an id is that of a special token, such as `[CLS]`.
    ///
    /// # Errors
    /// As [`TextEncoder::token`].
    pub fn is_special(&self, id: u32) -> Result<bool> {
        Ok(self.library()?.get_added_tokens_decoder().get(&id).is_some_and(|token| token.special))
    }

    /// The text that ids stand for, as far as the tokenizer keeps it: one that folds case does not give capitals back.
    ///
    /// # Errors
    /// As [`TextEncoder::token`], or the library fails on the ids.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        let library = self.library()?;
        match contain::call(|| library.decode(ids, skip_special)) {
            Ok(Ok(text)) => Ok(text),
            Ok(Err(reason)) => Err(self.fault(&format!("cannot decode ids: {reason}"))),
            Err(_) => Err(self.fault("cannot decode ids: the tokenizer library failed on them")),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Cut, TextEncoder};

    fn encoder() -> TextEncoder {
        let dir = tempfile::tempdir().unwrap();
        let words = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nquiet\nfilm\n##s\n";
        std::fs::write(dir.path().join("vocab.txt"), words).unwrap();
        TextEncoder::from_dir(dir.path()).unwrap()
    }

    #[test]
    fn ids_become_the_text_again_that_they_came_from() {
        let encoder = encoder();
        let ids = encoder.encode_pair("A quiet films", None, 16).unwrap().ids;
        assert_eq!(encoder.decode(&ids, true).unwrap(), "a quiet films");
        assert_eq!(encoder.decode(&ids, false).unwrap(), "[CLS] a quiet films [SEP]");
        assert_eq!(encoder.token(8).unwrap().as_deref(), Some("##s"));
        assert_eq!((encoder.token(99).unwrap(), encoder.decode(&[99], false).unwrap()), (None, String::new()));
        assert!(encoder.is_special(2).unwrap() && !encoder.is_special(5).unwrap());
    }

    #[test]
    fn a_text_that_is_too_long_loses_the_side_that_was_asked_for() {
        let encoder = encoder();
        let ids = |cut| encoder.encode_cut("a quiet film", None, 4, cut).unwrap();
        assert_eq!((ids(Cut::End).ids, ids(Cut::Start).ids), (vec![2, 5, 6, 3], vec![2, 6, 7, 3]));
        assert_eq!(ids(Cut::Start).left_out, 1);
        let pair = encoder.encode_cut("a quiet film", Some("a quiet"), 6, Cut::Start).unwrap();
        assert_eq!(pair.ids, [2, 6, 7, 3, 6, 3]);
    }
}
