//! The GLUE metrics, as fractions; equal to scikit-learn and SciPy wherever those define a value.
//!
//! Every function is defined for every input of equal lengths. Where the usual formula divides by zero the value is 0.0:
//!
//! | case | here | elsewhere |
//! |---|---|---|
//! | nothing to score | 0.0 | scikit-learn: NaN or an error |
//! | F1, class 1 neither predicted nor present | 0.0 | scikit-learn: 0.0 with a warning |
//! | Matthews, predictions or labels all of one class | 0.0 | scikit-learn: 0.0 |
//! | correlations, constant predictions or labels, or one pair | 0.0 | SciPy: NaN or an error |
//! | correlations, a value that is not finite (a diverged model) | 0.0 | SciPy: NaN or an error |
//!
//! NaN would make no order: the best checkpoint and the best candidate are chosen by these numbers.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result, excerpt};
use crate::task::LabelSet;

/// A metric by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// [`accuracy`].
    Accuracy,
    /// [`f1`] of the second of two classes; of spans that of the words of answers ([`crate::squad`]).
    F1,
    /// F1 over all labels together: [`LabelCounts::micro_f1`]; of classes the same as accuracy.
    MicroF1,
    /// The mean over labels of their F1: [`LabelCounts::macro_f1`]; of classes [`macro_f1`].
    MacroF1,
    /// [`matthews`].
    Matthews,
    /// [`pearson`].
    Pearson,
    /// [`spearman`].
    Spearman,
    /// The share of questions whose answer is a gold answer ([`crate::squad`]).
    Exact,
    /// F1 of entities, [`crate::entities::EntityCounts::f1`], as `seqeval` has it by default and `conlleval` too.
    EntityF1,
    /// Right entities of those that are predicted.
    EntityPrecision,
    /// Right entities of those that are there.
    EntityRecall,
    /// F1 of entities that IOB2 or BIOES allows, `seqeval`'s with `mode="strict"`.
    StrictEntityF1,
    /// Mean reciprocal rank of answers ([`mrr`]).
    Mrr,
    /// [`recall_at`] 1.
    RecallAt1,
    /// [`recall_at`] 5.
    RecallAt5,
    /// [`recall_at`] 10.
    RecallAt10,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Accuracy,
        Self::F1,
        Self::MicroF1,
        Self::MacroF1,
        Self::Matthews,
        Self::Pearson,
        Self::Spearman,
        Self::Exact,
        Self::EntityF1,
        Self::EntityPrecision,
        Self::EntityRecall,
        Self::StrictEntityF1,
        Self::Mrr,
        Self::RecallAt1,
        Self::RecallAt5,
        Self::RecallAt10,
    ];

    /// `accuracy`, `f1`, `f1-micro`, `f1-macro`, `matthews`, `pearson`, `spearman`, `exact`, `entity-f1`, `entity-precision`,
    /// `entity-recall`, `entity-f1-strict`, `mrr`, `recall@1`, `recall@5`, `recall@10`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::F1 => "f1",
            Self::MicroF1 => "f1-micro",
            Self::MacroF1 => "f1-macro",
            Self::Matthews => "matthews",
            Self::Pearson => "pearson",
            Self::Spearman => "spearman",
            Self::Exact => "exact",
            Self::EntityF1 => "entity-f1",
            Self::EntityPrecision => "entity-precision",
            Self::EntityRecall => "entity-recall",
            Self::StrictEntityF1 => "entity-f1-strict",
            Self::Mrr => "mrr",
            Self::RecallAt1 => "recall@1",
            Self::RecallAt5 => "recall@5",
            Self::RecallAt10 => "recall@10",
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Metric {
    type Err = Error;

    fn from_str(given: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == given).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::Invalid(format!("unknown metric `{}`: use one of {known}", excerpt(given)))
        })
    }
}

fn same_length(predictions: usize, labels: usize) -> Result<()> {
    if predictions == labels {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "{predictions} predictions for {labels} labels: a metric needs one prediction per label"
    )))
}

/// Mean reciprocal rank = mean of 1 / rank, over queries with one answer each; ranks count from 1. No ranks give 0.0.
pub fn mrr(ranks: &[usize]) -> f64 {
    ranks.iter().map(|rank| 1.0 / (*rank).max(1) as f64).sum::<f64>() / ranks.len().max(1) as f64
}

/// Recall at k = (queries whose answer is among the k nearest) / n; each query has one answer. No ranks give 0.0.
pub fn recall_at(k: usize, ranks: &[usize]) -> f64 {
    ranks.iter().filter(|rank| **rank <= k).count() as f64 / ranks.len().max(1) as f64
}

/// Accuracy = (equal pairs) / n. No pairs give 0.0.
///
/// # Errors
/// Different lengths.
pub fn accuracy(predictions: &[usize], labels: &[usize]) -> Result<f64> {
    same_length(predictions.len(), labels.len())?;
    if labels.is_empty() {
        return Ok(0.0);
    }
    let hits = predictions.iter().zip(labels).filter(|(p, l)| p == l).count();
    Ok(hits as f64 / labels.len() as f64)
}

