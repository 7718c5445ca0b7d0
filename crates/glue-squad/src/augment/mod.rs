//! More training examples out of those there are, by replacing words, as TinyBERT does (Jiao et al. 2020, Findings of EMNLP,
//! algorithm 1): every word that carries meaning is replaced with probability 0.4 by one of 15 candidates, 20 times over.
//!
//! Here is what needs no model: choosing the words, drawing, putting the text together again. Candidates are given by a model, see
//! `kd::augment`.
//!
//! | file | concern |
//! |---|---|
//! | `stop_words` | words that are left alone |
//! | `copies` | one draw of replacements |

mod copies;
mod stop_words;

use tokenizer::{Sentence, WordPieces};

pub use copies::{Slot, replaced};

/// The words of `text` that may be replaced: those of letters that are no stop words.
///
/// # Errors
/// As [`WordPieces::read`].
pub fn replaceable(pieces: &WordPieces, text: &str) -> crate::Result<Sentence> {
    let mut sentence = pieces.read(text)?;
    sentence.words.retain(|word| !stop_words::is_stop_word(&text[word.bytes.clone()]));
    Ok(sentence)
}
