//! Layer norms over fewer channels than the teacher's.

use bert_core::Norm;
use encoder_spec::{Normalization, Shape};
use linear_fit::{Matrix, Vector};

use super::modules::{read_norm, write_norm};

/// Columns with their mean taken away and divided by their deviation, and these deviations.
pub(super) fn normalized(x: &Matrix, kind: Normalization) -> (Matrix, Vec<f64>) {
    let eps = match kind {
        Normalization::LayerNorm { eps } => eps,
        Normalization::NoNorm => return (x.clone(), vec![1.0; x.ncols()]),
    };
    let (mut x, width) = (x.clone(), x.nrows() as f64);
    let mut deviations = Vec::with_capacity(x.ncols());
    for mut column in x.column_iter_mut() {
        let mean = column.sum() / width;
        column.add_scalar_mut(-mean);
        let deviation = (column.norm_squared() / width + eps).sqrt();
        column /= deviation;
        deviations.push(deviation);
    }
    (x, deviations)
}

/// What a sum is worth to the norm after it: an error counts by the inverse of the token's deviation.
pub(super) fn token_weights(deviations: &[f64], counts: &[f64]) -> Vec<f64> {
    deviations.iter().zip(counts).map(|(d, count)| count / (d * d)).collect()
}

/// Scales and shifts such that the norm of `sums` is nearest to `target`, channel by channel, and the norm's output.
///
/// Statistics over the kept channels are not those over all, so that the teacher's own scales, `prior`, would not do. A channel without
/// variance keeps its prior.
pub(super) fn fit(
    norm: &mut Norm,
    spec: &encoder_spec::Norm<Shape>,
    sums: &Matrix,
    target: &Matrix,
    (counts, prior): (&[f64], (&Vector, &Vector)),
) -> Matrix {
    let (mut x, _) = normalized(sums, spec.kind);
    let (mut scale, mut shift) = (prior.0.clone(), prior.1.clone());
    let total: f64 = counts.iter().sum();
    for channel in 0..x.nrows() {
        let (row, wanted) = (x.row(channel), target.row(channel));
        let weighted = |value: &dyn Fn(f64, f64) -> f64| {
            row.iter().zip(&wanted).zip(counts).map(|((&x, &y), c)| c * value(x, y)).sum::<f64>() / total
        };
        let left = |x: f64, y: f64| y - scale[channel] * x;
        let (mean, mean_left) = (weighted(&|x, _| x), weighted(&|x, y| left(x, y)));
        let variance = weighted(&|x, _| (x - mean).powi(2));
        let covariance = weighted(&|x, y| (x - mean) * (left(x, y) - mean_left));
        let more = if variance > 1e-9 { covariance / (variance + 1e-9) } else { 0.0 };
        scale[channel] += more;
        shift[channel] = mean_left - more * mean;
    }
    write_norm(norm, (&scale, &shift));
    for mut column in x.column_iter_mut() {
        column.component_mul_assign(&scale);
        column += &shift;
    }
    x
}

/// Scale and shift of the teacher's norm on some channels.
pub(super) fn prior(norm: &Norm, channels: &[usize]) -> (Vector, Vector) {
    let (scale, shift) = read_norm(norm);
    (scale.select_rows(channels), shift.select_rows(channels))
}
