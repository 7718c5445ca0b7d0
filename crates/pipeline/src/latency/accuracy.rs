//! How far predicted and measured latencies are apart.

use std::sync::atomic::AtomicBool;

use bert_core::BertConfig;
use nas::budget::Budget;
use serde::{Deserialize, Serialize};

use super::Predictor;
use super::make::quantile;
use super::measure::{BUSY, Timer};
use super::network::Networks;
use super::students::TimedStudents;
use super::table::MOST_MARGIN;
use crate::Result;
use crate::recipe::LatencySettings;

/// Measurements of an architecture while the machine is busy.
const ATTEMPTS: usize = 4;

/// How often those are measured again, after all others, during which it was busy in all attempts.
const SWEEPS: usize = 6;

/// How well a table predicts random architectures of a search space. Errors are parts of the measured latency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accuracy {
    /// Architectures that were predicted and measured.
    pub architectures: usize,
    /// Mean of `|predicted - measured| / measured`.
    pub mean_abs_error: f64,
    /// The same that nine of ten are below.
    pub p90_abs_error: f64,
    /// The largest.
    pub max_abs_error: f64,
    /// Mean of `(predicted - measured) / measured`: above 0 where the table says too much.
    pub mean_error: f64,
    /// [`Accuracy::mean_abs_error`] at the table's pace: measured times are divided by how much longer than in the table the reference took
    /// at the same time.
    pub mean_abs_error_at_pace: f64,
    /// The smallest and the largest of these ratios.
    pub pace: [f64; 2],
    /// Fastest and slowest architecture, measured milliseconds.
    pub range_ms: [f64; 2],
    /// When it was measured, in UTC.
    pub measured: String,
    /// Seed of the architectures.
    pub seed: u64,
}

/// One architecture, predicted and measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// Its feed-forwards, or a whole encoder.
    pub architecture: String,
    /// Milliseconds, predicted.
    pub predicted_ms: f64,
    /// Milliseconds, measured.
    pub measured_ms: f64,
    /// How much longer than in the table the reference took at the same time.
    pub pace: f64,
}

impl Pair {
    fn error(&self) -> f64 {
        self.predicted_ms / self.measured_ms - 1.0
    }

    fn error_at_pace(&self) -> f64 {
        self.predicted_ms * self.pace / self.measured_ms - 1.0
    }
}

impl Accuracy {
    pub(super) fn check(&self) -> Result<(), String> {
        let errors = [
            ("mean_abs_error", self.mean_abs_error),
            ("p90_abs_error", self.p90_abs_error),
            ("max_abs_error", self.max_abs_error),
            ("mean_abs_error_at_pace", self.mean_abs_error_at_pace),
        ];
        match errors.iter().find(|(_, value)| !(value.is_finite() && *value >= 0.0)) {
            Some((name, value)) => Err(format!("`accuracy.{name}` is {value}, which no measurement gives")),
            None => Ok(()),
        }
    }

    /// That of `pairs`, which are not empty.
    pub fn of(pairs: &[Pair], seed: u64, measured: &str) -> Self {
        let mut errors: Vec<f64> = pairs.iter().map(|pair| pair.error().abs()).collect();
        errors.sort_by(f64::total_cmp);
        let mean = |of: &dyn Fn(&Pair) -> f64| pairs.iter().map(of).sum::<f64>() / pairs.len().max(1) as f64;
        let range = |of: &dyn Fn(&Pair) -> f64| {
            let values = || pairs.iter().map(of);
            [values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max)]
        };
        Self {
            architectures: pairs.len(),
            mean_abs_error: mean(&|pair| pair.error().abs()),
            p90_abs_error: quantile(&errors, 0.9),
            max_abs_error: quantile(&errors, 1.0),
            mean_error: mean(&Pair::error),
            mean_abs_error_at_pace: mean(&|pair| pair.error_at_pace().abs()),
            pace: range(&|pair| pair.pace),
            range_ms: range(&|pair| pair.measured_ms),
            measured: measured.to_owned(),
            seed,
        }
    }

    /// How far a search keeps predicted latencies below its limit: what the slowest tenth of `pairs` takes more than predicted, at the
    /// table's pace.
    pub fn margin(pairs: &[Pair]) -> f64 {
        let mut excess: Vec<f64> = pairs.iter().map(|pair| 1.0 / (1.0 + pair.error_at_pace()) - 1.0).collect();
        excess.sort_by(f64::total_cmp);
        (quantile(&excess, 0.9).clamp(0.0, MOST_MARGIN) * 1e4).round() / 1e4
    }
}

