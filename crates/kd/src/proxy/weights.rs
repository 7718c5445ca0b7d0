//! Statistics of weight matrices; no data.

use bert_core::{EncoderLayer, TaskModel};
use burn::nn::Linear;
use linear_fit::Matrix;
use linear_fit::low_rank::singular_values;

use crate::from_teacher::modules::read;

/// Attention's part of [`nuclear_norm`] where both halves of a layer count the same.
pub const BALANCE: f64 = 0.5;

/// The weighted capacity of attention and of feed-forwards: `balance * A + (1 - balance) * F`, where `A` is the sum of the nuclear norms
/// `|W|_* = sum_i s_i(W)` of all query, key, value and output matrices, `F` that of both matrices of every feed-forward stack, and `s_i` are
/// singular values.
///
/// The form is ZeroLM's (Chen et al. 2025, "ZeroLM: Data-Free Transformer Architecture Search for Language Models", arXiv 2503.18646): the
/// capacity of a module is a function of its singular values, and attention is weighed against feed-forwards. The paper fits the weight on a
/// benchmark or by a heuristic; here it is an argument. Of the functions of singular values this is the simplest, chosen without the paper's
/// code, which was not found.
pub fn nuclear_norm(model: &TaskModel, balance: f64) -> f64 {
    let of = |matrices: Matrices| total(model, matrices, |m| singular_values(m).sum());
    balance * of(attention) + (1.0 - balance) * of(feed_forward)
}

/// The sum of stable ranks `|W|_F^2 / |W|_2^2 = sum_i s_i^2 / s_1^2` (Rudelson and Vershynin 2007) of all matrices of attention and
/// feed-forwards: in how many directions they carry something. A matrix of zeros has none.
pub fn stable_rank(model: &TaskModel) -> f64 {
    let of = |m: &Matrix| {
        let values = singular_values(m);
        match values.iter().copied().fold(0.0, f64::max) {
            largest if largest > 0.0 => values.norm_squared() / (largest * largest),
            _ => 0.0,
        }
    };
    total(model, attention, of) + total(model, feed_forward, of)
}

type Matrices = fn(&EncoderLayer) -> Vec<&Linear>;

fn attention(layer: &EncoderLayer) -> Vec<&Linear> {
    let Some(part) = &layer.attention else { return Vec::new() };
    [Some(&part.query), part.key.as_ref(), Some(&part.value), Some(&part.output)].into_iter().flatten().collect()
}

fn feed_forward(layer: &EncoderLayer) -> Vec<&Linear> {
    layer.feed_forward.blocks.iter().flat_map(|block| [&block.dense1, &block.dense2]).collect()
}

fn total(model: &TaskModel, matrices: Matrices, of: impl Fn(&Matrix) -> f64) -> f64 {
    model.encoder.layers.iter().flat_map(matrices).map(|layer| of(&read(layer).weight)).sum()
}
