//! Text to the input ids of BERT, RoBERTa and their relatives.
//!
//! [`TextEncoder`] wraps the `tokenizers` crate: a model folder's `tokenizer.json`, else its `vocab.txt` (BERT WordPiece), else its
//! `vocab.json` and `merges.txt` (RoBERTa BPE). It places `[CLS]` and `[SEP]` and truncates by itself. A tokenizer file chooses one
//! of two frames for pairs ([`PairFrame`]) and cannot change the shape of the input otherwise.
//!
//! | module | concern |
//! |---|---|
//! | `load` | the tokenizer of a folder |
//! | `stated` | what `tokenizer_config.json` and its kin say about a vocabulary |
//! | `agree` | `tokenizer.json` where they say something else |
//! | `byte_level` | the tokenizer of `vocab.json` and `merges.txt` |
//! | `frame` | how the second text of a pair follows the first |
//! | `encode` | texts and pairs |
//! | `plain`, `pieces` | texts without the library |
//! | `cached` | much text: most words were seen before |
//! | `decode` | ids back to tokens and text |
//! | `padding` | sequences as one rectangle |
//! | `align` | texts that are given as words: the first token of each word; plain text divided into words |
//! | `words` | the words of a text and the tokens that make each up |
//! | `write` | the files of a new folder, which agree |
//! | `trim` | a tokenizer with a part of its pieces |
//!
//! A plain BERT tokenizer is read without the library and encodes plain words by itself (`plain`); the library is built when
//! a text needs it.
//!
//! Nothing here prints, reads the environment or the clock. The crate builds for `wasm32-unknown-unknown` with the feature `wasm`.

/// The example of the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod agree;
mod align;
mod byte_level;
mod cached;
mod decode;
mod encode;
mod error;
mod frame;
mod load;
mod padding;
mod pieces;
mod plain;
mod stated;
mod trim;
mod words;
mod write;

pub use align::{AlignedWords, divide_words};
pub use cached::{WordCache, WordEncoder};
pub use encode::{Cut, Encoded, WithOffsets};
pub use error::{Error, Result};
pub use frame::PairFrame;
pub use load::{MAX_TOKENIZER_BYTES, MAX_VOCAB, TextEncoder};
pub use padding::{PaddedIds, Padding};
pub use trim::Trimmed;
pub use words::{Sentence, Word, WordPieces};
