//! SQuAD: models that mark the span of a context that answers a question.
//!
//! | file | concern |
//! |---|---|
//! | `data` | windows as batches of a training and of an evaluation |
//! | `evaluate` | scores of all windows, answers, official metrics |
//! | `fine_tune` | what the engine trains: [`SpanFineTune`] |
//!
//! Windows, decoding and official scores are [`glue_squad::squad`]'s; losses are in [`crate::losses`].

mod data;
mod evaluate;
mod fine_tune;

pub use data::{SpanEvalSet, SpanTrainSet};
pub use evaluate::{SpanEval, SpanScores, span_logits, span_logits_frozen};
pub use fine_tune::{SpanFineTune, gold_loss};
