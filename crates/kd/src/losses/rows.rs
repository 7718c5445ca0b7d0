//! Losses between rows: distributions over keys or classes, and directions.
//!
//! The mean runs over the rows of real tokens. The rows of padding mean nothing, and with them the loss of a text would depend on
//! the longest text of its batch.

use burn::tensor::Tensor;
use burn::tensor::activation::{log_softmax, softmax};

/// Added to scores of padding.
const BLOCKED_SCORE: f64 = -10_000.0;
/// Added to squared lengths, so that a vector of zeros has a direction and a gradient.
const LENGTH_EPS: f64 = 1e-12;

/// Attention transfer of MobileBERT (Sun et al. 2020): cross-entropy `-softmax(T) . log_softmax(S)` of each row, summed over keys;
/// mean over batch, heads and the queries of real tokens.
///
/// # Shapes
/// - `student`, `teacher`: scores before the softmax, `[batch, heads, seq, seq]`
/// - `tokens`: `[batch, seq]`, 1 on tokens
/// - output: `[1]`
pub fn attention_cross_entropy(student: Tensor<4>, teacher: Tensor<4>, tokens: &Tensor<2>) -> Tensor<1> {
    let rows = (softmax(teacher, 3) * log_softmax(student, 3)).sum_dim(3).neg();
    mean_over_tokens(rows.squeeze_dim(3), tokens)
}

/// Attention transfer of MiniLM (Wang et al. 2020): `KL(softmax(T) || softmax(S))` of each row, summed over keys; mean over batch,
/// heads and the queries of real tokens.
///
/// # Shapes
/// As [`attention_cross_entropy`].
pub fn attention_kl(student: Tensor<4>, teacher: Tensor<4>, tokens: &Tensor<2>) -> Tensor<1> {
    mean_over_tokens(kl_rows(student, teacher).squeeze_dim(3), tokens)
}

/// `KL(softmax(t / T) || softmax(s / T))` summed over classes, mean over the batch, without a factor `T²` (Hinton et al. 2015).
///
/// # Shapes
/// - `student`, `teacher`: `[batch, classes]`
/// - output: `[1]`
pub fn kl(student: Tensor<2>, teacher: Tensor<2>, temperature: f64) -> Tensor<1> {
    kl_rows(student / temperature, teacher / temperature).mean()
}

fn kl_rows<const D: usize>(student: Tensor<D>, teacher: Tensor<D>) -> Tensor<D> {
    let log = log_softmax(teacher.clone(), D - 1);
    (softmax(teacher, D - 1) * (log - log_softmax(student, D - 1))).sum_dim(D - 1)
}

/// MiniLM's value relation before the softmax: `V Vᵀ / sqrt(d)` of each head, padded keys blocked.
///
/// # Shapes
/// - `values`: `[batch, heads, seq, d]`
/// - `tokens`: `[batch, seq]`, 1 on tokens
/// - output: `[batch, heads, seq, seq]`; widths `d` that differ between two models are no obstacle
pub fn value_relation(values: Tensor<4>, tokens: &Tensor<2>) -> Tensor<4> {
    let [batch, _, seq, width] = values.dims();
    let blocked = (tokens.clone() - 1.0) * -BLOCKED_SCORE;
    let scaled = values.clone() * (1.0 / (width as f64).sqrt());
    scaled.matmul(values.transpose()) + blocked.reshape([batch, 1, 1, seq])
}

/// `1 - cos(s, t)` of each token's hidden state, mean over real tokens.
///
/// # Shapes
/// - `student`, `teacher`: `[batch, seq, hidden]`
/// - `tokens`: `[batch, seq]`, 1 on tokens
/// - output: `[1]`
pub fn cosine(student: Tensor<3>, teacher: Tensor<3>, tokens: &Tensor<2>) -> Tensor<1> {
    row_cosine(student.unsqueeze_dim(1), teacher.unsqueeze_dim(1), tokens)
}

/// [`cosine`] of each row of every head.
///
/// # Shapes
/// - `student`, `teacher`: `[batch, heads, seq, width]`
/// - `tokens`: `[batch, seq]`, 1 on tokens
/// - output: `[1]`
pub fn row_cosine(student: Tensor<4>, teacher: Tensor<4>, tokens: &Tensor<2>) -> Tensor<1> {
    let length = |x: &Tensor<4>| ((x.clone() * x.clone()).sum_dim(3) + LENGTH_EPS).sqrt();
    let lengths = length(&student) * length(&teacher);
    let cosines: Tensor<4> = (student * teacher).sum_dim(3) / lengths;
    mean_over_tokens((cosines - 1.0).neg().squeeze_dim(3), tokens)
}

