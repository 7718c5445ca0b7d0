//! A model directory that answers texts, from any number of threads at once.
//!
//! ```text
//! Runtime::load(dir) -> Runtime -> answers(inputs) -> Answer  (labels, numbers, entities, answers to questions, vectors)
//!                               -> scores, vectors            (plain arrays)
//!                               -> forward(ids, mask)         (arrays of token ids)
//! ```
//!
//! | module | concern |
//! |---|---|
//! | `runtime` | [`Runtime`]: loading, and which thread computes when |
//! | `answers` | [`Answer`]: what heads of every kind answer |
//! | `arrays` | [`Matrix`]: scores, vectors and hidden states as arrays |
//! | `pack` | [`pack()`]: model directories of a quarter of the size |
//! | `error` | [`Error`] |
//!
//! This is what the program `efficientbert-predict`, the C interface and the Python package are made of. Nothing that trains or searches is
//! compiled for it.

/// The example of the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod answers;
mod arrays;
mod error;
mod pack;
mod runtime;

pub use answers::{Answer, Input, QuestionSettings};
pub use arrays::{Forward, Matrix, TokenRows};
pub use cpu_runtime::{Packing, Precision};
pub use encoder_spec::{TaskHeadConfig, TaskHeadKind};
pub use error::{Error, Result};
pub use pack::pack;
pub use predict::span::SpanAnswer;
pub use predict::{HeadAnswer, TagAnswer, Text, TextEntity};
pub use runtime::{Runtime, Settings};
