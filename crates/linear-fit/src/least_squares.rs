//! Weighted least squares with a ridge.

use crate::products::{moments_with, product_transposed, scaled};
use crate::{Affine, Matrix, Vector};

/// Normal equations of `min_W,b sum_n w_n |y_n - W x_n - b|^2 + ridge |W|^2`, gathered from pieces of the samples.
///
/// The ridge is relative: it is a factor of the mean variance of a feature, so that it means the same for features of any scale. The
/// bias is not drawn towards 0.
#[derive(Clone, Debug)]
pub struct LeastSquares {
    weight: f64,
    x: Vector,
    y: Vector,
    xx: Matrix,
    yx: Matrix,
}

impl LeastSquares {
    /// No samples yet.
    pub fn new(inputs: usize, outputs: usize) -> Self {
        Self {
            weight: 0.0,
            x: Vector::zeros(inputs),
            y: Vector::zeros(outputs),
            xx: Matrix::zeros(inputs, inputs),
            yx: Matrix::zeros(outputs, inputs),
        }
    }

    /// Adds samples, each with the weight that `weights` has for it, or 1.
    ///
    /// # Shapes
    /// - `x`: `[inputs, samples]`
    /// - `y`: `[outputs, samples]`
    /// - `weights`: `[samples]`, not negative
    ///
    /// # Panics
    /// Shapes that do not fit.
    pub fn add(&mut self, x: &Matrix, y: &Matrix, weights: Option<&[f64]>) {
        let weighted = weights.map(|weights| scaled(x, weights));
        let wx = weighted.as_ref().unwrap_or(x);
        self.weight += weights.map_or(x.ncols() as f64, |weights| weights.iter().sum());
        self.x += wx.column_sum();
        self.y += match weights {
            Some(weights) => y * Vector::from_column_slice(weights),
            None => y.column_sum(),
        };
        self.xx += moments_with(wx, x);
        self.yx += product_transposed(y, wx);
    }

    /// The map of least squares, with its bias; `None` where a sum is not finite. Without any variance of the features, or without
    /// samples, the map is 0 but for its bias.
    pub fn solve(&self, ridge: f64) -> Option<Affine> {
        let total = if self.weight > 0.0 { self.weight } else { 1.0 };
        let (x, y) = (&self.x / total, &self.y / total);
        let xx = &self.xx / total - &x * x.transpose();
        let yx = &self.yx / total - &y * x.transpose();
        let weight = regress(xx, &yx, ridge)?;
        let bias = y - &weight * x;
        Some(Affine { weight, bias })
    }

    /// The map of least squares without a bias.
    pub fn solve_through_zero(&self, ridge: f64) -> Option<Matrix> {
        let total = if self.weight > 0.0 { self.weight } else { 1.0 };
        regress(&self.xx / total, &(&self.yx / total), ridge)
    }
}

/// `yx (xx + ridge tr(xx)/n)^-1`.
fn regress(mut xx: Matrix, yx: &Matrix, ridge: f64) -> Option<Matrix> {
    let inputs = xx.nrows();
    let mean = xx.trace() / inputs.max(1) as f64;
    if !(mean.is_finite() && yx.iter().all(|v| v.is_finite())) {
        return None;
    }
    if mean <= 0.0 {
        return Some(Matrix::zeros(yx.nrows(), inputs));
    }
    // Sums of a few samples round to matrices that are not quite positive; a larger ridge makes them so.
    let mut added = 0.0;
    let mut wanted = mean * ridge.max(1e-12);
    loop {
        for i in 0..inputs {
            xx[(i, i)] += wanted - added;
        }
        added = wanted;
        if let Some(factor) = xx.clone().cholesky() {
            return Some(factor.solve(&yx.transpose()).transpose());
        }
        wanted *= 10.0;
        if !wanted.is_finite() {
            return None;
        }
    }
}

/// The map near `prior` that fits best: `prior + D`, where `D` is the least-squares map of what `prior` leaves,
/// `y - prior(x)`, drawn towards 0 by the ridge. `None` where a value is not finite.
///
/// A prior that fits already stays as it is, and what the samples do not show stays as the prior has it.
///
/// # Shapes
/// As [`LeastSquares::add`].
pub fn fit_near(prior: &Affine, x: &Matrix, y: &Matrix, weights: Option<&[f64]>, ridge: f64) -> Option<Affine> {
    let mut fit = LeastSquares::new(prior.inputs(), prior.outputs());
    fit.add(x, &(y - prior.apply(x)), weights);
    let found = fit.solve(ridge)?;
    Some(Affine { weight: &prior.weight + found.weight, bias: &prior.bias + found.bias })
}
