//! The whole attention block of an encoder layer as one operation.
//!
//! `Y = LayerNorm(X + dropout(A W_o + b_o))` with `A = dropout(softmax(Q Kᵀ / sqrt(d) + mask)) V` and `Q, K, V` linear maps
//! of `X`. Nothing in it mixes two texts but the gradients of weights, so a task takes a few texts through the whole block: what one
//! part writes the next one reads from the core's cache. `X` is packed once for queries, keys and values, and the gradients of the
//! three are summed up where they are written.

mod backward;
mod forward;
mod scratch;

pub(crate) use backward::{BlockBackward, OutputBackward, TwoOutputsBackward};
pub(crate) use forward::{Inputs, forward};
use forward::{Saved, Stores};

use burn::backend::Dispatch;
use burn::backend::flex::FlexTensor;
use burn::module::Param;
use burn::nn::{Dropout, Linear};
use burn::tensor::Tensor;

use super::{Heads, attention, attention_with_scores};
use crate::dropout::{Mask, next_mask};
use crate::extension::FusedOps;
use crate::host::{applies, dims};
use crate::linear::linear;
use crate::norm::{Affine, residual_layer_norm};
use crate::precision::kernel_precision;

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

/// What the operation needs beside its tensors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Heads and number format.
    pub heads: Heads,
    /// Added to the variance.
    pub eps: f32,
    /// Masks of the probabilities and of the output.
    pub dropout: [Option<Mask>; 2],
}

/// `LayerNorm(X + dropout(attention(X) W_o + b_o))`, and with `keep_scores` the scores before the softmax.
///
/// The same values as [`linear`], [`attention()`] and [`residual_layer_norm`] one after the other, and the same masks of dropout.
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
        return apart(x, mask_bias, block, norm, keep_scores);
    }
    let device = x.device();
    // In the order in which the single operations draw them.
    let dropout = [next_mask(block.score_dropout, &device), next_mask(block.output_dropout, &device)];
    let heads = Heads { count: block.heads, precision: kernel_precision() };
    let settings = Settings { heads, eps: norm.eps as f32, dropout };
    let [(wq, bq), (wk, bk), (wv, bv), (wo, bo)] = [block.query, block.key, block.value, block.output].map(|map| {
        let bias = map.bias.expect("only blocks with biases are fused");
        (map.weight.into_dispatch(), bias.into_dispatch())
    });
    let (x, mask) = (x.into_dispatch(), mask_bias.into_dispatch());
    let (gamma, beta) = (norm.weight.into_dispatch(), norm.bias.into_dispatch());
    if keep_scores {
        let (y, scores) = <Dispatch as FusedOps>::fused_attention_block_with_scores(
            x, wq, wk, wv, wo, bq, bk, bv, bo, gamma, beta, mask, settings,
        );
        (Tensor::from_dispatch(y), Some(Tensor::from_dispatch(scores)))
    } else {
        let y = <Dispatch as FusedOps>::fused_attention_block(
            x, wq, wk, wv, wo, bq, bk, bv, bo, gamma, beta, mask, settings,
        );
        (Tensor::from_dispatch(y), None)
    }
}

/// Whether the operation exists for what it is given.
fn fusable(x: &Tensor<3>, block: &Block<'_>) -> bool {
    let Block { query, key, value, output, .. } = block;
    let [_, _, width] = x.dims();
    let [_, inner] = query.weight.dims();
    applies(x)
        && !x.dims().contains(&0)
        && [query, key, value].into_iter().all(|map| map.weight.dims() == [width, inner])
        && output.weight.dims() == [inner, width]
        && [query, key, value, output].into_iter().all(|map| map.bias.is_some())
}

/// A matrix and its sizes.
fn whole(weight: &FlexTensor) -> (&FlexTensor, [usize; 2]) {
    (weight, dims(weight))
}

/// [`attention_block`] in single operations.
fn apart(
    x: Tensor<3>,
    mask_bias: Tensor<4>,
    block: Block<'_>,
    norm: Affine,
    keep_scores: bool,
) -> (Tensor<3>, Option<Tensor<4>>) {
    let projected = [block.query, block.key, block.value].map(|map| linear(x.clone(), map.weight, map.bias));
    let (context, scores) = if keep_scores {
        let (context, scores) = attention_with_scores(projected, mask_bias, block.heads, block.score_dropout);
        (context, Some(scores))
    } else {
        (attention(projected, mask_bias, block.heads, block.score_dropout), None)
    };
    (
        residual_layer_norm(linear(context, block.output.weight, block.output.bias), x, block.output_dropout, norm),
        scores,
    )
}

#[cfg(test)]
mod tests;
