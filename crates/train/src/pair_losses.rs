//! Losses of the vectors of two texts, as functions of tensors.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor, TensorData};
use glue_squad::batch::Labels;
use glue_squad::task::Match;

use crate::engine::MicroBatch;
use crate::{Error, Result};

/// Multiplies cosines, which lie between -1 and 1, before a softmax (`sentence-transformers` has the same).
pub const COSINE_SCALE: f64 = 20.0;
/// Added to scores that may not be chosen.
const LEFT_OUT: f32 = -1000.0;

/// Whether the parts of batches of `pairs` pairs have what is compared.
///
/// # Errors
/// Less than two pairs for each part.
pub fn check_parts(pairs: usize, part: MicroBatch) -> Result<()> {
    let parts = part.of as usize;
    if pairs >= 2 * parts {
        return Ok(());
    }
    Err(Error::Mismatch(format!(
        "vectors are learned by comparing the pairs of a part of a batch, and {pairs} pairs in {parts} parts leave nothing to compare; take larger batches or fewer parts"
    )))
}

/// The vectors of the first and of the second texts of a [stacked](glue_squad::batch::EncodedBatch::stacked) batch.
///
/// # Shapes
/// - `vectors`: `[2 batch, width]`
/// - output: `[batch, width]` each
pub fn halves(vectors: Tensor<2>) -> [Tensor<2>; 2] {
    let half = vectors.dims()[0] / 2;
    [vectors.clone().narrow(0, 0, half), vectors.narrow(0, half, half)]
}

/// The loss of vectors of pairs: [`cosent`] where the labels are numbers, [`ranking`] where each second text answers the first.
///
/// # Shapes
/// - `first`, `second`: `[batch, width]`, rows of length 1
///
/// # Errors
/// Labels of another kind.
pub fn pair_loss(first: Tensor<2>, second: Tensor<2>, labels: &Labels) -> Result<Tensor<1>> {
    match labels {
        Labels::Scores(scores) => Ok(cosent(cosines(first, second), scores)),
        Labels::Matches(matches) => Ok(ranking(first, second, matches)),
        _ => Err(Error::Mismatch("vectors of two texts are learned from numbers or from matches".into())),
    }
}

/// The cosine of each pair of rows.
///
/// # Shapes
/// - `first`, `second`: `[batch, width]`, rows of length 1
/// - output: `[batch]`
fn cosines(first: Tensor<2>, second: Tensor<2>) -> Tensor<1> {
    (first * second).sum_dim(1).squeeze_dim(1)
}

/// CoSENT (Su 2022): `log(1 + Σ exp(λ (c_j - c_i)))` over all pairs of examples with `label_i > label_j`, `λ` = [`COSINE_SCALE`]. Only the order of the labels
/// counts.
///
/// # Shapes
/// - `cosines`, `labels`: `[batch]`
pub fn cosent(cosines: Tensor<1>, labels: &[f32]) -> Tensor<1> {
    let (count, device) = (labels.len(), cosines.device());
    let scaled = cosines * COSINE_SCALE;
    let differences = scaled.clone().unsqueeze_dim::<2>(0) - scaled.unsqueeze_dim::<2>(1);
    let outside = labels.iter().flat_map(|i| labels.iter().map(move |j| if i > j { 0.0 } else { LEFT_OUT }));
    let outside = TensorData::new(outside.collect::<Vec<f32>>(), [count, count]);
    let terms = (differences + Tensor::from_data(outside, &device)).reshape([1, count * count]);
    // log(1 + Σ exp(x)) is what a softmax over x and 0 takes away from 0.
    let all = Tensor::cat(vec![Tensor::<2>::zeros([1, 1], &device), terms], 1);
    log_softmax(all, 1).narrow(1, 0, 1).reshape([1]).neg()
}

