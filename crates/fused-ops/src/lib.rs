//! The operations of a BERT-family encoder, fused: forward and backward passes in hand-written kernels on the CPU.
//!
//! Each function here means the same as a few of burn's own, and is one node of autodiff's graph: it saves what its
//! gradient needs and nothing between. The kernels (crate `cpu-kernels`) apply to `f32` on burn's CPU backend; anywhere
//! else the functions compose burn's primitives. Work is divided over the current thread pool in blocks that depend on
//! shapes alone, so results are the same on any number of threads.
//!
//! | file | operations |
//! |---|---|
//! | `linear` | [`linear`], [`dense`], [`dense_activated`], [`linear_part`] of a supernet's larger weights |
//! | `activation` | [`activate`] |
//! | `binary` | [`combine`]: sums, products, maxima |
//! | `norm` | [`layer_norm`], [`residual_layer_norm`] |
//! | `attention` | [`attention()`], [`attention_with_scores`], [`attention_block`] |
//! | `ffn` | [`ffn_block`]: a feed-forward of any expression, residual and norm included |
//! | `embedding` | [`embedding`](embedding()), [`trigram`], [`embedding_sum`] |
//! | `losses` | [`mse`], [`attention_mse`], [`soft_cross_entropy`] |
//! | `dropout` | [`dropout`](dropout()), with masks from [`with_dropout_seed`] |
//! | `awake` | [`awake`](awake()): threads that spin between the tasks of a step |
//! | `precision` | [`with_precision`]: products in `f32` or `bf16` |
//! | `product` | products in burn's primitives, for other devices |
//! | `extension` | the operations as an extension of burn's backends |

mod activation;
mod attention;
mod awake;
mod binary;
mod dropout;
mod embedding;
pub mod extension;
mod ffn;
mod host;
mod linear;
mod losses;
mod norm;
mod packed;
mod precision;
mod product;
mod scratch;
mod tape;
#[cfg(test)]
mod testing;

pub use activation::{Activation, activate};
pub use attention::{Block, BlockSettings, Heads, Projection, attention, attention_block, attention_with_scores};
pub use awake::awake;
pub use binary::{Combine, combine};
pub use dropout::{Mask, dropout, with_dropout_seed};
pub use embedding::{embedding, embedding_sum, trigram};
pub use ffn::{Ffn, Program, Settings as FfnSettings, Step, ffn_block};
pub use linear::{Part, dense, dense_activated, linear, linear_part};
pub use losses::{Loss, attention_mse, mse, soft_cross_entropy};
pub use norm::{Affine, layer_norm, residual_layer_norm};
pub use precision::{Precision, precision, with_precision};
