//! Trains any encoder: the step loop, optimizers, data by step, evaluation, fine-tuning.
//!
//! | module | concern |
//! |---|---|
//! | [`engine`] | the step loop: accumulation, evaluation, checkpoints, resume, early stop, divergence |
//! | [`optim`] | AdamW and LAMB, parameter groups, global-norm clipping, learning-rate schedules |
//! | [`keys`] | what a recipe, a method file and options may say of a training |
//! | [`losses`] | losses against gold labels as functions of tensors |
//! | [`fine_tune`] | a model on gold labels |
//! | [`examples`] | the encoded examples of a split |
//! | [`heads`] | the head that a task needs, and the one that answers it |
//! | [`data`] | task batches by step number |
//! | [`text`] | batches of unlabelled text by step number, wherever the text is |
//! | [`mlm`] | masked language modelling: text with hidden words |
//! | [`span`] | SQuAD: head, windows as batches, fine-tuning, official scores |
//! | [`evaluate`] | dev scores and predictions |
//! | [`majority`] | what one answer to every example scores, and which scores that makes doubtful |
//!
//! Nothing here prints, reads the environment or the clock. Everything random is keyed by
//! (seed, purpose, step), so a training resumes anywhere and no generator state is stored.

pub mod data;
pub mod engine;
mod error;
pub mod evaluate;
pub mod examples;
pub mod fine_tune;
pub mod heads;
pub mod keys;
pub mod losses;
pub mod majority;
pub mod mlm;
pub mod optim;
pub mod span;
pub mod text;

pub use error::{Error, Result};
