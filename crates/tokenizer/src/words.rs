//! The words of a text, as a WordPiece tokenizer sees them.

use std::ops::Range;

use tokenizers::ModelWrapper;

use crate::error::Result;
use crate::load::TextEncoder;

/// A WordPiece tokenizer and its whole words.
#[derive(Debug, Clone)]
pub struct WordPieces {
    encoder: TextEncoder,
    /// Per id the token, where it is a word of letters only and no special token.
    words: Vec<Option<String>>,
    /// Per id whether it goes on with the word of the token before it.
    continues: Vec<bool>,
    mask: Option<u32>,
    cased: bool,
}

/// A text and its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// Token ids without special tokens.
    pub ids: Vec<u32>,
    /// The words, in their order.
    pub words: Vec<Word>,
}

/// A word of letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Its bytes in the text.
    pub bytes: Range<usize>,
    /// Its tokens in [`Sentence::ids`]; at least one.
    pub pieces: Range<usize>,
}

impl WordPieces {
    /// Sorts the vocabulary of `encoder`.
    ///
    /// # Errors
    /// The tokenizer is no WordPiece, so that its tokens do not tell where words begin.
    pub fn new(encoder: TextEncoder) -> Result<Self> {
        let library = encoder.library()?;
        let ModelWrapper::WordPiece(model) = library.get_model() else {
            let reason = "words are replaced by WordPiece tokenizers only, which mark how a word goes on (`##`)";
            return Err(encoder.fault(reason));
        };
        let prefix = &model.continuing_subword_prefix;
        let special = library.get_added_tokens_decoder();
        let mut words = vec![None; encoder.vocab_size()];
        let mut continues = vec![false; encoder.vocab_size()];
        for (token, id) in library.get_vocab(true) {
            let at = id as usize;
            if special.contains_key(&id) {
                continue;
            }
            continues[at] = !prefix.is_empty() && token.starts_with(prefix.as_str());
            if !continues[at] && is_word(&token) {
                words[at] = Some(token);
            }
        }
        let mask = encoder.mask_id();
        let cased = words.iter().flatten().any(|word| word.chars().any(char::is_uppercase));
        Ok(Self { words, continues, mask, cased, encoder })
    }

    /// The tokenizer.
    pub fn encoder(&self) -> &TextEncoder {
        &self.encoder
    }

    /// The id of `[MASK]`, where the vocabulary has it.
    pub fn mask_id(&self) -> Option<u32> {
        self.mask
    }

    /// Whether the vocabulary knows upper case.
    pub fn is_cased(&self) -> bool {
        self.cased
    }

    /// The word that a token is by itself; `None` for parts of words, special tokens and what is not of letters only.
    pub fn word(&self, id: u32) -> Option<&str> {
        self.words.get(id as usize)?.as_deref()
    }

    /// The tokens that are words by themselves, in the order of their ids.
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        self.words.iter().enumerate().filter(|(_, word)| word.is_some()).map(|(id, _)| id as u32)
    }

    /// Finds the words of `text`, those that are of letters only and stand by themselves.
    ///
    /// # Errors
    /// As [`TextEncoder::encode_plain`].
    pub fn read(&self, text: &str) -> Result<Sentence> {
        let encoded = self.encoder.encode_with_offsets(text)?;
        let mut words: Vec<Word> = Vec::new();
        for (at, (id, (start, end))) in encoded.ids.iter().zip(&encoded.offsets).enumerate() {
            match words.last_mut() {
                Some(word) if self.continues.get(*id as usize) == Some(&true) => {
                    word.pieces.end = at + 1;
                    word.bytes.end = *end;
                }
                _ => words.push(Word { bytes: *start..*end, pieces: at..at + 1 }),
            }
        }
        words.retain(|word| {
            let (before, after) = (&text[..word.bytes.start], &text[word.bytes.end..]);
            // A word that no space or mark divides from its neighbor, as in Chinese, would run into it if it became another one.
            let neighbors = [before.chars().next_back(), after.chars().next()];
            let stands_alone = neighbors.into_iter().flatten().all(divides);
            let word = &text[word.bytes.clone()];
            stands_alone && is_word(word)
        });
        Ok(Sentence { ids: encoded.ids, words })
    }
}

