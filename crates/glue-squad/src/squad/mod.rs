//! SQuAD v1.1 and v2.0 (Rajpurkar et al. 2016 and 2018): the answer to a question is a span of a paragraph, or, in v2.0, may not be there.
//!
//! | step | here |
//! |---|---|
//! | the official JSON | [`Dataset`] |
//! | sliding windows of tokens, targets for training | [`WindowSet`], [`WindowConfig`] |
//! | batches | [`WindowSet::batch`], in the order of [`crate::batch::BatchPlan`] or [`crate::batch::EvalPlan`] |
//! | a span head's scores to answers | [`decode`] |
//! | the official prediction files | [`Decoded::save_predictions`], [`Decoded::save_nbest`], [`Decoded::save_null_odds`] |
//! | v2.0's threshold | [`search_threshold`] |
//! | the official scores | [`score_files`], [`evaluate`] |
//!
//! Windows, ranking and constants follow BERT's `run_squad`; answers go to tokens and back by character offsets, so that a predicted
//! text is always a piece of the context as it was written. Scores follow `evaluate-v1.1.py` and `evaluate-v2.0.py`.

mod dataset;
#[cfg(feature = "batches")]
mod decode;
mod evaluate;
mod gold;
mod json;
mod locate;
mod normalize;
#[cfg(feature = "batches")]
mod threshold;
mod version;
#[cfg(feature = "batches")]
mod windows;

pub use dataset::{Answer, Dataset, Paragraph, Question};
#[cfg(feature = "batches")]
pub use decode::{DecodeConfig, Decoded, NBest, QuestionAnswer, decode};
pub use evaluate::{Evaluation, NO_ANSWER_THRESHOLD, Score, evaluate, score_files};
pub use gold::Gold;
pub use json::{MAX_JSON_BYTES, OrderedMap};
pub use normalize::{exact_match, normalize_answer};
#[cfg(feature = "batches")]
pub use threshold::{BestThresholds, search_threshold};
pub use version::SquadVersion;
#[cfg(feature = "batches")]
pub use windows::{
    AnswerlessWindows, ContextSpan, SpanBatch, SpanLogits, SpanTargets, TrainingIssue, Trouble, Window, WindowConfig,
    WindowSet, max_context_window, sliding_windows,
};
