//! Losses against gold labels, as functions of tensors.

use burn::tensor::activation::{log_softmax, relu};
use burn::tensor::{Device, Int, Tensor, TensorData};
use glue_squad::batch::Labels;

use crate::{Error, Result};

/// Added to span scores that may not be chosen.
const BLOCKED_POSITION: f64 = -10_000.0;

pub use fused_ops::mse;

/// Loss against gold labels; of classes with `weights` the mean over the batch of `-weights[label] log_softmax(logits)[label]`
/// ([`Task::class_weights`](glue_squad::task::Task::class_weights)). The sum of weights does not divide it, so that losses of parts of a batch add up to that of the batch.
///
/// # Shapes
/// - `logits`: `[batch, classes]`, or `[batch, 1]` for scores
/// - `weights`: `[classes]`
///
/// # Errors
/// A batch without labels.
pub fn label_loss(logits: Tensor<2>, labels: &Labels, weights: Option<&[f32]>, device: &Device) -> Result<Tensor<1>> {
    match labels {
        Labels::Classes(classes) => {
            let data = TensorData::new(classes.clone(), [classes.len()]);
            let gold = Tensor::<1, Int>::from_data(data, device);
            let Some(weights) = weights else { return Ok(cross_entropy(logits, gold)) };
            // Labels were checked against the classes.
            let factors: Vec<f32> = classes.iter().map(|class| weights[*class as usize]).collect();
            let factors = Tensor::<2>::from_data(TensorData::new(factors, [classes.len(), 1]), device);
            Ok((log_softmax(logits, 1).gather(1, gold.unsqueeze_dim(1)) * factors).mean().neg())
        }
        Labels::Scores(scores) => {
            let data = TensorData::new(scores.clone(), [scores.len(), 1]);
            Ok(mse(logits, Tensor::from_data(data, device)))
        }
        Labels::Sets(sets) => {
            let [batch, width] = logits.dims();
            let flags = sets.iter().flat_map(|set| (0..width).map(|label| f32::from(u8::from(set.contains(label)))));
            let data = TensorData::new(flags.collect::<Vec<f32>>(), [batch, width]);
            Ok(binary_cross_entropy(logits, Tensor::from_data(data, device)))
        }
        Labels::Matches(_) => {
            Err(Error::Mismatch("a text answers another one; a head of texts cannot learn that".into()))
        }
        Labels::Tags(_) => Err(Error::Mismatch("tags belong to words; a head of texts cannot learn them".into())),
        Labels::None => Err(Error::Mismatch("the training data has no labels".into())),
    }
}

/// Hard cross-entropy: mean over the batch of `-log_softmax(logits)[label]`.
///
/// # Shapes
/// - `logits`: `[batch, classes]`
/// - `labels`: `[batch]`
pub fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    log_softmax(logits, 1).gather(1, labels.unsqueeze_dim(1)).mean().neg()
}

/// Binary cross-entropy of logits `s` and probabilities `p`: mean over batch and labels of `softplus(s) - p s`, which is
/// `-p log σ(s) - (1 - p) log(1 - σ(s))` (PyTorch's `BCEWithLogitsLoss`).
///
/// # Shapes
/// - `logits`, `probabilities`: `[batch, labels]`
pub fn binary_cross_entropy(logits: Tensor<2>, probabilities: Tensor<2>) -> Tensor<1> {
    // softplus without overflow
    let softplus = relu(logits.clone()) + (logits.clone().abs().neg().exp() + 1.0).log();
    (softplus - probabilities * logits).mean()
}

/// Scores at some tokens.
///
/// # Shapes
/// - `scores`: `[batch, seq, outputs]`
/// - `places`: `row * seq + column` of each
/// - output: `[places, outputs]`
pub fn at_tokens(scores: Tensor<3>, places: Vec<i32>) -> Tensor<2> {
    let ([batch, seq, outputs], device) = (scores.dims(), scores.device());
    let count = places.len();
    let places = Tensor::<1, Int>::from_data(TensorData::new(places, [count]), &device);
    scores.reshape([batch * seq, outputs]).select(0, places)
}

/// Hard cross-entropy of the tokens that carry a tag: the mean over them of `-log_softmax(scores)[tag]`, as `transformers` trains
/// token classification, where other tokens have the label -100.
///
/// # Shapes
/// - `scores`: `[tags, outputs]`, see [`at_tokens`]
pub fn tag_loss(scores: Tensor<2>, tags: Vec<i32>) -> Tensor<1> {
    let (count, device) = (tags.len(), scores.device());
    cross_entropy(scores, Tensor::from_data(TensorData::new(tags, [count]), &device))
}

/// Start scores and end scores of a span head, as two tensors.
///
/// # Shapes
/// - `logits`: `[batch, seq, 2]`
/// - output: `[batch, seq]` each
pub fn span_sides(logits: Tensor<3>) -> [Tensor<2>; 2] {
    [0, 1].map(|side| logits.clone().narrow(2, side, 1).squeeze_dim(2))
}

/// Span training on gold answers: `(CE(start) + CE(end)) / 2`, each the mean over the batch of `-log_softmax(scores)[position]`
/// (BERT's `run_squad`). Padding gets -10000 first.
///
/// # Shapes
/// - `start`, `end`: pairs of scores `[batch, seq]` and gold positions `[batch]`
/// - `mask`: `[batch, seq]`, 1 on tokens
pub fn span_cross_entropy(
    start: (Tensor<2>, Tensor<1, Int>),
    end: (Tensor<2>, Tensor<1, Int>),
    mask: Tensor<2>,
) -> Tensor<1> {
    let bias = blocked_positions(mask);
    let term = |(scores, gold)| cross_entropy(scores + bias.clone(), gold);
    (term(start) + term(end)) / 2.0
}

