//! How a student learns from a teacher: objectives, optimiser, the training engine, and the jobs
//! it runs.
//!
//! | module | concern |
//! |---|---|
//! | [`losses`] | every distillation loss as a function of tensors |
//! | [`objective`] | what a student learns from its teacher, as data: layer by layer, and from answers |
//! | [`optim`] | AdamW and LAMB, parameter groups, global-norm clipping, learning-rate schedules |
//! | [`engine`] | the step loop: accumulation, evaluation, checkpoints, resume, early stop, divergence |
//! | [`examples`] | the encoded examples of a split |
//! | [`heads`] | the head that a task needs, and the one that answers it |
//! | [`data`] | task batches by step number |
//! | [`text`] | batches of unlabelled text by step number, wherever the text is |
//! | [`words`] | text with hidden words |
//! | [`job`] | what the engine trains: fine-tuning, general and task distillation |
//! | [`span`] | SQuAD: head, windows as batches, fine-tuning, distillation, official scores |
//! | [`transfer`] | a model that goes on from the weights of another one |
//! | [`evaluate`] | dev scores and predictions |
//! | [`majority`] | what one answer to every example scores, and which scores that makes doubtful |
//! | [`cache`] | a teacher's answers, kept for the next student that is shown the same batches |
//! | [`augment`] | more training examples by replacing words |
//!
//! Nothing here prints, reads the environment or the clock. Everything random is keyed by
//! (seed, purpose, step), so a training resumes anywhere and no generator state is stored.

pub mod augment;
pub mod cache;
pub mod data;
pub mod engine;
mod error;
pub mod evaluate;
pub mod examples;
pub mod heads;
pub mod job;
pub mod losses;
pub mod majority;
pub mod objective;
pub mod optim;
pub mod span;
pub mod text;
pub mod transfer;
pub mod words;

pub use error::{Error, Result};
