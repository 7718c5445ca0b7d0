//! Attention in which a token sees only those near it.

use burn::nn::Dropout;
use burn::tensor::{Device, Tensor, TensorData, activation::softmax};

use super::super::dropout::dropout;
use super::super::product::product;
use super::{attention, split};

/// Added to the score of a token that is out of reach: less than padding's, so that padding alone is seen where nothing else is near.
const OUT_OF_REACH: f32 = -20_000.0;
/// Queries that are taken at once, at least.
const BLOCK: usize = 64;

/// [`attention()`] in which tokens see each other that are at most `reach` apart (Beltagy et al. 2020); the others' scores have -20000
/// added.
///
/// Without `keep_scores` some queries are taken at a time, with the keys near them, so that time and memory grow as `seq * reach`.
///
/// # Shapes
/// As [`attention()`].
///
/// # Panics
/// As there.
pub fn local_attention(
    [query, key, value]: [Tensor<3>; 3],
    mask_bias: Tensor<4>,
    (heads, reach): (usize, usize),
    layer: &Dropout,
    keep_scores: bool,
) -> (Tensor<3>, Option<Tensor<4>>) {
    let [batch, seq, width] = value.dims();
    if reach.saturating_add(1) >= seq {
        return attention([query, key, value], mask_bias, heads, layer, keep_scores);
    }
    let query = split(query, heads) * (1.0 / ((width / heads) as f64).sqrt());
    let (key, value) = (split(key, heads), split(value, heads));
    let block = if keep_scores { seq } else { reach.max(BLOCK) };
    let (mut contexts, mut kept) = (Vec::with_capacity(seq.div_ceil(block)), None);
    for first in (0..seq).step_by(block) {
        let rows = block.min(seq - first);
        let near = match keep_scores {
            true => 0..seq,
            false => first.saturating_sub(reach)..seq.min(first + rows + reach),
        };
        let of_keys = |x: &Tensor<4>, axis| x.clone().narrow(axis, near.start, near.len());
        let bias = of_keys(&mask_bias, 3) + band([first, rows], [near.start, near.len()], reach, &mask_bias.device());
        let scores = product(query.clone().narrow(2, first, rows), of_keys(&key, 2).transpose()) + bias;
        contexts.push(product(dropout(softmax(scores.clone(), 3), layer), of_keys(&value, 2)));
        kept = keep_scores.then_some(scores);
    }
    (Tensor::cat(contexts, 2).swap_dims(1, 2).reshape([batch, seq, width]), kept)
}

/// 0 where a query and a key are near each other, `[1, 1, queries, keys]`; each as the first and how many.
fn band([first, rows]: [usize; 2], [start, keys]: [usize; 2], reach: usize, device: &Device) -> Tensor<4> {
    let near = |query: usize, key: usize| if query.abs_diff(key) <= reach { 0.0 } else { OUT_OF_REACH };
    let values: Vec<f32> =
        (first..first + rows).flat_map(|query| (start..start + keys).map(move |key| near(query, key))).collect();
    Tensor::from_data(TensorData::new(values, [1, 1, rows, keys]), device)
}

#[cfg(test)]
mod tests {
    use burn::nn::DropoutConfig;

    use super::*;
    use crate::testing::{assert_same, gradients_agree, normal};

    const HEADS: usize = 2;

    fn inputs(seq: usize) -> [Tensor<2>; 3] {
        [normal([2 * seq, 12], 1.0, 1), normal([2 * seq, 12], 1.0, 2), normal([2 * seq, 12], 1.0, 3)]
    }

    /// Context, and scores where they are kept, of two texts, of which the second ends in padding.
    fn local(inputs: [Tensor<2>; 3], reach: usize, keep: bool) -> (Tensor<3>, Option<Tensor<4>>) {
        let [rows, width] = inputs[0].dims();
        let seq = rows / 2;
        let none = DropoutConfig::new(0.0).init();
        local_attention(inputs.map(|x| x.reshape([2, seq, width])), mask(seq), (HEADS, reach), &none, keep)
    }

    fn mask(seq: usize) -> Tensor<4> {
        let value = |i: usize| if i >= 2 * seq - 3 { -10_000.0 } else { 0.0f32 };
        let values: Vec<f32> = (0..2 * seq).map(value).collect();
        Tensor::from_data(TensorData::new(values, [2, 1, 1, seq]), &Device::flex())
    }

    /// All scores at once, those out of reach replaced.
    fn formula([q, k, v]: [Tensor<2>; 3], reach: usize) -> Tensor<3> {
        let [rows, width] = q.dims();
        let seq = rows / 2;
        let heads = |x: Tensor<2>| split(x.reshape([2, seq, width]), HEADS);
        let far: Vec<f32> =
            (0..seq * seq).map(|i| if (i / seq).abs_diff(i % seq) > reach { -1e9 } else { 0.0 }).collect();
        let far = Tensor::<4>::from_data(TensorData::new(far, [1, 1, seq, seq]), &q.device());
        let scores = heads(q).matmul(heads(k).transpose()) / (width as f64 / HEADS as f64).sqrt() + mask(seq) + far;
        softmax(scores, 3).matmul(heads(v)).swap_dims(1, 2).reshape([2, seq, width])
    }

    #[test]
    fn tokens_see_those_in_reach_and_gradients_come_from_them() {
        for (seq, reach) in [(5, 1), (9, 0), (9, 8), (9, 20), (150, 3), (200, 70)] {
            let what = format!("{seq} tokens, reach {reach}");
            let flat = |x: Tensor<3>| x.reshape([2 * seq, 12]);
            assert_same(&what, flat(local(inputs(seq), reach, false).0), flat(formula(inputs(seq), reach)));
            let (ours, theirs) = (|x| flat(local(x, reach, false).0), |x| flat(formula(x, reach)));
            gradients_agree(&what, inputs(seq), ours, theirs);
        }
    }

    #[test]
    fn kept_scores_are_those_of_all_pairs_and_change_nothing() {
        let (context, scores) = local(inputs(150), 3, true);
        assert_same("context", context.reshape([300, 12]), local(inputs(150), 3, false).0.reshape([300, 12]));
        let scores = scores.unwrap();
        assert_eq!(scores.dims(), [2, HEADS, 150, 150]);
        let values: Vec<f32> = scores.try_into_vec_as().unwrap();
        let blocked = values.iter().enumerate().filter(|(_, v)| **v < -15_000.0);
        assert!(blocked.clone().all(|(i, _)| (i / 150 % 150).abs_diff(i % 150) > 3));
        let near: usize = (0..150usize).map(|i| (0..150).filter(|j| i.abs_diff(*j) <= 3).count()).sum();
        assert_eq!(blocked.count(), 2 * HEADS * (150 * 150 - near));
    }
}
