//! What a model answers: texts or pairs in; labels with probabilities, numbers, spans, hidden states and attention scores out.
//!
//! ```text
//! texts -> TextEncoder -> ids -> Inference -> values of heads -> HeadAnswer
//! questions and contexts -> windows -> Inference -> start and end scores -> SpanAnswer
//! ```
//!
//! | file | concern |
//! |---|---|
//! | `predictor` | [`Predictor`]: a model directory that answers: model, tokenizer, heads |
//! | `inference` | [`Inference`]: the model itself, compiled for this processor or as burn modules on another device |
//! | `labels` | [`HeadAnswer`]: classes, labels and numbers with their probabilities |
//! | `spans` | [`SpanAnswer`]: the piece of a text that answers a question |
//! | `evaluation` | scores over a data set, and what makes them doubtful |
//! | `token_ids` | token ids from tensors, checked; hidden states and attention scores of them |
//!
//! Answers are values; nothing here prints. Without the feature `burn` models run on the processor alone.

mod error;
mod evaluation;
mod inference;
mod labels;
mod predictor;
mod spans;
mod token_ids;

pub use error::{Error, Result};
pub use evaluation::{Evaluated, SpanEvaluated};
pub use inference::{Inference, PlacedBatch, Target};
pub use labels::{HeadAnswer, learned_on_pairs};
pub use predictor::{Predictor, Text, check_segments, check_vocabulary, tokenizer};
pub use spans::{SpanAnswer, SpanSettings};
#[cfg(feature = "burn")]
pub use token_ids::states_and_scores;
pub use token_ids::token_ids;