/// Binary F1 of class 1 = 2 tp / (2 tp + fp + fn). 0.0 when class 1 is neither predicted nor present.
///
/// # Errors
/// Different lengths.
pub fn f1(predictions: &[usize], labels: &[usize]) -> Result<f64> {
    same_length(predictions.len(), labels.len())?;
    let count = |wanted: fn(bool, bool) -> bool| {
        predictions.iter().zip(labels).filter(|(p, l)| wanted(**p == 1, **l == 1)).count() as f64
    };
    let (tp, wrong) = (count(|p, l| p && l), count(|p, l| p != l));
    let denominator = 2.0 * tp + wrong;
    Ok(if denominator == 0.0 { 0.0 } else { 2.0 * tp / denominator })
}

/// The mean over all classes that are predicted or present of the F1 of each, 2 tp / (predicted + present). No pairs give 0.0.
///
/// # Errors
/// Different lengths.
pub fn macro_f1(predictions: &[usize], labels: &[usize]) -> Result<f64> {
    same_length(predictions.len(), labels.len())?;
    // (right, predicted, present) of each class.
    let mut counts = BTreeMap::<usize, [f64; 3]>::new();
    for (predicted, gold) in predictions.iter().zip(labels) {
        counts.entry(*predicted).or_default()[1] += 1.0;
        counts.entry(*gold).or_default()[2] += 1.0;
        if predicted == gold {
            counts.entry(*gold).or_default()[0] += 1.0;
        }
    }
    let sum: f64 = counts.values().map(|[right, predicted, present]| 2.0 * right / (predicted + present)).sum();
    Ok(if counts.is_empty() { 0.0 } else { sum / counts.len() as f64 })
}

/// How often each label of a set is right, predicted and present: what the metrics of sets of labels are computed from.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelCounts {
    counts: Vec<[f64; 3]>,
    equal: usize,
    examples: usize,
}

impl LabelCounts {
    /// Counts the labels below `width` in pairs of predicted and gold sets.
    ///
    /// # Errors
    /// Different lengths.
    pub fn of(predictions: &[LabelSet], labels: &[LabelSet], width: usize) -> Result<Self> {
        same_length(predictions.len(), labels.len())?;
        let mut counts = vec![[0.0; 3]; width];
        for (predicted, gold) in predictions.iter().zip(labels) {
            for (label, count) in counts.iter_mut().enumerate() {
                let (predicted, gold) = (predicted.contains(label), gold.contains(label));
                let [right, all, present] = count;
                *right += f64::from(predicted && gold);
                *all += f64::from(predicted);
                *present += f64::from(gold);
            }
        }
        let equal = predictions.iter().zip(labels).filter(|(predicted, gold)| predicted == gold).count();
        Ok(Self { counts, equal, examples: labels.len() })
    }

    /// The share of examples whose set is right as a whole. No examples give 0.0.
    pub fn accuracy(&self) -> f64 {
        self.equal as f64 / self.examples.max(1) as f64
    }

    /// 2 tp / (predicted + present), summed over labels before the division. 0.0 when no label is predicted or present.
    pub fn micro_f1(&self) -> f64 {
        let sum = |at: usize| self.counts.iter().map(|count| count[at]).sum::<f64>();
        let denominator = sum(1) + sum(2);
        if denominator == 0.0 { 0.0 } else { 2.0 * sum(0) / denominator }
    }

    /// The mean over all labels of their F1; a label that is neither predicted nor present counts as 0.0, as in scikit-learn.
    pub fn macro_f1(&self) -> f64 {
        let f1 = |[right, predicted, present]: &[f64; 3]| match predicted + present {
            0.0 => 0.0,
            denominator => 2.0 * right / denominator,
        };
        self.counts.iter().map(f1).sum::<f64>() / self.counts.len().max(1) as f64
    }
}

/// Matthews correlation of any number of classes, R_K of Gorodkin (2004): with n pairs, c of them equal, p_k predictions and
/// t_k labels of class k, (c n - sum p_k t_k) / sqrt((n^2 - sum p_k^2) (n^2 - sum t_k^2)). For two classes that is
/// (tp tn - fp fn) / sqrt((tp+fp)(tp+fn)(tn+fp)(tn+fn)). 0.0 when predictions or labels are all of one class.
///
/// # Errors
/// Different lengths.
pub fn matthews(predictions: &[usize], labels: &[usize]) -> Result<f64> {
    same_length(predictions.len(), labels.len())?;
    let mut counts = BTreeMap::<usize, (f64, f64)>::new();
    for class in predictions {
        counts.entry(*class).or_default().0 += 1.0;
    }
    for class in labels {
        counts.entry(*class).or_default().1 += 1.0;
    }
    let n = labels.len() as f64;
    let hits = predictions.iter().zip(labels).filter(|(p, l)| p == l).count() as f64;
    let sum = |each: fn(&(f64, f64)) -> f64| counts.values().map(each).sum::<f64>();
    // Counts are whole numbers, so a class that has all is told exactly, and equal spreads give exactly 1.
    let (spread_p, spread_t) = (n * n - sum(|(p, _)| p * p), n * n - sum(|(_, t)| t * t));
    if spread_p <= 0.0 || spread_t <= 0.0 {
        return Ok(0.0);
    }
    let value = (hits * n - sum(|(p, t)| p * t)) / (spread_p * spread_t).sqrt();
    Ok(value.clamp(-1.0, 1.0))
}

