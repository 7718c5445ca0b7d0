//! What a model answers: texts or pairs in; labels with probabilities, numbers, spans, hidden states and attention scores out.
//!
//! ```text
//! texts -> TextEncoder -> ids -> Inference -> values of heads -> HeadAnswer
//! questions and contexts -> windows -> Inference -> start and end scores -> SpanAnswer
//! ```
//!
//! | module | concern |
//! |---|---|
//! | `predictor` | [`Predictor`]: a model directory that answers: model, tokenizer, heads |
//! | `inference` | [`Inference`]: the model itself, compiled for this processor or as burn modules on a device |
//! | `labels` | [`HeadAnswer`]: classes, labels and numbers with their probabilities |
//! | `tags` | [`TagAnswer`]: the entities that a model finds in plain text |
//! | `vectors` | vectors of texts |
//! | [`span`] | SQuAD: windows, the piece of a text that answers a question, official scores |
//! | [`heads`] | the head that a task needs, and the one that answers it |
//! | [`examples`], [`data`] | the encoded examples of a split, and these in batches |
//! | [`evaluate`] | answers to all examples of a set |
//! | `evaluation` | [`Evaluation`]: scores over a data set |
//! | `gold` | [`mean_gold_score`]: how sure a model is of the right answers |
//! | [`majority`] | what one answer to every example scores, and which scores that makes doubtful |
//! | [`card`] | model cards with scores, as the Hugging Face hub reads them |
//! | `token_ids` | token ids from tensors, checked; hidden states and attention scores of them |
//!
//! Answers are values; nothing here prints. Without the feature `burn` models run on the processor alone.

/// The example of the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod card;
pub mod data;
mod error;
pub mod evaluate;
mod evaluation;
pub mod examples;
mod gold;
pub mod heads;
mod inference;
mod labels;
pub mod majority;
mod predictor;
pub mod span;
mod tags;
mod token_ids;
mod vectors;

pub use error::{Error, Result};
pub use evaluation::{Evaluated, Evaluation, SpanEvaluated, Watch};
pub use gold::mean_gold_score;
pub use inference::{Inference, PlacedBatch, Target};
pub use labels::{HeadAnswer, head_values, learned_on_pairs};
pub use predictor::{Predictor, Text, check_segments, check_vocabulary, is_of, longest, tokenizer};
pub use tags::{TagAnswer, TaggedText, TextEntity};
#[cfg(feature = "burn")]
pub use token_ids::states_and_scores;
pub use token_ids::token_ids;