/// Measures `count` random `students` within `budget`, and what `predictor` predicts of each. Those during which other
/// programs were in the way, so that the reference took longer than in the table, are measured again at the end, a few times at most; the
/// quietest measurement of each counts.
///
/// # Errors
/// A budget that nothing meets; [`Error::Interrupted`](crate::Error::Interrupted) once `stop` is set.
pub fn accuracy(
    predictor: &Predictor,
    (students, settings): (&TimedStudents, LatencySettings),
    (budget, count, seed): (&Budget, usize, u64),
    stop: &AtomicBool,
    watch: &mut dyn FnMut(u64, u64),
) -> Result<Vec<Pair>> {
    let drawn = students.drawn(budget, ("latency accuracy", seed), count as u64)?;
    let frame = students.frame();
    let networks = Networks::new(frame, settings);
    let reference = networks.compile(&predictor.table().reference.architecture)?;
    let mut timer = Timer::new(settings, frame.vocab_size, rayon::current_num_threads());
    let reference_ms = predictor.table().reference.ms;
    let mut measured = |(architecture, config): &(String, BertConfig)| -> Result<Pair> {
        let model = networks.compile_config(config)?;
        let attempts = (reference_ms, ATTEMPTS);
        let times = timer.patient_ms(&[&reference, &model], attempts, Some(stop), &|_| false)?;
        let predicted_ms = predictor.ms_of(config)?;
        Ok(Pair {
            architecture: architecture.clone(),
            predicted_ms,
            measured_ms: times[1],
            pace: times[0] / reference_ms,
        })
    };
    let mut pairs = Vec::with_capacity(count);
    watch(0, count as u64);
    for student in &drawn {
        pairs.push(measured(student)?);
        watch(pairs.len() as u64, count as u64);
    }
    for _ in 0..SWEEPS {
        let busy = |pairs: &[Pair]| pairs.iter().filter(|pair| pair.pace > BUSY).count();
        let before = busy(&pairs);
        for (pair, student) in pairs.iter_mut().zip(&drawn).filter(|(pair, _)| pair.pace > BUSY) {
            let again = measured(student)?;
            if again.pace < pair.pace {
                *pair = again;
            }
        }
        // A machine that is slower than the table's does not become quiet.
        if busy(&pairs) == before {
            break;
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(predicted_ms: f64, measured_ms: f64, pace: f64) -> Pair {
        let architecture = "linear1_1(relu(linear1_1(x,wb1)),wb2)".to_owned();
        Pair { architecture, predicted_ms, measured_ms, pace }
    }

    #[test]
    fn errors_are_parts_of_what_was_measured() {
        let pairs = [pair(1.1, 1.0, 1.0), pair(0.8, 1.0, 1.0), pair(1.0, 2.0, 2.0)];
        let found = Accuracy::of(&pairs, 7, "now");
        assert!((found.mean_abs_error - (0.1 + 0.2 + 0.5) / 3.0).abs() < 1e-12, "{found:?}");
        assert!((found.mean_error - (0.1 - 0.2 - 0.5) / 3.0).abs() < 1e-12);
        assert!((found.max_abs_error - 0.5).abs() < 1e-12);
        assert!(
            (found.mean_abs_error_at_pace - 0.1).abs() < 1e-12,
            "a machine at half its pace predicts nothing wrong"
        );
        assert_eq!((found.architectures, found.pace, found.range_ms), (3, [1.0, 2.0], [1.0, 2.0]));
    }

    #[test]
    fn the_margin_is_what_the_slowest_take_more_and_never_less_than_nothing() {
        let slow: Vec<Pair> = (0..11).map(|i| pair(1.0, 1.0 + 0.005 * f64::from(i), 1.0)).collect();
        assert!((Accuracy::margin(&slow) - 0.045).abs() < 1e-6, "{}", Accuracy::margin(&slow));
        assert_eq!(Accuracy::margin(&[pair(1.0, 0.5, 1.0)]), 0.0);
        assert_eq!(Accuracy::margin(&[pair(1.0, 3.0, 1.0)]), MOST_MARGIN);
    }
}
