//! SQuAD: windows by step, and training on gold answers.
//!
//! | file | concern |
//! |---|---|
//! | `data` | windows as batches of a training |
//! | `fine_tune` | what the engine trains: [`SpanFineTune`] |
//!
//! Windows, decoding and official scores are [`glue_squad::squad`]'s, heads and evaluation [`predict::span`]'s; losses are in
//! [`crate::losses`].

mod data;
mod fine_tune;

pub use data::SpanTrainSet;
pub use fine_tune::{SpanFineTune, gold_loss};
