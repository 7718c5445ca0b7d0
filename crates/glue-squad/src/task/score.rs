//! Predictions and their scores.

use serde::{Deserialize, Serialize};

use super::{Answer, Head, Label, LabelSet, Task, candidates, cosines, ranks};
use crate::entities::EntityCounts;
use crate::error::{Error, Result};
use crate::metrics::{self, Metric};

/// What a model answered, one value per example.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Predictions {
    /// Class indices.
    Classes(Vec<usize>),
    /// Regression outputs.
    Scores(Vec<f64>),
    /// Sets of labels.
    Sets(Vec<LabelSet>),
    /// A tag for each word.
    Tags(Vec<Vec<u16>>),
    /// The rank of each answer, from 1, see [`super::ranks`].
    Ranks(Vec<usize>),
}

/// A metric's name and value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NamedScore {
    /// The name of a [`Metric`].
    pub name: String,
    /// A fraction, 1.0 is perfect.
    pub value: f64,
}

/// The scores of one task on one split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// The task's metrics in their order.
    pub values: Vec<NamedScore>,
    /// The number by which the best checkpoint is chosen: the task's headline, or the mean of `values` (EfficientBERT's rule).
    pub primary: f64,
}

impl Scores {
    fn new(scored: &[(Metric, f64)], headline: Option<Metric>) -> Self {
        let values: Vec<NamedScore> =
            scored.iter().map(|(metric, value)| NamedScore { name: metric.name().to_owned(), value: *value }).collect();
        let chosen = scored.iter().find(|(metric, _)| Some(*metric) == headline).map(|(_, value)| *value);
        let mean = || values.iter().map(|score| score.value).sum::<f64>() / values.len() as f64;
        let primary = chosen.unwrap_or_else(mean);
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
            Head::MultiLabel { .. } => Self::Sets(logits.chunks(width).map(likely).collect()),
            Head::Spans => return Err(Error::Invalid("logits of spans are no classes or scores".to_owned())),
            Head::Tags { .. } => return Err(Error::Invalid("logits of tags belong to words, not to rows".to_owned())),
            Head::Embedding => return Err(Error::Invalid("vectors are compared, not read as scores".to_owned())),
        })
    }

    /// The tags of texts from the logits of their words, `words` x [`Head::outputs`] for each text. A word of NaN, of which the model saw
    /// nothing, is outside of every entity.
    ///
    /// # Errors
    /// The task has no tags.
    pub fn of_words(task: &Task, texts: &[Vec<f32>]) -> Result<Self> {
        let (Some(set), width) = (task.tag_set(), task.head().outputs().max(1)) else {
            return Err(Error::Invalid(format!("{task}: has no tags")));
        };
        let tag = |word: &[f32]| if word.iter().all(|v| v.is_nan()) { set.outside() } else { argmax(word) };
        Ok(Self::Tags(texts.iter().map(|text| text.chunks(width).map(|word| tag(word) as u16).collect()).collect()))
    }

    /// What the vectors of both texts of each example say: how alike they are, or the rank of the answer.
    ///
    /// # Shapes
    /// - `rows`: for each example the vectors of both texts, one behind the other
    ///
    /// # Errors
    /// The task asks for no vectors, or an example is not of it.
    pub fn of_vectors(task: &Task, labels: &[Label], rows: &[Vec<f32>]) -> Result<Self> {
        let refuse = |what: &str| Error::Invalid(format!("{task}: {what}"));
        match task.spec().answer {
            Answer::Similarity => Ok(Self::Scores(cosines(rows))),
            Answer::Retrieval => {
                let one = |label: &Label| if let Label::Match(one) = label { Some(*one) } else { None };
                let matches = labels.iter().map(one).collect::<Option<Vec<_>>>();
                let matches = matches.filter(|matches| matches.len() == rows.len());
                Ok(Self::Ranks(ranks(&matches.ok_or_else(|| refuse("an example has no answer to find"))?, rows)))
            }
            _ => Err(refuse("is not answered by vectors")),
        }
    }

    /// How many predictions.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes(classes) => classes.len(),
            Self::Scores(scores) => scores.len(),
            Self::Sets(sets) => sets.len(),
            Self::Tags(texts) => texts.len(),
            Self::Ranks(ranks) => ranks.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The labels that are at least as likely as not: those with a logit of at least 0.
