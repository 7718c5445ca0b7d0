//! Which columns explain a target best, one after the other.

use crate::{Matrix, Vector};

/// Features and a target that linear maps of some of the features shall explain.
#[derive(Clone, Debug)]
pub struct Target {
    /// Second moments of the features, `[features, features]`.
    pub features: Matrix,
    /// Moments of the target with them, `[outputs, features]`.
    pub with_target: Matrix,
    /// What a unit of the target's squared error counts.
    pub weight: f64,
}

/// The first `count` features of a greedy order: each is the one whose addition lowers the weighted sum of the targets' squared errors
/// most, with the best linear map of all features chosen so far (orthogonal least squares, Chen, Billings and Luo 1989).
///
/// Every part of the order is a choice of its own size, the most important first. `ridge`, relative to the mean second moment, keeps
/// features from being chosen for what is left of them after rounding. Of equals the first is taken; features that explain nothing more
/// follow in their own order.
///
/// # Shapes
/// Targets of the same number of features.
///
/// # Panics
/// There are fewer features than `count`.
pub fn choose(targets: Vec<Target>, count: usize, ridge: f64) -> Vec<usize> {
    let all = targets.first().map_or(0, |target| target.features.ncols());
    assert!(count <= all, "{count} of {all} features");
    let mut states: Vec<State> = targets.into_iter().map(|target| State::new(target, count, ridge)).collect();
    let mut chosen = Vec::with_capacity(count);
    let mut free = vec![true; all];
    while chosen.len() < count {
        let mut gains = vec![0.0; all];
        for state in &states {
            state.add_gains(&mut gains);
        }
        let mut best = None;
        for (feature, &gain) in gains.iter().enumerate().filter(|(feature, _)| free[*feature]) {
            if best.is_none_or(|(_, most)| gain > most) {
                best = Some((feature, gain));
            }
        }
        let Some((feature, _)) = best else { break };
        free[feature] = false;
        chosen.push(feature);
        states.iter_mut().for_each(|state| state.take(feature));
    }
    chosen
}

/// What the features chosen so far leave of a target: a Cholesky factorization in their order.
struct State {
    target: Target,
    /// What is left of each feature's second moment, with the ridge.
    left: Vector,
    /// Columns of the factor.
    factor: Matrix,
    taken: usize,
    ridge: f64,
}

impl State {
    fn new(target: Target, count: usize, ridge: f64) -> Self {
        let features = target.features.ncols();
        let mean = target.features.trace() / features.max(1) as f64;
        let ridge = (mean * ridge).max(f64::MIN_POSITIVE);
        let left = target.features.diagonal().add_scalar(ridge);
        Self { left, factor: Matrix::zeros(features, count), taken: 0, ridge, target }
    }

    fn add_gains(&self, gains: &mut [f64]) {
        for ((gain, column), left) in gains.iter_mut().zip(self.target.with_target.column_iter()).zip(&self.left) {
            if *left > self.ridge * 0.5 {
                *gain += self.target.weight * column.norm_squared() / left;
            }
        }
    }

    fn take(&mut self, feature: usize) {
        let pivot = self.left[feature].max(self.ridge).sqrt();
        let mut column = self.target.features.column(feature).into_owned();
        column[feature] += self.ridge;
        let done = self.factor.columns(0, self.taken);
        column -= done * done.row(feature).transpose();
        column /= pivot;
        let through = self.target.with_target.column(feature) / pivot;
        self.target.with_target.ger(-1.0, &through, &column, 1.0);
        self.left.zip_apply(&column, |left, c| *left -= c * c);
        self.factor.set_column(self.taken, &column);
        self.taken += 1;
    }
}
