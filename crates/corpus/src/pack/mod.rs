//! Blocks of text become sequences; a block never needs anything outside of it.

mod block;
mod pairs;
mod sequences;

pub(crate) use block::{BlockReader, TextBlock, block_bytes};
pub(crate) use pairs::{PairRules, TokenDocument, pack_pairs};
pub(crate) use sequences::Packer;
