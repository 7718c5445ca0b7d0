//! Multi-head attention on heads that lie side by side: no transposed copies.
//!
//! Heads are columns `[h d, (h + 1) d)` of queries, keys and values, read where they are. Each batch element is one task
//! of the thread pool, so its scores, probabilities and context stay in a core's cache.

mod backward;
mod block;
mod forward;
mod heads;

pub use block::{Block, Projection, Settings as BlockSettings, attention_block};
pub use heads::Heads;

pub(crate) use backward::{AttentionBackward, Saved, ScoresBackward, Waiting};
pub(crate) use block::{
    BlockBackward, Inputs as BlockInputs, OutputBackward, TwoOutputsBackward, forward as block_forward,
};
pub(crate) use forward::{Attended, Keep, forward};

use burn::backend::Dispatch;
use burn::nn::Dropout;
use burn::tensor::{Tensor, activation::softmax};

use crate::dropout::next_mask;
use crate::extension::FusedOps;
use crate::host::applies;
use crate::precision::kernel_precision;
use crate::product::product;

/// `dropout(softmax(S)) V` with `S = Q Kᵀ / sqrt(d) + mask` for every head, heads side by side again.
///
/// The scores are nowhere held in memory; for the backward pass the probabilities are.
///
/// # Shapes
/// - `query`, `key`, `value`, output: `[batch, seq, heads * d]`
/// - `mask_bias`: `[batch, 1, 1, seq]`, constant
///
/// # Panics
/// The heads do not divide the width.
pub fn attention(
    [query, key, value]: [Tensor<3>; 3],
    mask_bias: Tensor<4>,
    heads: usize,
    layer: &Dropout,
) -> Tensor<3> {
    if !applies(&query) {
        return composed([query, key, value], mask_bias, heads, layer).0;
    }
    let dropout = next_mask(layer, &query.device());
    let heads = Heads { count: heads, precision: kernel_precision() };
    Tensor::from_dispatch(<Dispatch as FusedOps>::fused_attention(
        query.into_dispatch(),
        key.into_dispatch(),
        value.into_dispatch(),
        mask_bias.into_dispatch(),
        heads,
        dropout,
    ))
}

/// [`attention`] and its scores `S`, before the softmax and with the mask, which distillation compares.
///
/// # Shapes
/// - first output: `[batch, seq, heads * d]`
/// - second output: `[batch, heads, seq, seq]`
///
/// # Panics
/// The heads do not divide the width.
pub fn attention_with_scores(
    [query, key, value]: [Tensor<3>; 3],
    mask_bias: Tensor<4>,
    heads: usize,
    layer: &Dropout,
) -> (Tensor<3>, Tensor<4>) {
    if !applies(&query) {
        return composed([query, key, value], mask_bias, heads, layer);
    }
    let dropout = next_mask(layer, &query.device());
    let heads = Heads { count: heads, precision: kernel_precision() };
    let (context, scores) = <Dispatch as FusedOps>::fused_attention_with_scores(
        query.into_dispatch(),
        key.into_dispatch(),
        value.into_dispatch(),
        mask_bias.into_dispatch(),
        heads,
        dropout,
    );
    (Tensor::from_dispatch(context), Tensor::from_dispatch(scores))
}

fn split(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, seq, width] = x.dims();
    x.reshape([batch, seq, heads, width / heads]).swap_dims(1, 2)
}

/// [`attention_with_scores`] in burn's primitives.
fn composed(
    [query, key, value]: [Tensor<3>; 3],
    mask_bias: Tensor<4>,
    heads: usize,
    layer: &Dropout,
) -> (Tensor<3>, Tensor<4>) {
    let [batch, seq, width] = value.dims();
    // Scaling the queries touches seq * head values, scaling the scores seq * seq.
    let query = split(query, heads) * (1.0 / ((width / heads) as f64).sqrt());
    let scores = product(query, split(key, heads).transpose()) + mask_bias;
    let probs = layer.forward(softmax(scores.clone(), 3));
    let context = product(probs, split(value, heads)).swap_dims(1, 2).reshape([batch, seq, width]);
    (context, scores)
}

#[cfg(test)]
mod tests;
