//! Multi-head attention, alone and as a whole block, and of near tokens only.

mod block;
mod local;
mod ragged;

pub use block::{Block, Projection, attention_block};
pub use local::local_attention;
pub use ragged::ragged_attention;

use burn::backend::Dispatch;
use burn::nn::Dropout;
use burn::tensor::{Tensor, activation::softmax};

use super::applies;
use super::dropout::next_mask;
use super::precision::kernel_precision;
use super::product::product;
use crate::extension::FusedOps;
use crate::kernels::attention::Heads;

/// `dropout(softmax(S)) V` with `S = Q Kᵀ / sqrt(d) + mask` for every head, heads side by side again; with `keep_scores` also `S`, before
/// the softmax and with the mask, which distillation compares.
///
/// Without `keep_scores` all scores are never in memory at once; for the backward pass the probabilities are.
///
/// # Shapes
/// - `query`, `key`, `value`, first output: `[batch, seq, heads * d]`
/// - `mask_bias`: `[batch, 1, 1, seq]`, constant
/// - second output: `[batch, heads, seq, seq]`
///
/// # Panics
/// The heads do not divide the width.
pub fn attention(
    [query, key, value]: [Tensor<3>; 3],
    mask_bias: Tensor<4>,
    heads: usize,
    layer: &Dropout,
    keep_scores: bool,
) -> (Tensor<3>, Option<Tensor<4>>) {
    if !applies(&query) {
        let (context, scores) = composed([query, key, value], mask_bias, heads, layer);
        return (context, keep_scores.then_some(scores));
    }
    let dropout = next_mask(layer, &query.device());
    let heads = Heads { count: heads, precision: kernel_precision() };
    let [query, key, value] = [query, key, value].map(Tensor::into_dispatch);
    let operands = [query, key, value, mask_bias.into_dispatch()].into();
    let (context, scores) = <Dispatch as FusedOps>::fused_attention(operands, heads, dropout, keep_scores);
    (Tensor::from_dispatch(context), scores.map(Tensor::from_dispatch))
}

fn split(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, seq, width] = x.dims();
    x.reshape([batch, seq, heads, width / heads]).swap_dims(1, 2)
}

/// [`attention`] and its scores in burn's primitives.
fn composed(
    [query, key, value]: [Tensor<3>; 3],
    mask_bias: Tensor<4>,
    heads: usize,
    layer: &Dropout,
) -> (Tensor<3>, Tensor<4>) {
    let ([batch, seq, _], [_, _, width]) = (query.dims(), value.dims());
    // Scaling the queries touches seq * head values, scaling the scores seq * seq.
    let query = split(query, heads) * (1.0 / ((width / heads) as f64).sqrt());
    let scores = product(query, split(key, heads).transpose()) + mask_bias;
    let probs = layer.forward(softmax(scores.clone(), 3));
    let context = product(probs, split(value, heads)).swap_dims(1, 2).reshape([batch, seq, width]);
    (context, scores)
}

#[cfg(test)]
mod tests;
