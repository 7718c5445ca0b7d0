//! The second linear map of a feed-forward by least squares, within any expression.

use linear_fit::{Affine, LeastSquares, Matrix, Vector, fit_near};

/// Steps of descent where the expression goes on after the map.
const STEPS: usize = 8;

/// A step that lowers the loss by less than this part of it is the last.
const ENOUGH: f64 = 2e-3;

/// What is fitted: `f(W x + b) = target`, where `f` goes on with every channel for itself.
pub(super) struct Fit<'a> {
    /// What the map reads, `[inner, tokens]`.
    pub features: &'a Matrix,
    /// What comes out in the end, `[width, tokens]`.
    pub target: &'a Matrix,
    /// How much each token counts.
    pub weights: &'a [f64],
    /// What becomes of the map's values; `None`: they are the result.
    pub outer: Option<&'a dyn Fn(&Matrix) -> Matrix>,
    /// As in `linear_fit`.
    pub ridge: f64,
}

impl Fit<'_> {
    /// The map near `prior`. `None` where a value is not finite.
    pub(super) fn near(&self, prior: &Affine) -> Option<Affine> {
        match self.outer {
            None => fit_near(prior, self.features, self.target, Some(self.weights), self.ridge),
            Some(outer) => self.descend(prior, prior.apply(self.features), self.features, outer, true),
        }
    }

    /// A map of which the first `n` inputs are a good map of their own, for every `n` of `widths`, which rise: each group of inputs is fitted
    /// to what those before it leave, the bias with the first.
    pub(super) fn nested(&self, widths: &[usize], outputs: usize) -> Option<Affine> {
        let mut map = Affine::zero(self.features.nrows(), outputs);
        let mut given = Matrix::zeros(outputs, self.features.ncols());
        let mut begin = 0;
        for &end in widths.iter().filter(|&&end| end > 0) {
            let features = self.features.rows(begin, end - begin).into_owned();
            let first = begin == 0;
            let zero = Affine::zero(end - begin, outputs);
            let found = match self.outer {
                Some(outer) => self.descend(&zero, given.clone(), &features, outer, first)?,
                None if first => fit_near(&zero, &features, self.target, Some(self.weights), self.ridge)?,
                None => self.through_zero(&features, &(self.target - &given))?,
            };
            given += found.apply(&features);
            map.weight.columns_mut(begin, end - begin).copy_from(&found.weight);
            map.bias += found.bias;
            begin = end;
        }
        Some(map)
    }

    fn through_zero(&self, features: &Matrix, target: &Matrix) -> Option<Affine> {
        let mut fit = LeastSquares::new(features.nrows(), target.nrows());
        fit.add(features, target, Some(self.weights));
        let weight = fit.solve_through_zero(self.ridge)?;
        Some(Affine { bias: Vector::zeros(weight.nrows()), weight })
    }

    /// Preconditioned descent: the direction is the least-squares map of the loss's slope, and its length the best one channel by channel,
    /// shortened while it does not help.
    fn descend(
        &self,
        prior: &Affine,
        mut z: Matrix,
        features: &Matrix,
        outer: &dyn Fn(&Matrix) -> Matrix,
        with_bias: bool,
    ) -> Option<Affine> {
        let mut map = prior.clone();
        let mut left = self.target - outer(&z);
        let mut losses = self.losses(&left);
        for _ in 0..STEPS {
            // Slopes by differences: kinks and rounding only make a step shorter.
            let step = 1e-2;
            let slope = (outer(&z.add_scalar(step)) - outer(&z.add_scalar(-step))) / (2.0 * step);
            let pull = slope.component_mul(&left);
            let found = match with_bias {
                true => {
                    let zero = Affine::zero(features.nrows(), pull.nrows());
                    fit_near(&zero, features, &pull, Some(self.weights), self.ridge)?
                }
                false => self.through_zero(features, &pull)?,
            };
            let way = found.apply(features);
            let effect = slope.component_mul(&way);
            let mut lengths = self.lengths(&left, &effect);
            let before: f64 = losses.iter().sum();
            // At last those channels stay as they are.
            for shorter in [0.2, 0.2, 0.0, 0.0] {
                let tried = &z + by_rows(&way, &lengths);
                let left_then = self.target - outer(&tried);
                let then = self.losses(&left_then);
                let worse: Vec<bool> =
                    then.iter().zip(&losses).map(|(then, now)| then > now || then.is_nan()).collect();
                if !worse.contains(&true) {
                    map.weight += by_rows(&found.weight, &lengths);
                    map.bias += found.bias.component_mul(&Vector::from_column_slice(&lengths));
                    (z, left, losses) = (tried, left_then, then);
                    break;
                }
                lengths.iter_mut().zip(&worse).filter(|(_, worse)| **worse).for_each(|(length, _)| *length *= shorter);
            }
            let now: f64 = losses.iter().sum();
            if !now.is_finite() {
                return None;
            }
            if now > before * (1.0 - ENOUGH) {
                break;
            }
        }
        Some(map)
    }

    /// Loss of each channel.
    fn losses(&self, left: &Matrix) -> Vec<f64> {
        let mut losses = vec![0.0; left.nrows()];
        for (column, weight) in left.column_iter().zip(self.weights) {
            losses.iter_mut().zip(&column).for_each(|(loss, v)| *loss += weight * v * v);
        }
        losses
    }

    /// How far to go in each channel, if the expression were as straight as it is here.
    fn lengths(&self, left: &Matrix, effect: &Matrix) -> Vec<f64> {
        let mut sums = vec![[0.0, 0.0]; left.nrows()];
        for ((left, effect), weight) in left.column_iter().zip(effect.column_iter()).zip(self.weights) {
            for (sum, (l, e)) in sums.iter_mut().zip(left.iter().zip(&effect)) {
                sum[0] += weight * l * e;
                sum[1] += weight * e * e;
            }
        }
        sums.into_iter().map(|[along, size]| if size > 0.0 { along / size } else { 0.0 }).collect()
    }
}

/// Rows times their factors.
fn by_rows(x: &Matrix, factors: &[f64]) -> Matrix {
    let factors = Vector::from_column_slice(factors);
    let mut x = x.clone();
    x.column_iter_mut().for_each(|mut column| column.component_mul_assign(&factors));
    x
}
