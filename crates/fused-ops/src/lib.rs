//! The operations of a BERT-family encoder, fused: forward and backward passes in hand-written kernels on the CPU.
//!
//! Each function here means the same as a few of burn's own, and is one node of autodiff's graph: it saves what its
//! gradient needs and nothing between. The kernels (crate `cpu-kernels`) apply to `f32` on burn's CPU backend; anywhere
//! else the functions compose burn's primitives. Work is divided over the current thread pool in blocks that depend on
//! shapes alone, so results are the same on any number of threads.
//!
//! Three floors, of which each knows only those below it; a file has the same name on each:
//!
//! | floor | holds |
//! |---|---|
//! | `ops` | what callers use; where the kernels do not apply, the operation in burn's primitives |
//! | `extension` | the operations as an extension of burn's backends, and as nodes of autodiff's graph |
//! | `kernels` | forward and backward passes on tensors of the CPU backend |
//!
//! | file | operations |
//! |---|---|
//! | `linear` | [`linear`], [`dense`], [`dense_activated`], [`linear_part`] of a supernet's larger weights |
//! | `activation` | [`activate`] |
//! | `binary` | [`combine`]: sums, products, maxima |
//! | `norm` | [`layer_norm`], [`residual_layer_norm`] |
//! | `attention` | [`attention()`], [`attention_block`], [`ragged_attention`] of texts without padding |
//! | `ffn` | [`ffn_block`]: a feed-forward of any expression, residual and norm included |
//! | `embedding` | [`embedding`](embedding()), [`trigram`], [`embedding_sum`] |
//! | `cross_entropy` | [`cross_entropy_rows`]: against class numbers, row by row |
//! | `losses` | [`mse`], [`attention_mse`], [`soft_cross_entropy`] |
//! | `dropout` | [`dropout`](dropout()), with masks from [`with_dropout_seed`] |
//! | `precision` | [`with_precision`]: products in `f32` or `bf16` |
//! | `round_int8` | [`with_rounded_int8`]: operands as 8-bit inference rounds them |
//! | `product` | products in burn's primitives, for other devices |
//! | `busy_wait` | [`busy_wait`](busy_wait()): threads that spin between the tasks of a step |

/// The example of the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod busy_wait;
mod extension;
mod kernels;
mod ops;
#[cfg(test)]
mod testing;

pub use busy_wait::busy_wait;
pub use kernels::activation::Activation;
pub use kernels::attention::{Ragged, TextRows};
pub use kernels::binary::Combine;
pub use kernels::ffn::{Program, Step};
pub use ops::*;