/// Multiple negatives ranking (Henderson et al. 2017): the mean over the batch of `-log_softmax(λ a_i · b_j)[j = i]`, `λ` = [`COSINE_SCALE`]. The other answers of
/// the batch are the wrong ones, but for those that are equal to the right one or answer the same query.
///
/// # Shapes
/// - `first`, `second`: `[batch, width]`, rows of length 1
/// - `matches`: `[batch]`
pub fn ranking(first: Tensor<2>, second: Tensor<2>, matches: &[Match]) -> Tensor<1> {
    let (count, device) = (matches.len(), first.device());
    let is_right =
        |i: usize, j: usize| i != j && (matches[i].answer == matches[j].answer || matches[i].query == matches[j].query);
    let left_out = (0..count).flat_map(|i| (0..count).map(move |j| if is_right(i, j) { LEFT_OUT } else { 0.0 }));
    let left_out = TensorData::new(left_out.collect::<Vec<f32>>(), [count, count]);
    let scores = first.matmul(second.transpose()) * COSINE_SCALE + Tensor::from_data(left_out, &device);
    let diagonal: Vec<i32> = (0..count as i32).collect();
    super::losses::cross_entropy(scores, Tensor::<1, Int>::from_data(TensorData::new(diagonal, [count]), &device))
}

/// How alike each two texts of a batch are, as scores: `λ v_i · v_j`, and a constant where a text meets itself.
///
/// # Shapes
/// - `vectors`: `[texts, width]`, rows of length 1
/// - output: `[texts, texts]`
pub fn similarities(vectors: Tensor<2>) -> Tensor<2> {
    let ([count, _], device) = (vectors.dims(), vectors.device());
    let scores = vectors.clone().matmul(vectors.transpose()) * COSINE_SCALE;
    let others = Tensor::<2>::eye(count, &device);
    scores * (others.clone().neg() + 1.0) + others * f64::from(LEFT_OUT)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn value(loss: Tensor<1>) -> f64 {
        f64::from(loss.into_scalar::<f32>())
    }

    #[test]
    fn cosent_is_its_formula_over_the_pairs_whose_labels_differ() {
        let device = Device::flex();
        let found = value(cosent(Tensor::from_floats([0.9, 0.2, 0.5], &device), &[5.0, 1.0, 1.0]));
        // 5 > 1 twice.
        let expected = (1.0 + (20.0f64 * (0.2 - 0.9)).exp() + (20.0f64 * (0.5 - 0.9)).exp()).ln();
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        let wrong = value(cosent(Tensor::from_floats([0.1, 0.6], &device), &[1.0, 0.0]));
        assert!((wrong - (1.0 + (20.0f64 * 0.5).exp()).ln()).abs() < 1e-4, "{wrong}");
        assert_eq!(value(cosent(Tensor::from_floats([0.3, 0.4], &device), &[2.0, 2.0])), 0.0, "nothing to order");
    }

    #[test]
    fn ranking_leaves_out_answers_that_are_right_too() {
        let device = Device::flex();
        let first = Tensor::<2>::from_floats([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]], &device);
        let second = Tensor::<2>::from_floats([[0.8, 0.6], [0.6, 0.8], [0.8, 0.6]], &device);
        let matches = [Match::of("a", "x"), Match::of("b", "y"), Match::of("c", "x")];
        let found = value(ranking(first, second, &matches));
        let term = |scores: &[f64]| {
            let sum: f64 = scores.iter().map(|s| (20.0 * s).exp()).sum();
            sum.ln() - 20.0 * scores[0]
        };
        // The first and the last query have one answer, which is not wrong for the other.
        let expected = (term(&[0.8, 0.6]) + term(&[0.8, 0.6, 0.6]) + term(&[0.96, 1.0])) / 3.0;
        assert!((found - expected).abs() < 1e-4, "{found} {expected}");
    }

    #[test]
    fn a_text_that_meets_itself_says_nothing_of_similarities() {
        let device = Device::flex();
        let found = similarities(Tensor::from_floats([[1.0, 0.0], [0.6, 0.8]], &device));
        let found = found.try_into_vec_as::<f32>().unwrap();
        for (found, expected) in found.iter().zip([-1000.0, 12.0, 12.0, -1000.0]) {
            assert!((found - expected).abs() < 1e-3, "{found}");
        }
    }
}
