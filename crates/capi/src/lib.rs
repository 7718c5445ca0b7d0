//! The C interface: functions that `include/efficientbert.h` declares and describes, for C and for every language that calls C.
//!
//! | module | concern |
//! |---|---|
//! | `border` | texts, arrays and errors between C and Rust; no panic passes |
//! | `model` | loading and freeing a model, and what it is |
//! | `answer` | answers as JSON, scores and vectors as arrays, token ids |
//!
//! Each function is documented for its callers in the header; a test compares the two.

/// The example of the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod answer;
mod border;
mod model;

pub use answer::*;
pub use model::*;

/// The text of `include/efficientbert.h`.
pub const HEADER: &str = include_str!("../include/efficientbert.h");
