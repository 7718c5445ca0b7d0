//! Predictions and their scores.

use serde::{Deserialize, Serialize};

use super::{Head, Label, TaskKind};
use crate::error::{Error, Result};
use crate::metrics;

/// What a model answered, one value per example.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Predictions {
    /// Class indices.
    Classes(Vec<usize>),
    /// Regression outputs.
    Scores(Vec<f64>),
}

/// A metric's name and value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NamedScore {
    /// `accuracy`, `f1`, `matthews`, `pearson` or `spearman`.
    pub name: String,
    /// A fraction, 1.0 is perfect.
    pub value: f64,
}

/// The scores of one task on one split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// The task's metrics in the order of GLUE's tables.
    pub values: Vec<NamedScore>,
    /// The mean of `values`: the number by which the best checkpoint is chosen (EfficientBERT's rule).
    pub primary: f64,
}

impl Scores {
    fn new(named: &[(&str, f64)]) -> Self {
        let values: Vec<NamedScore> =
            named.iter().map(|(name, value)| NamedScore { name: (*name).to_owned(), value: *value }).collect();
        let primary = values.iter().map(|score| score.value).sum::<f64>() / values.len() as f64;
        Self { values, primary }
    }

    /// The value of a metric by name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.iter().find(|score| score.name == name).map(|score| score.value)
    }
}

impl Predictions {
    /// Predictions from a model's outputs, `rows` x [`Head::outputs`] in row order. A class is the largest logit, the first
    /// of equals; a row of NaN is class 0.
    ///
    /// # Errors
    /// The number of logits does not fit.
    pub fn from_logits(head: Head, rows: usize, logits: &[f32]) -> Result<Self> {
        let width = head.outputs();
        if width == 0 || rows.checked_mul(width) != Some(logits.len()) {
            return Err(Error::Invalid(format!("{} logits are not {rows} rows of {width}", logits.len())));
        }
        Ok(match head {
            Head::Regression => Self::Scores(logits.iter().map(|v| f64::from(*v)).collect()),
            Head::Classification { .. } => Self::Classes(logits.chunks(width).map(argmax).collect()),
        })
    }

    /// How many predictions.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes(classes) => classes.len(),
            Self::Scores(scores) => scores.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn argmax(row: &[f32]) -> usize {
    let mut best = 0;
    for (class, value) in row.iter().enumerate() {
        if *value > row[best] || (row[best].is_nan() && !value.is_nan()) {
            best = class;
        }
    }
    best
}

impl TaskKind {
    /// The names of the task's metrics; their mean is [`Scores::primary`]: accuracy; Matthews for CoLA and AX; Pearson and
    /// Spearman for STS-B; accuracy and F1 for MRPC and QQP.
    pub fn metric_names(self) -> &'static [&'static str] {
        match self {
            Self::Sst2 | Self::Rte | Self::Mnli | Self::MnliMm | Self::Qnli | Self::Wnli => &["accuracy"],
            Self::Cola | Self::Ax => &["matthews"],
            Self::Mrpc | Self::Qqp => &["accuracy", "f1"],
            Self::Stsb => &["pearson", "spearman"],
        }
    }