fn likely(row: &[f32]) -> LabelSet {
    let likely = row.iter().enumerate().take(LabelSet::MOST).filter(|(_, logit)| **logit >= 0.0);
    likely.map(|(label, _)| label).collect()
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

impl Task {
    /// Scores predictions against gold labels in the same order. Undefined correlations are 0.0 (see [`crate::metrics`]).
    ///
    /// # Errors
    /// No labels, a different number of predictions, a kind or class that is not the task's, or a task that
    /// [cannot be scored](Task::check_trainable) so.
    pub fn score(&self, predictions: &Predictions, labels: &[Label]) -> Result<Scores> {
        self.check_trainable()?;
        if labels.is_empty() {
            return Err(Error::Invalid(format!(
                "{self}: no labels to score against; a test set often has none, use dev"
            )));
        }
        if predictions.len() != labels.len() {
            return Err(Error::Invalid(format!(
                "{self}: {} predictions for {} labels",
                predictions.len(),
                labels.len()
            )));
        }
        self.check_labels(labels)?;
        let mut scored = Vec::new();
        match predictions {
            Predictions::Classes(classes) => {
                let class = |label: &Label| if let Label::Class(class) = label { Some(*class) } else { None };
                let gold = labels.iter().map(class).collect::<Option<Vec<_>>>();
                let gold = gold.ok_or_else(|| {
                    Error::Invalid(format!("{self}: classes were predicted, but the task or a label is a score"))
                })?;
                self.check_classes(classes)?;
                for metric in &self.spec().metrics {
                    let value = match metric {
                        Metric::F1 => metrics::f1(classes, &gold)?,
                        Metric::Matthews => metrics::matthews(classes, &gold)?,
                        Metric::MicroF1 => metrics::accuracy(classes, &gold)?,
                        Metric::MacroF1 => metrics::macro_f1(classes, &gold)?,
                        _ => metrics::accuracy(classes, &gold)?,
                    };
                    scored.push((*metric, value));
                }
            }
            Predictions::Sets(sets) => scored = self.score_sets(sets, labels)?,
            Predictions::Tags(texts) => scored = self.score_tags(texts, labels)?,
            Predictions::Ranks(ranks) => {
                let value = |metric: &Metric| match metric {
                    Metric::RecallAt1 => metrics::recall_at(1, ranks),
                    Metric::RecallAt5 => metrics::recall_at(5, ranks),
                    Metric::RecallAt10 => metrics::recall_at(10, ranks),
                    _ => metrics::mrr(ranks),
                };
                scored.extend(self.spec().metrics.iter().map(|metric| (*metric, value(metric))));
            }
            Predictions::Scores(scores) => {
                let score = |label: &Label| if let Label::Score(score) = label { Some(*score) } else { None };
                let gold = labels.iter().map(score).collect::<Option<Vec<_>>>();
                let gold = gold.ok_or_else(|| {
                    Error::Invalid(format!("{self}: scores were predicted, but the task or a label is a class"))
                })?;
                for metric in &self.spec().metrics {
                    let value = match metric {
                        Metric::Spearman => metrics::spearman(scores, &gold)?,
                        _ => metrics::pearson(scores, &gold)?,
                    };
                    scored.push((*metric, value));
                }
            }
        }
        Ok(Scores::new(&scored, self.spec().headline))
    }

    /// The expected scores of an order by chance of the answers to be found: with n of them the mean of 1/rank is (1 + 1/2 + ... + 1/n) / n, and k/n are among the first k.
    pub(super) fn score_by_chance(&self, gold: &[Label]) -> Result<Scores> {
        self.check_labels(gold)?;
        let one = |label: &Label| if let Label::Match(one) = label { Some(*one) } else { None };
        let matches: Vec<_> = gold.iter().filter_map(one).collect();
        let counts = candidates(&matches);
        let mean = |of: &dyn Fn(usize) -> f64| counts.iter().map(|n| of(*n)).sum::<f64>() / counts.len().max(1) as f64;
        let recall = |k: usize| mean(&|n| k.min(n) as f64 / n as f64);
        let value = |metric: &Metric| match metric {
            Metric::RecallAt1 => recall(1),
            Metric::RecallAt5 => recall(5),
            Metric::RecallAt10 => recall(10),
            _ => mean(&|n| (1..=n).map(|rank| 1.0 / rank as f64).sum::<f64>() / n as f64),
        };
        let scored: Vec<(Metric, f64)> = self.spec().metrics.iter().map(|metric| (*metric, value(metric))).collect();
        Ok(Scores::new(&scored, self.spec().headline))
    }

    fn score_sets(&self, sets: &[LabelSet], labels: &[Label]) -> Result<Vec<(Metric, f64)>> {
        let set = |label: &Label| if let Label::Set(set) = label { Some(*set) } else { None };
        let gold = labels.iter().map(set).collect::<Option<Vec<_>>>();
        let gold = gold.ok_or_else(|| Error::Invalid(format!("{self}: labels were predicted, but a label is none")))?;
        let counts = metrics::LabelCounts::of(sets, &gold, self.classes().len())?;
        let value = |metric: &Metric| match metric {
            Metric::MicroF1 => counts.micro_f1(),
            Metric::MacroF1 => counts.macro_f1(),
            _ => counts.accuracy(),
        };
        Ok(self.spec().metrics.iter().map(|metric| (*metric, value(metric))).collect())
    }

    fn score_tags(&self, texts: &[Vec<u16>], labels: &[Label]) -> Result<Vec<(Metric, f64)>> {
        let tags = |label: &Label| if let Label::Tags(tags) = label { Some(tags.tags.clone()) } else { None };
        let gold = labels.iter().map(tags).collect::<Option<Vec<_>>>();
        let refuse = || Error::Invalid(format!("{self}: tags were predicted, but a label is none"));
        let (gold, set) = (gold.ok_or_else(refuse)?, self.tag_set().ok_or_else(refuse)?);
        let gold: Vec<&[u16]> = gold.iter().map(Vec::as_slice).collect();
        let counts = EntityCounts::of(texts, &gold, |tags| set.entities(tags))?;
        let strict = EntityCounts::of(texts, &gold, |tags| set.strict_entities(tags))?;
        let numbers = |tags: &[u16]| tags.iter().map(|tag| usize::from(*tag)).collect::<Vec<_>>();
        let accuracy = metrics::accuracy(&numbers(&texts.concat()), &numbers(&gold.concat()))?;
        let value = |metric: &Metric| match metric {
            Metric::EntityF1 => counts.f1(),
            Metric::EntityPrecision => counts.precision(),
            Metric::EntityRecall => counts.recall(),
            Metric::StrictEntityF1 => strict.f1(),
            _ => accuracy,
        };
        Ok(self.spec().metrics.iter().map(|metric| (*metric, value(metric))).collect())
    }

    /// Refuses a class that the task does not have.
    pub(crate) fn check_classes(&self, classes: &[usize]) -> Result<()> {
        let known = self.classes().len();
        match classes.iter().position(|class| *class >= known) {
            Some(at) => Err(Error::Invalid(format!(
                "{self}: class {} at position {at}; the task has {known} classes",
                classes[at]
            ))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::TaskKind;

    #[test]
    fn the_checkpoint_metric_is_the_mean_of_the_tasks_metrics() {
        let gold = [1, 0, 1, 1].map(Label::Class);
        let scores = TaskKind::Mrpc.task().score(&Predictions::Classes(vec![1, 1, 1, 0]), &gold).unwrap();
        assert_eq!(scores.get("accuracy"), Some(0.5));
        assert!((scores.get("f1").unwrap() - 2.0 / 3.0).abs() < 1e-12);
        assert!((scores.primary - (0.5 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
        let gold = [0.0, 1.0, 3.0].map(Label::Score);
        let scores = TaskKind::Stsb.task().score(&Predictions::Scores(vec![0.0, 2.0, 6.0]), &gold).unwrap();
        assert!((scores.primary - 1.0).abs() < 1e-12);
        assert_eq!(
            scores.values.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(),
            TaskKind::Stsb.task().metric_names()
        );
    }

    #[test]
    fn every_task_scores_a_perfect_answer_with_one_for_each_of_its_metrics() {
        for task in Task::built_in().iter().filter(|task| task.squad().is_none()) {
            let (predictions, labels) = match task.head() {
                Head::Regression => {
                    (Predictions::Scores(vec![0.5, 2.0, 4.0]), [0.5, 2.0, 4.0].map(Label::Score).to_vec())
                }
                head => {
                    let all: Vec<usize> = (0..head.outputs()).chain([1]).collect();
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
        assert!(TaskKind::Sst2.task().score(&classes(&[]), &[]).is_err());
        assert!(TaskKind::Sst2.task().score(&classes(&[1]), &[Label::Class(1), Label::Class(0)]).is_err());
        assert!(
            TaskKind::Sst2
                .task()
                .score(&classes(&[2]), &[Label::Class(1)])
                .unwrap_err()
                .to_string()
                .contains("class 2 at position 0")
        );
        assert!(TaskKind::Stsb.task().score(&classes(&[1]), &[Label::Score(1.0)]).is_err());
        assert!(TaskKind::Sst2.task().score(&Predictions::Scores(vec![1.0]), &[Label::Class(1)]).is_err());
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
