//! Text to BERT input ids.
//!
//! [`TextEncoder`] wraps the `tokenizers` crate: a model folder's `tokenizer.json`, else its `vocab.txt` (BERT WordPiece). It places
//! `[CLS]` and `[SEP]` and truncates by itself, so a tokeniser file cannot change the shape of the input.
//!
//! | module | concern |
//! |---|---|
//! | `load` | the tokeniser of a folder |
//! | `stated` | what `tokenizer_config.json` and its kin say about a vocabulary |
//! | `agree` | `tokenizer.json` where they say something else |
//! | `encode` | texts |
//! | `plain` | texts without the library |
//! | `write` | the files of a new folder, which agree |
//!
//! A plain BERT tokeniser is read without the library and encodes plain words by itself (`plain`); the library is built when
//! a text needs it.

mod agree;
mod encode;
mod load;
pub(crate) mod pieces;
pub(crate) mod plain;
mod stated;
mod write;

pub use encode::{Encoded, WithOffsets};
pub use load::{MAX_TOKENIZER_BYTES, MAX_VOCAB, TextEncoder};
