//! The whole attention block of an encoder layer as one operation.
//!
//! `Y = LayerNorm(X + dropout(A W_o + b_o))` with `A = dropout(softmax(Q Kᵀ / sqrt(d) + mask)) V` and `Q, K, V` linear maps
//! of `X`. Nothing in it mixes two texts but the gradients of weights, so a task takes a few texts through the whole block: what one
//! part writes the next one reads from the core's cache. `X` is packed once for queries, keys and values, and the gradients of the
//! three are summed up where they are written.

use burn::backend::Dispatch;
use burn::module::Param;
use burn::nn::{Dropout, Linear};
use burn::tensor::Tensor;

use super::attention;
use crate::extension::FusedOps;
use crate::kernels::attention::Heads;
use crate::kernels::attention::block::BlockSettings;
use crate::ops::applies;
use crate::ops::dropout::next_mask;
use crate::ops::linear::linear;
use crate::ops::norm::{Affine, residual_layer_norm};
use crate::ops::precision::kernel_precision;
use crate::ops::round_int8::rounds;

/// A linear map.
#[derive(Clone, Debug)]
pub struct Projection {
    /// `[inputs, outputs]`.
    pub weight: Tensor<2>,
    /// `[outputs]`.
    pub bias: Option<Tensor<1>>,
}

impl From<&Linear> for Projection {
    fn from(layer: &Linear) -> Self {
        Self { weight: layer.weight.val(), bias: layer.bias.as_ref().map(Param::val) }
    }
}

/// What an attention block consists of.
#[derive(Clone, Debug)]
pub struct Block<'a> {
    /// Maps to queries, `[width, inner]`.
    pub query: Projection,
    /// Maps to keys, `[width, inner]`.
    pub key: Projection,
    /// Maps to values, `[width, inner]`.
    pub value: Projection,
    /// Maps back, `[inner, width]`.
    pub output: Projection,
    /// Dropout of the probabilities.
    pub score_dropout: &'a Dropout,
    /// Dropout before the residual.
    pub output_dropout: &'a Dropout,
    /// Number of heads; divides `inner`.
    pub heads: usize,
}

/// `LayerNorm(X + dropout(attention(X) W_o + b_o))`, and with `keep_scores` the scores before the softmax.
///
/// The same values as [`linear`], [`crate::attention()`] and [`residual_layer_norm`] one after the other, and the same masks of dropout.
///
/// # Shapes
/// - `x`, first output: `[batch, seq, width]`
/// - `mask_bias`: `[batch, 1, 1, seq]`, constant
/// - second output: `[batch, heads, seq, seq]`
///
/// # Panics
/// The heads do not divide the inner width.
pub fn attention_block(
    x: Tensor<3>,
    mask_bias: Tensor<4>,
    block: Block<'_>,
    norm: Affine,
    keep_scores: bool,
) -> (Tensor<3>, Option<Tensor<4>>) {
    if !fusable(&x, &block) {
        return unfused(x, mask_bias, block, norm, keep_scores);
    }
    let device = x.device();
    // In the order in which the single operations draw them.
    let dropout = [next_mask(block.score_dropout, &device), next_mask(block.output_dropout, &device)];
    let heads = Heads { count: block.heads, precision: kernel_precision() };
    let settings = BlockSettings { heads, eps: norm.eps as f32, dropout };
    let maps = [block.query, block.key, block.value, block.output];
    let biases =
        maps.each_ref().map(|map| map.bias.clone().expect("only blocks with biases are fused").into_dispatch());
    let ([w_q, w_k, w_v, w_o], [b_q, b_k, b_v, b_o]) = (maps.map(|map| map.weight.into_dispatch()), biases);
    let (gamma, beta) = (norm.weight.into_dispatch(), norm.bias.into_dispatch());
    let (x, mask) = (x.into_dispatch(), mask_bias.into_dispatch());
    let operands = [x, w_q, w_k, w_v, w_o, b_q, b_k, b_v, b_o, gamma, beta, mask].into();
    let (y, scores) = <Dispatch as FusedOps>::fused_attention_block(operands, settings, keep_scores);
    (Tensor::from_dispatch(y), scores.map(Tensor::from_dispatch))
}

/// Whether the operation exists for what it is given.
fn fusable(x: &Tensor<3>, block: &Block<'_>) -> bool {
    let Block { query, key, value, output, .. } = block;
    let [_, _, width] = x.dims();
    let [_, inner] = query.weight.dims();
    applies(x)
        && !rounds()
        && !x.dims().contains(&0)
        && [query, key, value].into_iter().all(|map| map.weight.dims() == [width, inner])
        && output.weight.dims() == [inner, width]
        && [query, key, value, output].into_iter().all(|map| map.bias.is_some())
}

/// [`attention_block`] in single operations.
fn unfused(
    x: Tensor<3>,
    mask_bias: Tensor<4>,
    block: Block<'_>,
    norm: Affine,
    keep_scores: bool,
) -> (Tensor<3>, Option<Tensor<4>>) {
    let projected = [block.query, block.key, block.value].map(|map| linear(x.clone(), map.weight, map.bias));
    let (context, scores) = attention(projected, mask_bias, block.heads, block.score_dropout, keep_scores);
    (
        residual_layer_norm(linear(context, block.output.weight, block.output.bias), x, block.output_dropout, norm),
        scores,
    )
}

#[cfg(test)]
mod tests;
