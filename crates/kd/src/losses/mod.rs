//! Distillation losses as functions of tensors.
//!
//! Student tensors may be tracked by autodiff; teacher tensors are constants. Every function
//! returns one value, `[1]`. Means run over all elements, padding included, as the released
//! codes do; those between distributions and between directions run over the rows of real tokens.

mod rows;

use burn::tensor::Tensor;
use train::losses::blocked_positions;

/// Epsilon of the parameter-free LayerNorm in MobileBERT's feature map transfer.
const FEATURE_NORM_EPS: f64 = 1e-5;

pub use fused_ops::{attention_mse as attention_scores, mse, soft_cross_entropy};
pub use rows::{attention_cross_entropy, attention_kl, cosine, kl, row_cosine, value_relation};

/// What a span distillation does with position 0, the `[CLS]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClsPosition {
    /// It cannot be chosen, as in EfficientBERT's code: every question has an answer (SQuAD v1.1).
    Blocked,
    /// It is a position like others: it stands for "no answer" (SQuAD v2.0), and blocked it could not be learned.
    Kept,
}

/// `compare` of start scores plus `compare` of end scores. Scores of padding, and of position 0 where `cls` says so, are -10000 on
/// both sides: they take no part in a softmax and do not differ.
///
/// With [`soft_cross_entropy`] at temperature 1 it is EfficientBERT's span distillation. Tokens of the question stay: the decoder leaves
/// them out.
///
/// # Shapes
/// - `start`, `end` pairs of (student, teacher): `[batch, seq]`
/// - `mask`: `[batch, seq]`, 1 on tokens
pub fn span_sum(
    start: (Tensor<2>, Tensor<2>),
    end: (Tensor<2>, Tensor<2>),
    mask: Tensor<2>,
    cls: ClsPosition,
    compare: impl Fn(Tensor<2>, Tensor<2>) -> Tensor<1>,
) -> Tensor<1> {
    let [batch, seq] = mask.dims();
    let allowed = match cls {
        ClsPosition::Kept => mask,
        ClsPosition::Blocked => {
            let first = Tensor::zeros([batch, 1], &mask.device());
            Tensor::cat(vec![first, mask.narrow(1, 1, seq - 1)], 1)
        }
    };
    let bias = blocked_positions(allowed.clone());
    let only = |x: Tensor<2>| x * allowed.clone() + bias.clone();
    let term = |(s, t): (Tensor<2>, Tensor<2>)| compare(only(s), only(t));
    term(start) + term(end)
}

/// MobileBERT's feature map transfer: `mse` of parameter-free layer norms.
///
/// # Shapes
/// - `student`, `teacher`: `[batch, seq, hidden]`
pub fn feature_map(student: Tensor<3>, teacher: Tensor<3>) -> Tensor<1> {
    mse(normalized(student), normalized(teacher))
}

fn normalized(x: Tensor<3>) -> Tensor<3> {
    let centered = x.clone() - x.mean_dim(2);
    let variance = (centered.clone() * centered.clone()).mean_dim(2);
    centered / (variance + FEATURE_NORM_EPS).sqrt()
}

/// MobileBERT's mean term: mean squared difference of per-token means.
///
/// # Shapes
/// - `student`, `teacher`: `[batch, seq, hidden]`
pub fn feature_mean(student: Tensor<3>, teacher: Tensor<3>) -> Tensor<1> {
    mse(student.mean_dim(2), teacher.mean_dim(2))
}

/// MobileBERT's variance term: mean absolute difference of per-token population variances.
///
/// # Shapes
/// - `student`, `teacher`: `[batch, seq, hidden]`
pub fn feature_variance(student: Tensor<3>, teacher: Tensor<3>) -> Tensor<1> {
    let variance = |x: Tensor<3>| {
        let centered = x.clone() - x.mean_dim(2);
        (centered.clone() * centered).mean_dim(2)
    };
    (variance(student) - variance(teacher)).abs().mean()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    const MASK: [[f32; 4]; 2] = [[1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]];
    const START: [[f32; 4]; 2] = [[0.5, -1.0, 2.0, 50.0], [0.0, 1.0, -0.5, 0.25]];
    const END: [[f32; 4]; 2] = [[1.5, 0.0, -2.0, 70.0], [0.3, -1.0, 0.5, 2.0]];

    #[test]
    fn span_distillation_blocks_padding_and_the_cls_only_where_there_is_no_null_answer() {
        let [start, end, mask] = [START, END, MASK].map(|rows| Tensor::<2>::from_floats(rows, &Device::flex()));
        let loss = |cls| {
            let (starts, ends) = ((start.clone(), end.clone()), (end.clone(), start.clone()));
            let loss = span_sum(starts, ends, mask.clone(), cls, |s, t| soft_cross_entropy(s, t, 1.0));
            f64::from(loss.into_scalar::<f32>())
        };
        // Over the positions that may be chosen: -softmax(teacher) . log_softmax(student).
        let soft = |student: &[f32], teacher: &[f32]| {
            let sum = |row: &[f32]| row.iter().map(|&v| f64::from(v).exp()).sum::<f64>();
            let term = |(&s, &t): (&f32, &f32)| f64::from(t).exp() / sum(teacher) * (sum(student).ln() - f64::from(s));
            student.iter().zip(teacher).map(term).sum::<f64>()
        };
        let expected = |first: usize| {
            let rows = [(first..3, 0), (first..4, 1)];
            let both = rows.into_iter().map(|(columns, row)| {
                let (a, b) = (&START[row][columns.clone()], &END[row][columns]);
                soft(a, b) + soft(b, a)
            });
            both.sum::<f64>() / 8.0
        };
        assert!((loss(ClsPosition::Kept) - expected(0)).abs() < 1e-5, "{}", loss(ClsPosition::Kept));
        assert!((loss(ClsPosition::Blocked) - expected(1)).abs() < 1e-5, "{}", loss(ClsPosition::Blocked));
    }
}
