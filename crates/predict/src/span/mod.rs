//! SQuAD: models that mark the span of a context that answers a question.
//!
//! | file | concern |
//! |---|---|
//! | `head` | the head that such a model carries |
//! | `set` | windows as batches |
//! | `evaluate` | scores of all windows, official metrics |
//! | `answer` | the answer to one question |
//!
//! Windows, decoding and official scores are [`glue_squad::squad`]'s.

mod answer;
mod evaluate;
mod head;
mod set;

pub use answer::{SpanAnswer, SpanSettings};
#[cfg(feature = "burn")]
pub use evaluate::span_logits;
pub use evaluate::{SpanEval, SpanScores, span_logits_compiled};
pub use head::{span_head, span_head_index};
pub use set::{SpanEvalSet, padding};