/// The mean of `[batch, heads, seq]` over heads and the positions where `tokens` is 1.
fn mean_over_tokens(rows: Tensor<3>, tokens: &Tensor<2>) -> Tensor<1> {
    let heads = rows.dims()[1] as f64;
    let count = tokens.clone().sum() * heads;
    (rows * tokens.clone().unsqueeze_dim(1)).sum() / count
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    const HEADS: usize = 2;
    const SEQ: usize = 3;

    /// Values without a pattern, `size` of them.
    fn numbers(size: usize, seed: f32) -> Vec<f32> {
        (0..size).map(|i| ((i as f32 + 1.0) * (1.7 + seed)).sin() * 1.5).collect()
    }

    fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    fn tokens() -> Tensor<2> {
        Tensor::from_floats([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]], &Device::flex())
    }

    fn value(loss: Tensor<1>) -> f64 {
        f64::from(loss.inner().into_scalar::<f32>())
    }

    fn distribution(row: &[f32]) -> Vec<f64> {
        let exp: Vec<f64> = row.iter().map(|&v| f64::from(v).exp()).collect();
        let sum: f64 = exp.iter().sum();
        exp.into_iter().map(|v| v / sum).collect()
    }

    /// Mean over both heads of the rows of real tokens: two of the first text, three of the second.
    fn by_hand(student: &[f32], teacher: &[f32], row: impl Fn(&[f32], &[f32]) -> f64) -> f64 {
        let width = student.len() / (2 * HEADS * SEQ);
        let real = |at: &usize| !(at / (HEADS * SEQ) == 0 && at % SEQ == 2);
        let at = |values: &[f32], row: usize| values[row * width..(row + 1) * width].to_vec();
        let rows = (0..2 * HEADS * SEQ).filter(real).map(|r| row(&at(student, r), &at(teacher, r)));
        rows.sum::<f64>() / (5 * HEADS) as f64
    }

    #[test]
    fn distributions_are_compared_as_their_formulas_say_over_real_tokens() {
        let device = Device::flex();
        let shape = [2, HEADS, SEQ, SEQ];
        let (s, t) = (numbers(36, 0.0), numbers(36, 0.3));
        let (student, teacher) = (tensor(s.clone(), shape, &device), tensor(t.clone(), shape, &device));
        let entropy = |s: &[f32], t: &[f32]| -> f64 {
            distribution(t).iter().zip(distribution(s)).map(|(p, q)| -p * q.ln()).sum()
        };
        let expected = by_hand(&s, &t, entropy);
        let found = value(attention_cross_entropy(student.clone(), teacher.clone(), &tokens()));
        assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
        let expected = by_hand(&s, &t, |s, t| entropy(s, t) - entropy(t, t));
        let found = value(attention_kl(student.clone(), teacher.clone(), &tokens()));
        assert!((found - expected).abs() < 1e-6 && found > 0.0, "{found} instead of {expected}");
        assert!(value(attention_kl(student.clone(), student.clone(), &tokens())).abs() < 1e-7);
        let cosine = |s: &[f32], t: &[f32]| {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
            1.0 - dot(s, t) / (dot(s, s) * dot(t, t)).sqrt()
        };
        let (expected, found) = (by_hand(&s, &t, cosine), value(row_cosine(student, teacher, &tokens())));
        assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
    }

    #[test]
    fn kl_of_classes_is_a_sum_over_classes_and_a_mean_over_the_batch() {
        let device = Device::flex();
        let (s, t) = ([0.5, -1.0, 2.0], [1.0, 0.0, -0.5]);
        for temperature in [1.0, 4.0] {
            let cold = |row: &[f32]| distribution(&row.iter().map(|v| v / temperature as f32).collect::<Vec<_>>());
            let expected: f64 = cold(&t).iter().zip(cold(&s)).map(|(p, q)| p * (p / q).ln()).sum();
            let both = |row: [f32; 3]| tensor([row, row].concat(), [2, 3], &device);
            let found = value(kl(both(s), both(t), temperature));
            assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
        }
    }

    #[test]
    fn a_value_relation_needs_no_equal_widths_and_gives_padding_no_part() {
        let device = Device::flex();
        let relation = |width: usize| {
            let values = tensor(numbers(2 * HEADS * SEQ * width, 0.1), [2, HEADS, SEQ, width], &device);
            value_relation(values, &tokens())
        };
        let (narrow, wide) = (relation(2), relation(5));
        assert_eq!(narrow.dims(), wide.dims());
        assert!(value(attention_kl(narrow.clone(), wide, &tokens())) > 0.0);
        let shares = softmax(narrow.clone(), 3).try_into_vec_as::<f32>().unwrap();
        assert_eq!(shares[2], 0.0, "the first text has two tokens");
        // Head 0 of the second text, tokens 0 and 1, by hand.
        let v = numbers(2 * HEADS * SEQ * 2, 0.1);
        let at = |token: usize| &v[(2 * SEQ + token) * 2..][..2];
        let expected = (at(0)[0] * at(1)[0] + at(0)[1] * at(1)[1]) / 2f32.sqrt();
        let found = narrow.try_into_vec_as::<f32>().unwrap()[2 * SEQ * SEQ + 1];
        assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
    }

    /// The gradient of `f` at `values` against central differences.
    fn gradient_is_the_slope<const D: usize>(what: &str, shape: [usize; D], f: impl Fn(Tensor<D>) -> Tensor<1>) {
        const STEP: f32 = 1e-2;
        let at = numbers(shape.iter().product(), 0.0);
        let device = Device::flex().autodiff();
        let x = tensor(at.clone(), shape, &device).require_grad();
        let gradients = f(x.clone()).backward();
        let found = x.grad(&gradients).expect("reached").try_into_vec_as::<f32>().unwrap();
        for i in 0..at.len() {
            let moved = |by: f32| {
                let mut values = at.clone();
                values[i] += by;
                value(f(tensor(values, shape, &Device::flex())))
            };
            let slope = (moved(STEP) - moved(-STEP)) / f64::from(2.0 * STEP);
            assert!((slope - f64::from(found[i])).abs() < 2e-3, "{what}, value {i}: {} against {slope}", found[i]);
        }
        assert!(found.iter().any(|g| g.abs() > 1e-3), "{what}: no gradient at all");
    }

    #[test]
    fn gradients_are_the_slopes_of_the_values() {
        let device = Device::flex();
        let shape = [2, HEADS, SEQ, SEQ];
        let scores = || tensor(numbers(36, 0.3), shape, &device);
        gradient_is_the_slope("cross-entropy", shape, |s| attention_cross_entropy(s, scores(), &tokens()));
        gradient_is_the_slope("kl", shape, |s| attention_kl(s, scores(), &tokens()));
        gradient_is_the_slope("row cosine", shape, |s| row_cosine(s, scores(), &tokens()));
        gradient_is_the_slope("value relation", [2, HEADS, SEQ, 2], |v| {
            attention_kl(value_relation(v, &tokens()), scores(), &tokens())
        });
        gradient_is_the_slope("cosine", [2, SEQ, 4], |s| {
            cosine(s, tensor(numbers(24, 0.3), [2, SEQ, 4], &device), &tokens())
        });
        gradient_is_the_slope("kl of classes", [2, 3], |s| kl(s, tensor(numbers(6, 0.3), [2, 3], &device), 2.0));
        let states = || tensor(numbers(24, 0.3), [2, SEQ, 4], &device);
        gradient_is_the_slope("feature map", [2, SEQ, 4], |s| crate::losses::feature_map(s, states()));
        gradient_is_the_slope("mean", [2, SEQ, 4], |s| crate::losses::feature_mean(s, states()));
        // Three times as wide, so that no variance crosses its counterpart.
        gradient_is_the_slope("variance", [2, SEQ, 4], |s| crate::losses::feature_variance(s, states() * 3.0));
    }

    #[test]
    fn padding_gets_no_gradient_and_equal_vectors_of_zeros_no_nan() {
        let device = Device::flex().autodiff();
        let x = Tensor::<3>::zeros([2, SEQ, 4], &device).require_grad();
        let gradients = cosine(x.clone(), Tensor::zeros([2, SEQ, 4], &Device::flex()), &tokens()).backward();
        let found = x.grad(&gradients).expect("reached").try_into_vec_as::<f32>().unwrap();
        assert!(found.iter().all(|g| g.is_finite()));
        let x = tensor(numbers(24, 0.0), [2, SEQ, 4], &device).require_grad();
        let gradients = cosine(x.clone(), Tensor::ones([2, SEQ, 4], &Device::flex()), &tokens()).backward();
        let found = x.grad(&gradients).expect("reached").try_into_vec_as::<f32>().unwrap();
        assert!(found[8..12].iter().all(|&g| g == 0.0), "the third token of the first text is padding");
    }
}
