//! How well each fidelity orders networks, beside the control.

use std::collections::BTreeMap;

use kd::proxy::Proxy;
use serde::{Deserialize, Serialize};

use super::correlation::{Estimate, bootstrap, kendall, spearman};
use super::record::Measured;
use super::{Beginning, Fidelity};

/// Fewest networks of which a correlation is computed.
pub const FEWEST: usize = 4;

/// Whether a fidelity orders networks better than their number of parameters does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is the control.
    Control,
    /// The interval of the difference is above 0.
    Beats,
    /// The interval holds 0.
    Undecided,
    /// The interval is below 0.
    Loses,
}

impl Verdict {
    /// As a table says it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Control => "the control",
            Self::Beats => "beats the control",
            Self::Undecided => "does not beat the control",
            Self::Loses => "worse than the control",
        }
    }
}

/// How well a fidelity orders networks as their final scores do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranked {
    /// Which one.
    pub fidelity: Fidelity,
    /// Networks with this score, the control and a final score.
    pub networks: usize,
    /// Spearman's correlation with the final score.
    pub spearman: Estimate,
    /// Kendall's tau-b.
    pub kendall: Estimate,
    /// Spearman's correlation less the control's, on the same samples of networks.
    pub gain: Estimate,
    /// What follows from the gain.
    pub verdict: Verdict,
    /// Seconds per network, the mean.
    pub seconds: f64,
}

impl Ranked {
    /// Whether a search may use it without being told to: it beats the control.
    pub fn may_be_default(&self) -> bool {
        self.verdict == Verdict::Beats
    }
}

/// Which number of a network is to be foretold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The mean probability of the right answer on the dev sets after the final training.
    DevProbability,
    /// The mean of the tasks' metrics on the dev sets after the final training.
    DevMetric,
}

/// Every fidelity that was measured of at least [`FEWEST`] networks, in their order. Networks without a score (a training that diverged) are
/// left out of that fidelity. Intervals are a function of the seed.
pub fn rank(networks: &BTreeMap<u32, Measured>, target: Target, seed: u64) -> Vec<Ranked> {
    let control = Fidelity::CONTROL;
    let mut fidelities: Vec<Fidelity> = networks.values().flat_map(|network| network.scores.keys().copied()).collect();
    fidelities.sort();
    fidelities.dedup();
    let of = |fidelity| {
        let mut columns = [Vec::new(), Vec::new(), Vec::new()];
        let mut seconds = 0.0;
        for network in networks.values() {
            let score = |fidelity| network.scores.get(&fidelity).and_then(|score| score.score);
            let last = network.scores.get(&Fidelity::Final).and_then(|score| match target {
                Target::DevProbability => score.score,
                Target::DevMetric => score.metric,
            });
            let (Some(own), Some(control), Some(last)) = (score(fidelity), score(control), last) else { continue };
            for (column, value) in columns.iter_mut().zip([own, control, last]) {
                column.push(value);
            }
            seconds += network.scores[&fidelity].seconds;
        }
        (columns, seconds)
    };
    let ranked = |fidelity| {
        let ([own, control_scores, last], seconds) = of(fidelity);
        let count = own.len();
        if count < FEWEST {
            return None;
        }
        let by = |correlation: fn(&[f64], &[f64]) -> f64, scores: &[f64], sample: &[usize]| {
            let pick = |column: &[f64]| sample.iter().map(|&i| column[i]).collect::<Vec<_>>();
            correlation(&pick(scores), &pick(&last))
        };
        let rho = bootstrap(count, seed, |sample| by(spearman, &own, sample));
        let tau = bootstrap(count, seed, |sample| by(kendall, &own, sample));
        let gain = bootstrap(count, seed, |sample| by(spearman, &own, sample) - by(spearman, &control_scores, sample));
        let verdict = match () {
            () if fidelity == control => Verdict::Control,
            () if gain.low > 0.0 => Verdict::Beats,
            () if gain.high < 0.0 => Verdict::Loses,
            () => Verdict::Undecided,
        };
        let seconds = seconds / count as f64;
        Some(Ranked { fidelity, networks: count, spearman: rho, kendall: tau, gain, verdict, seconds })
    };
    fidelities.into_iter().filter(|&fidelity| fidelity != Fidelity::Final).filter_map(ranked).collect()
}

impl Fidelity {
    /// What every other one has to beat.
    pub const CONTROL: Self = Self::Proxy(Proxy::Parameters, Beginning::Random);
}

#[cfg(test)]
mod tests {
    use super::super::record::Score;
    use super::*;

    fn networks(count: u32, of: impl Fn(u32) -> Vec<(Fidelity, f64)>) -> BTreeMap<u32, Measured> {
        let score = |score| Score { score: Some(score), metric: None, seconds: 2.0 };
        let measured = |number| Measured {
            scores: of(number).into_iter().map(|(fidelity, value)| (fidelity, score(value))).collect(),
            ..Measured::default()
        };
        (0..count).map(|number| (number, measured(number))).collect()
    }

    const TRAINED: Fidelity = Fidelity::Trained(Beginning::Teacher, 60);
    const SLICE: Fidelity = Fidelity::Trained(Beginning::Slice, 0);

    #[test]
    fn a_fidelity_beats_the_control_only_where_the_interval_of_the_difference_is_above_0() {
        let found = networks(20, |n| {
            let last = f64::from(n);
            // The control is a shuffle, `SLICE` the control again but for a few places.
            let shuffled = f64::from(n * 7 % 20);
            let near = if n < 4 { f64::from(n) } else { shuffled };
            vec![(Fidelity::CONTROL, shuffled), (TRAINED, last.exp()), (SLICE, near), (Fidelity::Final, last)]
        });
        let ranked = rank(&found, Target::DevProbability, 1);
        let of = |fidelity| ranked.iter().find(|row| row.fidelity == fidelity).expect("ranked");
        assert_eq!(ranked.len(), 3, "the final score itself is no fidelity");
        assert_eq!(of(Fidelity::CONTROL).verdict, Verdict::Control);
        assert_eq!(of(Fidelity::CONTROL).gain, Estimate { value: 0.0, low: 0.0, high: 0.0 });
        let trained = of(TRAINED);
        assert_eq!((trained.verdict, trained.networks, trained.seconds), (Verdict::Beats, 20, 2.0));
        assert!((trained.spearman.value - 1.0).abs() < 1e-12 && (trained.kendall.value - 1.0).abs() < 1e-12);
        assert!(trained.may_be_default() && !of(SLICE).may_be_default());
        assert_eq!(of(SLICE).verdict, Verdict::Undecided, "{:?}", of(SLICE).gain);
    }

    #[test]
    fn a_network_without_a_score_is_left_out_and_a_handful_has_no_correlation() {
        let mut found = networks(5, |n| {
            vec![(Fidelity::CONTROL, f64::from(n)), (TRAINED, f64::from(n)), (Fidelity::Final, f64::from(n))]
        });
        found.get_mut(&2).unwrap().scores.get_mut(&TRAINED).unwrap().score = None;
        let ranked = rank(&found, Target::DevProbability, 1);
        let counts: Vec<_> = ranked.iter().map(|row| (row.fidelity, row.networks)).collect();
        assert_eq!(counts, [(Fidelity::CONTROL, 5), (TRAINED, 4)]);
        found.remove(&3);
        assert!(!rank(&found, Target::DevProbability, 1).iter().any(|row| row.fidelity == TRAINED));
        assert!(rank(&found, Target::DevMetric, 1).is_empty(), "no network has a metric");
    }
}