/// Pearson correlation = sum (x - mean x)(y - mean y) / sqrt(sum (x - mean x)^2 sum (y - mean y)^2), means taken first.
/// 0.0 for fewer than two pairs, for a constant side, and when any value is not finite (a diverged model correlates with nothing).
///
/// # Errors
/// Different lengths.
pub fn pearson(predictions: &[f64], labels: &[f64]) -> Result<f64> {
    same_length(predictions.len(), labels.len())?;
    let constant = |v: &[f64]| v.windows(2).all(|w| w[0] == w[1]);
    let finite = predictions.iter().chain(labels).all(|v| v.is_finite());
    if !finite || constant(predictions) || constant(labels) {
        return Ok(0.0);
    }
    let (x, y) = (centered(predictions), centered(labels));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(p, q)| p * q).sum::<f64>();
    let denominator = dot(&x, &x).sqrt() * dot(&y, &y).sqrt();
    let value = dot(&x, &y) / denominator;
    Ok(if value.is_finite() { value.clamp(-1.0, 1.0) } else { 0.0 })
}

/// Values minus their mean, divided by the largest magnitude: correlations do not change with scale, and squares cannot overflow.
fn centered(values: &[f64]) -> Vec<f64> {
    let n = values.len() as f64;
    let mean = values.iter().map(|v| v / n).sum::<f64>();
    let shifted: Vec<f64> = values.iter().map(|v| v - mean).collect();
    let scale = shifted.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    shifted.iter().map(|v| v / scale).collect()
}

/// Spearman correlation: [`pearson`] of the ranks, tied values sharing the average of their ranks. Undefined cases as there.
///
/// # Errors
/// Different lengths.
pub fn spearman(predictions: &[f64], labels: &[f64]) -> Result<f64> {
    same_length(predictions.len(), labels.len())?;
    if !predictions.iter().chain(labels).all(|v| v.is_finite()) {
        return Ok(0.0);
    }
    pearson(&ranks(predictions), &ranks(labels))
}

/// Ranks from 1, ties averaged.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let tied = order[start..].iter().take_while(|i| values[**i] == values[order[start]]).count();
        let rank = start as f64 + (tied as f64 + 1.0) / 2.0;
        for i in &order[start..start + tied] {
            ranks[*i] = rank;
        }
        start += tied;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undefined_cases_are_zero() {
        assert_eq!(accuracy(&[], &[]).unwrap(), 0.0);
        assert_eq!(f1(&[0, 0], &[0, 0]).unwrap(), 0.0);
        assert_eq!(matthews(&[1, 1, 1], &[0, 1, 0]).unwrap(), 0.0);
        assert_eq!(pearson(&[2.0, 2.0], &[1.0, 3.0]).unwrap(), 0.0);
        assert_eq!(pearson(&[f64::NAN, 2.0], &[1.0, 3.0]).unwrap(), 0.0);
        assert_eq!(spearman(&[f64::INFINITY, 2.0], &[1.0, 3.0]).unwrap(), 0.0);
        assert_eq!(spearman(&[0.1; 10], &[1.0; 10]).unwrap(), 0.0);
        assert_eq!(pearson(&[1.0], &[1.0]).unwrap(), 0.0);
    }

    #[test]
    fn matthews_of_three_classes_is_the_correlation_of_the_indicator_vectors() {
        let (p, l) = ([0, 1, 2, 2, 1, 0, 0, 2], [0, 1, 1, 2, 1, 2, 0, 0]);
        let mean = |v: &[usize], k| v.iter().filter(|c| **c == k).count() as f64 / v.len() as f64;
        let is = |c: usize, k| f64::from(u8::from(c == k));
        let covariance = |a: &[usize], b: &[usize]| {
            let of = |k| a.iter().zip(b).map(|(x, y)| (is(*x, k) - mean(a, k)) * (is(*y, k) - mean(b, k))).sum::<f64>();
            (0..3).map(of).sum::<f64>()
        };
        let wanted = covariance(&p, &l) / (covariance(&p, &p) * covariance(&l, &l)).sqrt();
        assert!((matthews(&p, &l).unwrap() - wanted).abs() < 1e-12);
    }

    #[test]
    fn ties_share_the_average_rank() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
    }

    #[test]
    fn correlations_survive_huge_values() {
        assert!((pearson(&[1e300, -1e300, 0.0], &[1.0, -1.0, 0.0]).unwrap() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn lengths_that_differ_are_an_error() {
        assert!(accuracy(&[1], &[]).unwrap_err().to_string().contains("1 predictions for 0 labels"));
        assert!(spearman(&[1.0], &[]).is_err());
    }
}
