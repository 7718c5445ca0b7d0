//! Text to BERT input ids.
//!
//! [`TextEncoder`] wraps the `tokenizers` crate: a model folder's `tokenizer.json`, else its `vocab.txt` (BERT WordPiece). It places
//! `[CLS]` and `[SEP]` and truncates by itself, so a tokeniser file cannot change the shape of the input.
//!
//! A plain BERT tokeniser is read without the library and encodes plain words by itself (`plain`); the library is built when
//! a text needs it.

mod encode;
mod load;
pub(crate) mod pieces;
pub(crate) mod plain;

pub use encode::{Encoded, WithOffsets};
pub use load::{MAX_TOKENIZER_BYTES, MAX_VOCAB, TextEncoder};
