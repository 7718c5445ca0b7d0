//! The candidates worth showing: those that no other candidate beats everywhere.

use crate::study::Trial;

/// A cost that is traded against the score; smaller is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Axis {
    /// Trainable parameters.
    Params,
    /// Multiply-adds of one forward pass, counted once.
    Macs,
    /// Measured latency, milliseconds. A point without a measurement counts as infinitely slow.
    Latency,
}

/// One candidate, as far as the trade-off is concerned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Fitness; larger is better. A point whose score is not finite is never on the front.
    pub score: f64,
    /// Trainable parameters.
    pub params: u64,
    /// Multiply-adds of one forward pass, counted once.
    pub macs: u64,
    /// Measured latency, milliseconds.
    pub latency_ms: Option<f64>,
}

impl Point {
    /// The point of a complete trial; `None` if the trial has no fitness.
    #[must_use]
    pub fn of_trial(trial: &Trial) -> Option<Self> {
        Some(Self {
            score: trial.fitness?,
            params: trial.cost.params,
            macs: trial.cost.macs,
            latency_ms: trial.latency_ms,
        })
    }

    fn value(&self, axis: Axis) -> f64 {
        match axis {
            Axis::Params => self.params as f64,
            Axis::Macs => self.macs as f64,
            Axis::Latency => self.latency_ms.filter(|ms| ms.is_finite()).unwrap_or(f64::INFINITY),
        }
    }

    /// Whether this point is at least as good as `other` in score and on every axis, and better in
    /// one of them.
    #[must_use]
    pub fn dominates(&self, other: &Self, axes: &[Axis]) -> bool {
        let no_worse = self.score >= other.score && axes.iter().all(|&axis| self.value(axis) <= other.value(axis));
        let better = self.score > other.score || axes.iter().any(|&axis| self.value(axis) < other.value(axis));
        no_worse && better
    }
}

/// Indices of the points that no other point dominates, in the order of `points`.
///
/// Points that are equal in score and on all axes are all kept.
#[must_use]
pub fn front(points: &[Point], axes: &[Axis]) -> Vec<usize> {
    (0..points.len())
        .filter(|&index| {
            let point = &points[index];
            point.score.is_finite()
                && !points.iter().any(|other| other.score.is_finite() && other.dominates(point, axes))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn point(score: f64, params: u64, macs: u64, latency_ms: Option<f64>) -> Point {
        Point { score, params, macs, latency_ms }
    }

    #[test]
    fn a_smaller_and_better_candidate_hides_the_other() {
        let points = [point(0.8, 10, 5, None), point(0.9, 9, 5, None), point(0.7, 2, 5, None)];
        assert_eq!(front(&points, &[Axis::Params]), [1, 2]);
    }

    #[test]
    fn without_axes_only_the_best_score_remains() {
        let points = [point(0.8, 1, 1, None), point(0.9, 9, 9, None)];
        assert_eq!(front(&points, &[]), [1]);
    }

    #[test]
    fn equal_candidates_are_all_kept() {
        let points = [point(0.8, 1, 1, None); 3];
        assert_eq!(front(&points, &[Axis::Params, Axis::Macs]), [0, 1, 2]);
    }

    #[test]
    fn an_unmeasured_latency_never_beats_a_measured_one() {
        let points = [point(0.8, 1, 1, None), point(0.8, 1, 1, Some(3.0))];
        assert_eq!(front(&points, &[Axis::Latency]), [1]);
    }

    #[test]
    fn a_score_that_is_not_finite_is_never_on_the_front() {
        let points = [point(f64::NAN, 0, 0, None), point(f64::INFINITY, 0, 0, None), point(0.1, 9, 9, None)];
        assert_eq!(front(&points, &[Axis::Params]), [2]);
    }

    proptest! {
        #[test]
        fn whatever_is_off_the_front_is_beaten_by_something_on_it(
            raw in prop::collection::vec((0u8..6, 0u64..6, 0u64..6), 1..25)
        ) {
            let axes = [Axis::Params, Axis::Macs];
            let points: Vec<Point> = raw
                .iter()
                .map(|&(score, params, macs)| point(f64::from(score), params, macs, None))
                .collect();
            let kept = front(&points, &axes);
            prop_assert!(!kept.is_empty());
            for (index, candidate) in points.iter().enumerate() {
                let beaten = kept.iter().any(|&k| points[k].dominates(candidate, &axes));
                prop_assert_eq!(beaten, !kept.contains(&index));
            }
        }
    }
}
