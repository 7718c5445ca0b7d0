//! Data augmentation by word replacement, as TinyBERT does (Jiao et al. 2020, algorithm 1), with candidates from the teacher's own
//! masked-language-model head and word embeddings.
//!
//! For every word that is no stop word: candidates are the `candidates` words that the head finds likeliest in its place, or that
//! have the nearest embeddings. Then, `copies` times: every such word is replaced with `probability` by one of its candidates, all
//! equally likely. Copies that equal the original or an earlier copy are dropped; labels stay.
//!
//! Differences from TinyBERT, on purpose: text outside of the replaced words stays as it is, the word itself is never a candidate, and
//! embeddings are the teacher's instead of GloVe's.
//!
//! | file | concern |
//! |---|---|
//! | `settings` | what can be chosen, and what a run has done |
//! | `scores` | the best of all words, as a product and a selection |
//! | `word_model` | what a model directory knows about words |
//! | `nearest`, `masked` | the two sources of candidates |
//! | `augmenter` | from a training set to a larger one |

mod augmenter;
mod masked;
mod nearest;
mod scores;
mod settings;
mod word_model;

pub use augmenter::Augmenter;
pub use settings::{AugmentProgress, AugmentSettings, Augmented, Pairs, WordSource};

use tokenizer::WordPieces;

/// Whether a token is the word `text`, in upper or lower case.
fn same_word(pieces: &WordPieces, id: u32, text: &str) -> bool {
    pieces.word(id).is_some_and(|word| word == text || word.to_lowercase() == text.to_lowercase())
}
