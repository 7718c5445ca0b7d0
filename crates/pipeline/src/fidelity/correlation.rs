//! Rank correlations with bootstrap intervals.

use std::cmp::Ordering;

use glue_squad::metrics;
use rand::Rng;
use serde::{Deserialize, Serialize};

/// Draws of a bootstrap.
pub const DRAWS: u64 = 2000;

/// Parts of the draws below and above an interval: it holds 95% of them.
const TAIL: f64 = 0.025;

/// A number with its 95% bootstrap interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The number, of all networks.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Spearman's rank correlation, tied values sharing their mean rank; 0 where one side is constant.
pub fn spearman(x: &[f64], y: &[f64]) -> f64 {
    metrics::spearman(x, y).unwrap_or(0.0)
}

/// Kendall's tau-b, `(C - D) / sqrt((n0 - n1) (n0 - n2))` with `C` concordant and `D` discordant pairs of all `n0`, of which `n1` are tied in
/// `x` and `n2` in `y`; 0 where one side is constant or a value is not finite.
pub fn kendall(x: &[f64], y: &[f64]) -> f64 {
    if !x.iter().chain(y).all(|value| value.is_finite()) {
        return 0.0;
    }
    let order = |a: &f64, b: &f64| a.partial_cmp(b).unwrap_or(Ordering::Equal);
    match kendalls::tau_b_with_comparator(x, y, order) {
        Ok((tau, _)) if tau.is_finite() => tau,
        _ => 0.0,
    }
}

/// `statistic` of all networks, with the interval of [`DRAWS`] bootstrap samples of them: the percentiles 2.5 and 97.5 (Efron and
/// Tibshirani 1993). The statistic gets the indices of a sample. A function of the seed.
pub fn bootstrap(networks: usize, seed: u64, statistic: impl Fn(&[usize]) -> f64) -> Estimate {
    let all: Vec<usize> = (0..networks).collect();
    let value = statistic(&all);
    if networks == 0 {
        return Estimate { value, low: value, high: value };
    }
    let mut drawn: Vec<f64> = (0..DRAWS)
        .map(|draw| {
            let mut rng = run_store::rng::keyed(seed, "bootstrap of networks", &[draw]);
            let sample: Vec<usize> = all.iter().map(|_| rng.random_range(0..networks as u32) as usize).collect();
            statistic(&sample)
        })
        .collect();
    drawn.sort_by(f64::total_cmp);
    let at = |part: f64| drawn[((DRAWS - 1) as f64 * part).round() as usize];
    Estimate { value, low: at(TAIL), high: at(1.0 - TAIL) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} {b}");
    }

    /// `scipy.stats.spearmanr` and `kendalltau` (tau-b) of SciPy.
    #[test]
    fn correlations_of_tied_values_equal_scipys() {
        let x = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0, 5.0, 3.0];
        let y = [2.0, 7.0, 1.0, 8.0, 2.0, 8.0, 1.0, 8.0, 2.0, 8.0];
        close(spearman(&x, &y), 0.134_715_062_810_912_67);
        close(kendall(&x, &y), 0.130_410_132_739_325_35);
        let x = [6.31, 6.45, 6.45, 6.52, 6.6, 6.71, 6.83, 6.9];
        let y = [0.801, 0.812, 0.799, 0.812, 0.83, 0.821, 0.84, 0.84];
        close(spearman(&x, &y), 0.915_168_322_804_898_2);
        close(kendall(&x, &y), 0.792_593_923_901_217_1);
    }

    #[test]
    fn what_does_not_vary_or_is_not_finite_correlates_with_nothing() {
        let (rising, flat) = ([1.0, 2.0, 3.0], [2.0; 3]);
        for correlation in [spearman, kendall] {
            assert_eq!(correlation(&rising, &flat), 0.0);
            assert_eq!(correlation(&flat, &flat), 0.0);
            assert_eq!(correlation(&[f64::NAN, 1.0, 2.0], &rising), 0.0);
            assert_eq!(correlation(&[], &[]), 0.0);
            close(correlation(&rising, &[1.0, 10.0, 11.0]), 1.0);
            close(correlation(&rising, &[3.0, 2.0, 1.0]), -1.0);
        }
    }

    #[test]
    fn the_interval_of_a_mean_is_about_two_standard_errors_on_each_side_and_repeats() {
        let values: Vec<f64> = (0..400).map(f64::from).collect();
        let mean = |sample: &[usize]| sample.iter().map(|&i| values[i]).sum::<f64>() / sample.len() as f64;
        let found = bootstrap(values.len(), 7, mean);
        // The standard deviation of 0..400 is 115.5, by sqrt(400).
        let two = 1.96 * 115.5 / 20.0;
        close(found.value, 199.5);
        assert!((found.value - found.low - two).abs() < 1.5, "{found:?}");
        assert!((found.high - found.value - two).abs() < 1.5, "{found:?}");
        assert_eq!(found, bootstrap(values.len(), 7, mean));
        assert_ne!(found, bootstrap(values.len(), 8, mean));
    }
}
