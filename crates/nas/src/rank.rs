//! Which of two evaluated architectures is the better one.

use std::cmp::Ordering;

use crate::budget::Cost;

/// What decides between evaluated architectures: the one order of the whole search.
///
/// In this order: higher fitness, fewer parameters, fewer multiply-adds, lower latency (measured ones before others), lower number.
/// So of equally good ones the smaller wins, then the faster, then the earlier. Latency comes last of the sizes because it is
/// the only one that is measured: the others decide the same in every run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rank {
    /// Fitness, finite, larger is better.
    pub fitness: f64,
    /// Size.
    pub cost: Cost,
    /// Measured latency, milliseconds, if it was measured.
    pub latency_ms: Option<f64>,
    /// Number of the trial within its stage.
    pub number: u64,
}

impl Rank {
    /// [`Ordering::Less`] where `self` is the better one, so that sorting puts the best first. Only the same trial is equal.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        // Finite, and no zero is below another: stores need not keep the sign of zero.
        let highest = |a: f64, b: f64| b.partial_cmp(&a).unwrap_or(Ordering::Equal);
        let latency = |ms: Option<f64>| ms.unwrap_or(f64::INFINITY);
        highest(self.fitness, other.fitness)
            .then_with(|| self.cost.params.cmp(&other.cost.params))
            .then_with(|| self.cost.macs.cmp(&other.cost.macs))
            .then_with(|| highest(latency(other.latency_ms), latency(self.latency_ms)))
            .then_with(|| self.number.cmp(&other.number))
    }

    /// Whether `self` is the better one.
    pub fn beats(&self, other: &Self) -> bool {
        self.order(other) == Ordering::Less
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(fitness: f64, params: u64, macs: u64, latency_ms: Option<f64>, number: u64) -> Rank {
        Rank { fitness, cost: Cost { params, macs }, latency_ms, number }
    }

    #[test]
    fn fitness_decides_then_parameters_then_multiply_adds_then_latency_then_the_number() {
        let best_first = [
            rank(0.652_90, 9_000_000, 9, Some(9.0), 9),
            rank(0.652_89, 6_590_000, 5, Some(9.0), 8),
            rank(0.652_89, 6_790_000, 4, Some(3.0), 7),
            rank(0.652_89, 6_790_000, 5, Some(2.0), 6),
            rank(0.652_89, 6_790_000, 5, Some(2.5), 1),
            rank(0.652_89, 6_790_000, 5, None, 0),
            rank(0.652_89, 6_790_000, 5, None, 2),
            rank(0.0, 1, 1, None, 3),
            rank(-0.0, 2, 1, None, 4),
            rank(-1.0, 1, 1, None, 5),
        ];
        for (i, a) in best_first.iter().enumerate() {
            for (j, b) in best_first.iter().enumerate() {
                assert_eq!(a.order(b), i.cmp(&j), "{a:?} and {b:?}");
                assert_eq!(a.beats(b), i < j, "{a:?} and {b:?}");
            }
        }
    }

    #[test]
    fn of_the_candidates_of_a_run_on_pocket_data_the_smaller_wins() {
        // As a run printed them: the first has 6.79M parameters, the second 6.59M, both score 0.65289.
        let (first, second) = (rank(0.652_89, 6_790_000, 0, None, 0), rank(0.652_89, 6_590_000, 0, None, 1));
        assert!(second.beats(&first) && !first.beats(&second));
    }
}
