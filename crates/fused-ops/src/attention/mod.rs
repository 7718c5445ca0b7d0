//! Multi-head attention on heads that lie side by side: no transposed copies.
//!
//! Heads are columns `[h d, (h + 1) d)` of queries, keys and values, read where they are. Each batch element is one task
//! of the thread pool, so its scores, probabilities and context stay in a core's cache.
//!
//! * [`attention_scores`] and [`attention_context`] hand out the scores, which distillation compares
//! * [`attention`] keeps the probabilities only, which is all that its gradient needs

mod context;
mod heads;
mod scores;
mod whole;

pub use heads::Heads;

pub(crate) use context::ContextBackward;
pub(crate) use scores::ScoresBackward;
pub(crate) use whole::AttentionBackward;

use burn::backend::Dispatch;
use burn::nn::Dropout;
use burn::tensor::{Tensor, activation::softmax};

use crate::dropout::next_mask;
use crate::extension::FusedOps;
use crate::host::applies;
use crate::precision::precision;

pub(crate) use context::forward as context_forward;
pub(crate) use scores::forward as scores_forward;
pub(crate) use whole::forward as whole_forward;

/// `S = Q Kᵀ / sqrt(d) + mask`, before the softmax, for every head.
///
/// # Shapes
/// - `query`, `key`: `[batch, seq, heads * d]`
/// - `mask_bias`: `[batch, 1, 1, seq]`, constant
/// - output: `[batch, heads, seq, seq]`
pub fn attention_scores(query: Tensor<3>, key: Tensor<3>, mask_bias: Tensor<4>, heads: usize) -> Tensor<4> {
    if !applies(&query) {
        return composed_scores(query, key, mask_bias, heads);
    }
    let heads = Heads { count: heads, precision: precision() };
    Tensor::from_dispatch(<Dispatch as FusedOps>::fused_attention_scores(
        query.into_dispatch(),
        key.into_dispatch(),
        mask_bias.into_dispatch(),
        heads,
    ))
}

/// `dropout(softmax(S)) V`, heads side by side again.
///
/// # Shapes
/// - `scores`: `[batch, heads, seq, seq]`
/// - `value`, output: `[batch, seq, heads * d]`
pub fn attention_context(scores: Tensor<4>, value: Tensor<3>, layer: &Dropout) -> Tensor<3> {
    if !applies(&scores) {
        return composed_context(scores, value, layer);
    }
    let mask = next_mask(layer, &scores.device());
    let heads = Heads { count: scores.dims()[1], precision: precision() };
    Tensor::from_dispatch(<Dispatch as FusedOps>::fused_attention_context(
        scores.into_dispatch(),
        value.into_dispatch(),
        heads,
        mask,
    ))
}

/// [`attention_context`] of [`attention_scores`] without keeping the scores.
///
/// # Shapes
/// - `query`, `key`, `value`, output: `[batch, seq, heads * d]`
/// - `mask_bias`: `[batch, 1, 1, seq]`, constant
pub fn attention(
    [query, key, value]: [Tensor<3>; 3],
    mask_bias: Tensor<4>,
    heads: usize,
    layer: &Dropout,
) -> Tensor<3> {
    if !applies(&query) {
        return composed_context(composed_scores(query, key, mask_bias, heads), value, layer);
    }
    let mask = next_mask(layer, &query.device());
    let heads = Heads { count: heads, precision: precision() };
    Tensor::from_dispatch(<Dispatch as FusedOps>::fused_attention(
        query.into_dispatch(),
        key.into_dispatch(),
        value.into_dispatch(),
        mask_bias.into_dispatch(),
        heads,
        mask,
    ))
}

fn split(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, seq, width] = x.dims();
    x.reshape([batch, seq, heads, width / heads]).swap_dims(1, 2)
}

/// [`attention_scores`] in burn's primitives.
fn composed_scores(query: Tensor<3>, key: Tensor<3>, mask_bias: Tensor<4>, heads: usize) -> Tensor<4> {
    let head = query.dims()[2] / heads;
    // Scaling the queries touches seq * head values, scaling the scores seq * seq.
    let query = split(query, heads) * (1.0 / (head as f64).sqrt());
    query.matmul(split(key, heads).transpose()) + mask_bias
}

/// [`attention_context`] in burn's primitives.
fn composed_context(scores: Tensor<4>, value: Tensor<3>, layer: &Dropout) -> Tensor<3> {
    let [batch, seq, width] = value.dims();
    let heads = scores.dims()[1];
    let probs = layer.forward(softmax(scores, 3));
    probs.matmul(split(value, heads)).swap_dims(1, 2).reshape([batch, seq, width])
}

#[cfg(test)]
mod tests;
