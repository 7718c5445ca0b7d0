//! SQuAD: models that mark the span of a context that answers a question.
//!
//! | file | concern |
//! |---|---|
//! | `set` | windows as batches |
//! | `evaluate` | scores of all windows, official metrics |
//! | `answer` | the answer to one question |
//! | `windows` | lengths of windows that suit a model; the version of its head |
//!
//! Windows, decoding and official scores are [`glue_squad::squad`]'s.

mod answer;
mod evaluate;
mod set;
mod windows;

pub use answer::{SpanAnswer, SpanSettings};
#[cfg(feature = "burn")]
pub use evaluate::span_logits;
pub use evaluate::{SpanEval, SpanScores, span_logits_compiled};
pub use set::{SpanEvalSet, padding};
pub use windows::{WindowChoice, squad_version};
