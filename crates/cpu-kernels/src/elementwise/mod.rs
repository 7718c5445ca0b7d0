//! Operations on values and rows.
//!
//! All work on slices in the calling thread; callers divide the work. Each has one body, compiled once for each
//! instruction set of [`crate::Isa`]. Slices whose lengths or shapes do not fit are programming errors:
//! every function panics on them.
//!
//! * [`Activation`]: activation functions and their derivatives
//! * [`binary`]: sums, products and maxima of two operands
//! * [`norm`]: LayerNorm and NoNorm over rows
//! * [`softmax`], [`loss`]: distributions over rows and what compares them
//! * [`optimizer`]: AdamW and what clipping needs
//! * [`embedding`]: rows of tables, and trigrams of rows
//! * [`dropout`], [`bf16`]: masks from counters, `bf16` rounding
//! * [`stream`]: copies past the cache

#[macro_use]
mod dispatch;
mod activation;
#[cfg(target_arch = "x86_64")]
pub(crate) mod exp2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod gelu;
mod lanes;
pub(crate) mod math;

pub mod bf16;
pub mod binary;
pub mod dropout;
pub mod embedding;
pub mod loss;
pub mod norm;
pub mod optimizer;
pub mod softmax;
pub mod stream;

pub use activation::Activation;
pub use bf16::to_bf16;

pub(crate) use dispatch::{Arith, Fused, Plain};