/// 0 where `allowed` is 1 and -10000 where it is 0.
pub fn blocked_positions(allowed: Tensor<2>) -> Tensor<2> {
    (allowed - 1.0) * -BLOCKED_POSITION
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    const MASK: [[f32; 4]; 2] = [[1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]];
    const START: [[f32; 4]; 2] = [[0.5, -1.0, 2.0, 50.0], [0.0, 1.0, -0.5, 0.25]];
    const END: [[f32; 4]; 2] = [[1.5, 0.0, -2.0, 70.0], [0.3, -1.0, 0.5, 2.0]];

    fn floats(values: [[f32; 4]; 2], device: &Device) -> Tensor<2> {
        Tensor::from_floats(values, device)
    }

    fn value(loss: Tensor<1>) -> f64 {
        f64::from(loss.into_scalar::<f32>())
    }

    /// `-log(exp(row[gold]) / sum of exp over the row)`.
    fn by_hand(row: &[f32], gold: usize) -> f64 {
        let sum: f64 = row.iter().map(|&v| f64::from(v).exp()).sum();
        sum.ln() - f64::from(row[gold])
    }

    #[test]
    fn sets_of_labels_are_learned_by_binary_cross_entropy() {
        let device = Device::flex();
        let sets = Labels::Sets(vec![[0, 2].into_iter().collect(), [].into_iter().collect()]);
        let rows = [[2.0f32, -1.0, 100.0], [0.5, -100.0, 0.0]];
        let found = value(label_loss(Tensor::from_floats(rows, &device), &sets, None, &device).unwrap());
        let term = |logit: f32, gold: bool| {
            let logit = f64::from(if gold { logit } else { -logit });
            (-logit).max(0.0) + (-logit.abs()).exp().ln_1p()
        };
        let expected = term(2.0, true) + term(-1.0, false) + term(100.0, true);
        let expected = expected + term(0.5, false) + term(-100.0, false) + term(0.0, false);
        assert!((found - expected / 6.0).abs() < 1e-6, "{found}");
    }

    #[test]
    fn the_loss_of_an_example_is_multiplied_by_the_weight_of_its_class() {
        let device = Device::flex();
        let loss = |weights: Option<&[f32]>| {
            let logits = Tensor::<2>::from_floats([START[0], END[1]], &device);
            value(label_loss(logits, &Labels::Classes(vec![2, 0]), weights, &device).unwrap())
        };
        let [first, second] = [by_hand(&START[0], 2), by_hand(&END[1], 0)];
        assert!((loss(None) - (first + second) / 2.0).abs() < 1e-5);
        assert!((loss(Some(&[3.0, 9.0, 0.5, 9.0])) - (0.5 * first + 3.0 * second) / 2.0).abs() < 1e-4);
    }

    #[test]
    fn the_tag_loss_is_the_mean_over_the_tokens_that_carry_one() {
        let device = Device::flex();
        let scores = Tensor::<3>::from_floats([START, END], &device);
        let (places, tags) = (vec![1, 2], vec![3, 0]);
        let found = value(tag_loss(at_tokens(scores, places), tags));
        let expected = (by_hand(&START[1], 3) + by_hand(&END[0], 0)) / 2.0;
        assert!((found - expected).abs() < 1e-6, "{found}");
    }

    #[test]
    fn the_span_loss_is_the_mean_of_both_cross_entropies_over_real_tokens() {
        let device = Device::flex();
        let gold = |values: [i32; 2]| Tensor::<1, Int>::from_ints(values, &device);
        let [start, end, mask] = [START, END, MASK].map(|v| floats(v, &device));
        let found = value(span_cross_entropy((start, gold([2, 1])), (end, gold([0, 3])), mask));
        let starts = by_hand(&START[0][..3], 2) + by_hand(&START[1], 1);
        let ends = by_hand(&END[0][..3], 0) + by_hand(&END[1], 3);
        assert!((found - (starts + ends) / 4.0).abs() < 1e-6, "{found}");
    }

    #[test]
    fn the_span_loss_sends_no_gradient_to_padding_and_finite_ones_elsewhere() {
        let device = Device::flex().autodiff();
        let gold = |values: [i32; 2]| Tensor::<1, Int>::from_ints(values, &device);
        let [start, end, mask] = [START, END, MASK].map(|v| floats(v, &device));
        let (start, end) = (start.require_grad(), end.require_grad());
        let loss = span_cross_entropy((start.clone(), gold([2, 1])), (end, gold([0, 3])), mask);
        let gradients = loss.backward();
        let found = start.grad(&gradients).expect("a gradient").try_into_vec_as::<f32>().unwrap();
        assert!(found.iter().all(|g| g.is_finite()) && found[3] == 0.0, "{found:?}");
        assert!(found[2] < 0.0 && found[5] < 0.0 && found[4] > 0.0, "towards the gold positions: {found:?}");
    }

    #[test]
    fn start_and_end_scores_are_the_two_columns_of_the_last_dimension() {
        let logits = Tensor::<3>::from_floats([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]], &Device::flex());
        let [start, end] = span_sides(logits).map(|t| (t.dims(), t.try_into_vec_as::<f32>().unwrap()));
        assert_eq!(start, ([1, 3], vec![1.0, 3.0, 5.0]));
        assert_eq!(end, ([1, 3], vec![2.0, 4.0, 6.0]));
    }
}
