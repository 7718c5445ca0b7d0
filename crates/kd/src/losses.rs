//! Distillation losses as functions of tensors.
//!
//! Student tensors may be tracked by autodiff; teacher tensors are constants. Every function
//! returns one value, `[1]`. Means run over all elements, padding included, as the released
//! codes do.

use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Int, Tensor};

/// Added to span scores that may not be chosen.
const BLOCKED_POSITION: f64 = -10_000.0;
/// Epsilon of the parameter-free LayerNorm in MobileBERT's feature map transfer.
const FEATURE_NORM_EPS: f64 = 1e-5;

pub use fused_ops::{attention_mse as attention_scores, mse, soft_cross_entropy};

/// Hard cross-entropy: mean over the batch of `-log_softmax(logits)[label]`.
///
/// # Shapes
/// - `logits`: `[batch, classes]`
/// - `labels`: `[batch]`
pub fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>) -> Tensor<1> {
    log_softmax(logits, 1).gather(1, labels.unsqueeze_dim(1)).mean().neg()
}

/// Span distillation (EfficientBERT): soft cross-entropy of start and of end scores, added
/// elementwise and averaged over batch x positions. Padding and position 0 get -10000 on both
/// sides first.
///
/// # Shapes
/// - `start`, `end` pairs of (student, teacher): `[batch, seq]`
/// - `mask`: `[batch, seq]`, 1 on tokens
pub fn span_soft_cross_entropy(
    start: (Tensor<2>, Tensor<2>),
    end: (Tensor<2>, Tensor<2>),
    mask: Tensor<2>,
) -> Tensor<1> {
    let [batch, seq] = mask.dims();
    let first = Tensor::zeros([batch, 1], &mask.device());
    let allowed = Tensor::cat(vec![first, mask.narrow(1, 1, seq - 1)], 1);
    let bias = (allowed - 1.0) * -BLOCKED_POSITION;
    let term = |(s, t): (Tensor<2>, Tensor<2>)| soft_cross_entropy(s + bias.clone(), t + bias.clone(), 1.0);
    term(start) + term(end)
}

/// MobileBERT's feature map transfer: `mse` of parameter-free layer norms.
///
/// # Shapes
/// - `student`, `teacher`: `[batch, seq, hidden]`
pub fn feature_map(student: Tensor<3>, teacher: Tensor<3>) -> Tensor<1> {
    mse(normalised(student), normalised(teacher))
}

fn normalised(x: Tensor<3>) -> Tensor<3> {
    let centred = x.clone() - x.mean_dim(2);
    let variance = (centred.clone() * centred.clone()).mean_dim(2);
    centred / (variance + FEATURE_NORM_EPS).sqrt()
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
        let centred = x.clone() - x.mean_dim(2);
        (centred.clone() * centred).mean_dim(2)
    };
    (variance(student) - variance(teacher)).abs().mean()
}

/// MobileBERT's attention transfer: cross-entropy of attention distributions, summed over keys,
/// averaged over batch, heads and queries.
///
/// # Shapes
/// - `student`, `teacher`: scores before the softmax, `[batch, heads, seq, seq]`
pub fn attention_cross_entropy(student: Tensor<4>, teacher: Tensor<4>) -> Tensor<1> {
    (softmax(teacher, 3) * log_softmax(student, 3)).sum_dim(3).mean().neg()
}
