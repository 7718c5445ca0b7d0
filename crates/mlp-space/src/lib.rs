//! What the feed-forward network of a compact BERT student may look like.
//!
//! EfficientBERT (Dong et al. 2021, Findings of EMNLP) searches, for every layer, an expression `f` built from two linear
//! maps, element-wise operators and activations, how often that feed-forward is stacked (1 to 4), and its inner width
//! (1, 1/2, 1/3 or 1/4 of a base width). One feed-forward computes
//! `y = LayerNorm(x + dropout(f(x; W1, b1, W2, b2)))`.
//!
//! | module | concept |
//! |---|---|
//! | [`expr`] | expressions: tree, text form, token form |
//! | [`valid`] | which expressions belong to the search space |
//! | [`widths`] | which expressions run at a given hidden and base width |
//! | [`eval`] | the meaning of an expression, in plain `f64` |
//! | [`sample`], [`mutate`] | random expressions, and random neighbors of one |
//! | [`canon`], [`fingerprint`] | recognizing equal functions |
//! | [`arch`], [`released`] | one expression per layer; the published ones by name |
//! | [`cost`] | parameters and multiply-adds of a feed-forward |
//! | [`encode`] | an architecture as numbers for a learner |
//!
//! Nothing here prints, reads the environment, or draws randomness except from the generator that the caller passes.

/// The example of the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod arch;
pub mod canon;
pub mod cost;
pub mod encode;
mod error;
pub mod eval;
pub mod expr;
pub mod fingerprint;
pub mod mutate;
mod probe;
pub mod released;
pub mod sample;
pub mod valid;
pub mod widths;

pub use arch::Architecture;
pub use cost::{Cost, StudentShape};
pub use error::Error;
pub use expr::{Binary, Expression, LinearId, Node, Token, Unary, WeightSlot};
pub use fingerprint::Fingerprint;
pub use mutate::Mutation;
pub use sample::Space;
pub use valid::{Heights, Invalid};
pub use widths::{Align, Widths};
