//! How a student learns from a teacher: objectives, losses, teachers and the jobs that the engine of [`train`] runs.
//!
//! | module | concern |
//! |---|---|
//! | [`losses`] | every distillation loss as a function of tensors |
//! | [`objective`] | what a student learns from its teacher, as data: layer by layer, and from answers |
//! | [`job`] | what is trained: general and task distillation, on text, labels and questions |
//! | [`inherit`] | a model that goes on from the weights of another one |
//! | [`from_teacher`] | a student that begins as its teacher: weights computed from the teacher's |
//! | [`proxy`] | zero-cost scores of a network that nothing was trained of |
//! | [`cache`] | a teacher's answers, kept for the next student that is shown the same batches |
//! | [`augment`] | more training examples by replacing words |
//!
//! Nothing here prints, reads the environment or the clock. Everything random is keyed by
//! (seed, purpose, step), so a training resumes anywhere and no generator state is stored.

/// The example of the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod augment;
pub mod cache;
mod error;
pub mod from_teacher;
pub mod inherit;
pub mod job;
pub mod losses;
pub mod objective;
pub mod proxy;

pub use error::{Error, Result};