/// Whether a tokenizer of BERT's kind surely begins a new word at this character: white space, and the marks of European texts.
fn divides(c: char) -> bool {
    c.is_whitespace() || c.is_ascii_punctuation() || matches!(c, '\u{2010}'..='\u{2027}' | '«' | '»' | '¡' | '¿')
}

/// Whether a text is one word of letters.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(char::is_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// An uncased WordPiece tokenizer of these tokens.
    fn pieces(tokens: &[&str]) -> WordPieces {
        let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
        let dir = tempfile::tempdir().unwrap();
        let vocab = special.iter().chain(tokens).map(|token| format!("{token}\n")).collect::<String>();
        std::fs::write(dir.path().join("vocab.txt"), vocab).unwrap();
        WordPieces::new(TextEncoder::from_dir(dir.path()).unwrap()).unwrap()
    }

    const TOKENS: &[&str] =
        &["the", "good", "film", "##s", "was", ",", "2", "un", "##seen", "##ly", "caf", "##e", "bad", "[unused1]"];

    #[test]
    fn words_are_what_the_pieces_make_up_without_numbers_and_marks() {
        let pieces = pieces(TOKENS);
        let text = "The good Films, was 2 unseenly zzz café";
        let sentence = pieces.read(text).unwrap();
        let found: Vec<(&str, usize)> =
            sentence.words.iter().map(|w| (&text[w.bytes.clone()], w.pieces.len())).collect();
        let wanted = [("The", 1), ("good", 1), ("Films", 2), ("was", 1), ("unseenly", 3), ("zzz", 1), ("café", 2)];
        assert_eq!(found, wanted);
        assert_eq!(sentence.ids, pieces.encoder().encode_plain(text).unwrap());
    }

    #[test]
    fn words_without_space_or_mark_between_them_are_left_alone() {
        let pieces = pieces(TOKENS);
        for text in ["中the", "good中", "中中", "e\u{301}中", "good\u{ad}"] {
            assert_eq!(pieces.read(text).unwrap().words, [], "{text}");
        }
        assert_eq!(pieces.read("“good”—film,中").unwrap().words.len(), 3);
    }

    #[test]
    fn only_whole_words_of_letters_are_candidates() {
        let pieces = pieces(TOKENS);
        let words: Vec<&str> = pieces.ids().map(|id| pieces.word(id).unwrap()).collect();
        assert_eq!(words, ["the", "good", "film", "was", "un", "caf", "bad"]);
        assert_eq!((pieces.mask_id(), pieces.is_cased()), (Some(4), false));
        assert_eq!((pieces.word(4), pieces.word(9999)), (None, None));
    }

    #[test]
    fn a_tokenizer_of_another_kind_is_refused_with_its_file() {
        let json = br###"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,
            "pre_tokenizer":null,"post_processor":null,"decoder":null,"model":{"type":"WordLevel",
            "vocab":{"[PAD]":0,"[UNK]":1,"[CLS]":2,"[SEP]":3},"unk_token":"[UNK]"}}"###;
        let encoder = TextEncoder::from_json(json, Path::new("m/tokenizer.json")).unwrap();
        let message = WordPieces::new(encoder).unwrap_err().to_string();
        assert!(message.starts_with("m/tokenizer.json: ") && message.contains("WordPiece"), "{message}");
    }

    proptest::proptest! {
        #[test]
        fn replacing_a_word_replaces_its_pieces_and_nothing_else(
            text in "([Tt]he|good|films?|unseenly|zzz|café|e\u{301}|[,.2€]|don't|\\[MASK\\]|中| |\t){0,12}",
            by in proptest::sample::select(vec!["good", "film", "bad"]),
        ) {
            let pieces = pieces(TOKENS);
            let sentence = pieces.read(&text).unwrap();
            let id = pieces.ids().find(|id| pieces.word(*id) == Some(by)).unwrap();
            for word in &sentence.words {
                let changed = format!("{}{by}{}", &text[..word.bytes.start], &text[word.bytes.end..]);
                let mut ids = sentence.ids.clone();
                ids.splice(word.pieces.clone(), [id]);
                proptest::prop_assert_eq!(pieces.encoder().encode_plain(&changed).unwrap(), ids, "{}", changed);
            }
        }
    }
}
