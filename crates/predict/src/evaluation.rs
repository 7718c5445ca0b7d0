//! Scores over a data set.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;

use glue_squad::squad::{Decoded, Score, SquadVersion};
use glue_squad::task::{Label, Predictions, Scores, Task};
use serde::{Deserialize, Serialize};

use crate::data::EvalSet;
use crate::heads::AnsweringHead;
use crate::majority::{MajorityBaseline, doubts, only_answer, only_span};
use crate::span::{SpanEvalSet, SpanScores, SpanSettings};
use crate::{Inference, Result};

/// Scores of one evaluation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// What decides which weights are best; higher is better.
    pub score: f64,
    /// Everything measured, by name.
    pub metrics: BTreeMap<String, f64>,
    /// Tasks of several examples that all got the same answer, with that answer in words.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub one_answer: BTreeMap<String, String>,
}

impl fmt::Display for Evaluation {
    /// `NAME VALUE` pairs, values times 100 as the field's tables have them; losses as they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.metrics.iter().enumerate() {
            let gap = if i == 0 { "" } else { ", " };
            let factor = if name.ends_with("/loss") { 1.0 } else { 100.0 };
            write!(f, "{gap}{name} {:.2}", value * factor)?;
        }
        Ok(())
    }
}

/// Is called between the batches of an evaluation with the numbers of examples done and of all; a break ends the evaluation with
/// [`Error::Stopped`](crate::Error::Stopped).
pub type Watch<'a> = dyn FnMut(usize, usize) -> ControlFlow<()> + 'a;

impl Evaluation {
    /// The scores of `predictions` on one task: the score is [`Scores::primary`], each metric is named `TASK/METRIC`.
    pub fn of_task(task: &Task, scores: &Scores, predictions: &Predictions) -> Self {
        let metrics = scores.values.iter().map(|v| (format!("{}/{}", task.name(), v.name), v.value)).collect();
        let one_answer = only_answer(task, predictions).map(|answer| (task.name().to_owned(), answer));
        Self { score: scores.primary, metrics, one_answer: one_answer.into_iter().collect() }
    }

    /// The scores of the predictions that `threshold` makes of `decoded`: the score is [`SpanScores::primary`], the metrics are
    /// fractions named `TASK/METRIC`.
    pub fn of_questions(version: SquadVersion, scores: &SpanScores, decoded: &Decoded, threshold: f64) -> Self {
        let (task, values) = (version.name(), scores.values());
        let shares = values.iter().filter(|(name, v)| matches!(v, Score::Number(_)) && !name.ends_with("_thresh"));
        let metrics = shares.map(|(name, value)| (format!("{task}/{name}"), value.as_f64() / 100.0)).collect();
        let only = only_span(&decoded.predictions(threshold)).map(|answer| (task.to_owned(), answer));
        Self { score: scores.primary(), metrics, one_answer: only.into_iter().collect() }
    }
}

/// What a model answered to the examples of a task, and what that is worth.
#[derive(Debug)]
pub struct Evaluated {
    /// The answers in the order of the file.
    pub predictions: Predictions,
    /// The task's metrics; `None` for a test set without labels.
    pub scores: Option<Scores>,
    /// What one answer to every example scores.
    pub majority: Option<MajorityBaseline>,
    /// Why the scores may mean nothing, a sentence each.
    pub warnings: Vec<String>,
}

/// What a model answered to questions, and what that is worth.
#[derive(Debug)]
pub struct SpanEvaluated {
    /// The answers.
    pub decoded: Decoded,
    /// The official scores; `None` where the file has no answers.
    pub scores: Option<SpanScores>,
    /// What no answer to any question scores.
    pub majority: Option<MajorityBaseline>,
    /// Why the scores may mean nothing, a sentence each.
    pub warnings: Vec<String>,
}

impl Inference {
    /// Answers all of `set` with `head` and scores it where it has labels. The majority class is that of the labels `train`, or of
    /// the set's own where there are none; `watch` is called with the number of examples done, and may end it.
    ///
    /// # Errors
    /// Data that cannot be batched or scored, or a model that has diverged.
    pub fn evaluate(
        &mut self,
        head: &AnsweringHead,
        set: &EvalSet,
        train: &[Label],
        watch: &mut Watch<'_>,
    ) -> Result<Evaluated> {
        let predictions = self.predict(head, set, watch)?;
        if set.labels.is_empty() {
            return Ok(Evaluated { predictions, scores: None, majority: None, warnings: Vec::new() });
        }
        let scores = set.task.score(&predictions, &set.labels)?;
        let majority = MajorityBaseline::of_task(&set.task, train, &set.labels)?;
        let warnings = doubts(&Evaluation::of_task(&set.task, &scores, &predictions), majority.as_slice());
        Ok(Evaluated { predictions, scores: Some(scores), majority, warnings })
    }

    /// Answers all questions of `set` with the span head `head` and scores them where they have gold answers; `watch` hears
    /// how many windows are done, and may end it.
    ///
    /// # Errors
    /// The model does not take the windows, or has diverged.
    pub fn evaluate_spans(
        &mut self,
        head: usize,
        set: &SpanEvalSet,
        settings: &SpanSettings,
        watch: &mut Watch<'_>,
    ) -> Result<SpanEvaluated> {
        let logits = self.spans(head, set, watch)?;
        let decoded = set.decode(&logits, &settings.decoding)?;
        let scores = set.gold().map(|_| SpanScores::of(set, &decoded, settings.threshold)).transpose()?;
        let majority = MajorityBaseline::of_questions(set)?;
        let warnings = scores.as_ref().map_or_else(Vec::new, |scores| {
            let evaluation = Evaluation::of_questions(set.version(), scores, &decoded, settings.threshold);
            doubts(&evaluation, majority.as_slice())
        });
        Ok(SpanEvaluated { decoded, scores, majority, warnings })
    }
}