    /// A name for [`Scores::primary`]: `accuracy`, `matthews`, `mean of accuracy and f1`, `mean of pearson and spearman`.
    pub fn best_metric(self) -> &'static str {
        match self {
            Self::Mrpc | Self::Qqp => "mean of accuracy and f1",
            Self::Stsb => "mean of pearson and spearman",
            other => other.metric_names()[0],
        }
    }

    /// Scores predictions against gold labels in the same order. Undefined correlations are 0.0 (see [`crate::metrics`]).
    ///
    /// # Errors
    /// No labels, a different number of predictions, or a kind or class that is not the task's.
    pub fn score(self, predictions: &Predictions, labels: &[Label]) -> Result<Scores> {
        if labels.is_empty() {
            return Err(Error::Invalid(format!(
                "{self}: no labels to score against; the test sets of GLUE have none, use dev"
            )));
        }
        if predictions.len() != labels.len() {
            return Err(Error::Invalid(format!(
                "{self}: {} predictions for {} labels",
                predictions.len(),
                labels.len()
            )));
        }
        let mut named = Vec::new();
        match predictions {
            Predictions::Classes(classes) => {
                let gold = self.gold_classes(labels)?;
                self.check_classes(classes)?;
                for name in self.metric_names() {
                    let value = match *name {
                        "accuracy" => metrics::accuracy(classes, &gold)?,
                        "f1" => metrics::f1(classes, &gold)?,
                        _ => metrics::matthews(classes, &gold)?,
                    };
                    named.push((*name, value));
                }
            }
            Predictions::Scores(scores) => {
                let gold = self.gold_scores(labels)?;
                named.push(("pearson", metrics::pearson(scores, &gold)?));
                named.push(("spearman", metrics::spearman(scores, &gold)?));
            }
        }
        Ok(Scores::new(&named))
    }

    /// Refuses a class that the task does not have.
    pub(crate) fn check_classes(self, classes: &[usize]) -> Result<()> {
        let known = self.labels().len();
        match classes.iter().position(|class| *class >= known) {
            Some(at) => Err(Error::Invalid(format!(
                "{self}: class {} at position {at}; the task has {known} classes",
                classes[at]
            ))),
            None => Ok(()),
        }
    }

    fn gold_classes(self, labels: &[Label]) -> Result<Vec<usize>> {
        let class = |label: &Label| match label {
            Label::Class(class) if self.head() != Head::Regression => Some(*class),
            _ => None,
        };
        let gold = labels.iter().map(class).collect::<Option<Vec<_>>>();
        let gold = gold.ok_or_else(|| {
            Error::Invalid(format!("{self}: classes were predicted, but the task or a label is a score"))
        })?;
        self.check_classes(&gold)?;
        Ok(gold)
    }

    fn gold_scores(self, labels: &[Label]) -> Result<Vec<f64>> {
        let score = |label: &Label| match label {
            Label::Score(score) if self.head() == Head::Regression => Some(*score),
            _ => None,
        };
        let gold = labels.iter().map(score).collect::<Option<Vec<_>>>();
        gold.ok_or_else(|| Error::Invalid(format!("{self}: scores were predicted, but the task or a label is a class")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checkpoint_metric_is_the_mean_of_the_tasks_metrics() {
        let gold = [1, 0, 1, 1].map(Label::Class);
        let scores = TaskKind::Mrpc.score(&Predictions::Classes(vec![1, 1, 1, 0]), &gold).unwrap();
        assert_eq!(scores.get("accuracy"), Some(0.5));
        assert!((scores.get("f1").unwrap() - 2.0 / 3.0).abs() < 1e-12);
        assert!((scores.primary - (0.5 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
        let gold = [0.0, 1.0, 3.0].map(Label::Score);
        let scores = TaskKind::Stsb.score(&Predictions::Scores(vec![0.0, 2.0, 6.0]), &gold).unwrap();
        assert!((scores.primary - 1.0).abs() < 1e-12);
        assert_eq!(scores.values.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), TaskKind::Stsb.metric_names());
    }

    #[test]
    fn every_task_scores_a_perfect_answer_with_one_for_each_of_its_metrics() {
        for task in TaskKind::ALL {
            let (predictions, labels) = match task.head() {
                Head::Regression => {
                    (Predictions::Scores(vec![0.5, 2.0, 4.0]), [0.5, 2.0, 4.0].map(Label::Score).to_vec())
                }
                Head::Classification { classes } => {
                    let all: Vec<usize> = (0..classes).chain([1]).collect();
                    (Predictions::Classes(all.clone()), all.into_iter().map(Label::Class).collect())
                }
            };
            let scores = task.score(&predictions, &labels).unwrap();
            assert_eq!(
                scores.values.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(),
                task.metric_names(),
                "{task}"
            );
            assert!(scores.values.iter().all(|s| (s.value - 1.0).abs() < 1e-12), "{task}: {scores:?}");
        }
    }

    #[test]
    fn predictions_that_do_not_fit_the_task_are_errors() {
        let classes = |v: &[usize]| Predictions::Classes(v.to_vec());
        assert!(TaskKind::Sst2.score(&classes(&[]), &[]).is_err());
        assert!(TaskKind::Sst2.score(&classes(&[1]), &[Label::Class(1), Label::Class(0)]).is_err());
        assert!(
            TaskKind::Sst2
                .score(&classes(&[2]), &[Label::Class(1)])
                .unwrap_err()
                .to_string()
                .contains("class 2 at position 0")
        );
        assert!(TaskKind::Stsb.score(&classes(&[1]), &[Label::Score(1.0)]).is_err());
        assert!(TaskKind::Sst2.score(&Predictions::Scores(vec![1.0]), &[Label::Class(1)]).is_err());
    }

    #[test]
    fn logits_become_the_largest_class_and_nan_never_wins() {
        let head = Head::Classification { classes: 3 };
        let logits = [0.0, 2.0, 2.0, f32::NAN, -1.0, -2.0];
        assert_eq!(Predictions::from_logits(head, 2, &logits).unwrap(), Predictions::Classes(vec![1, 1]));
        assert!(Predictions::from_logits(head, 3, &logits).is_err());
        assert_eq!(Predictions::from_logits(Head::Regression, 1, &[0.5]).unwrap(), Predictions::Scores(vec![0.5]));
    }
}
