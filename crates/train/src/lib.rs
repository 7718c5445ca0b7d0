//! Trains any encoder: the step loop, optimizers, data by step, evaluation, fine-tuning.
//!
//! | module | concern |
//! |---|---|
//! | [`engine`] | the step loop: accumulation, evaluation, checkpoints, resume, early stop, divergence |
//! | [`optim`] | AdamW and LAMB, parameter groups, global-norm clipping, learning-rate schedules |
//! | [`keys`] | what a recipe, a method file and options may say of a training |
//! | [`losses`] | losses against gold labels as functions of tensors |
//! | [`pair_losses`] | losses of the vectors of two texts |
//! | [`fine_tune`] | a model on gold labels |
//! | [`data`] | task batches by step number |
//! | [`text`] | batches of unlabeled text by step number, wherever the text is |
//! | [`mlm`] | masked language modeling: text with hidden words |
//! | [`pretrain`] | pre-training: masked words on texts without padding, token dropping |
//! | [`span`] | SQuAD: windows by step, fine-tuning |
//!
//! Nothing here prints, reads the environment or the clock. Everything random is keyed by
//! (seed, purpose, step), so a training resumes anywhere and no generator state is stored.

/// The example of the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod data;
pub mod engine;
mod error;
pub mod fine_tune;
pub mod keys;
pub mod losses;
pub mod mlm;
pub mod optim;
pub mod pair_losses;
pub mod pretrain;
pub mod span;
pub mod text;

pub use error::{Error, Result};
