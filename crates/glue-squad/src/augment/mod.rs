//! More training examples out of those there are, by replacing words, as TinyBERT does (Jiao et al. 2020, Findings of EMNLP,
//! algorithm 1): every word that carries meaning is replaced with probability 0.4 by one of 15 candidates, 20 times over.
//!
//! Here is what needs no model: finding the words, drawing, putting the text together again. Candidates are given by a model, see
//! `kd::augment`.
//!
//! | file | concern |
//! |---|---|
//! | `words` | the words of a text and their pieces; the vocabulary's whole words |
//! | `stop_words` | words that are left alone |
//! | `copies` | one draw of replacements |

mod copies;
mod stop_words;
mod words;

pub use copies::{Slot, replaced};
pub use words::{Sentence, Word, WordPieces};
