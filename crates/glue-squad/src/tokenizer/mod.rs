//! Text to BERT input ids.
//!
//! [`TextEncoder`] wraps the `tokenizers` crate: a model folder's `tokenizer.json`, else its `vocab.txt` (BERT WordPiece). It places
//! `[CLS]` and `[SEP]` and truncates by itself, so a tokeniser file cannot change the shape of the input.

mod encode;
mod load;

pub use encode::{Encoded, WithOffsets};
pub use load::{MAX_TOKENIZER_BYTES, MAX_VOCAB, TextEncoder};
