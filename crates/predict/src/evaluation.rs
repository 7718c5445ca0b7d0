//! Scores over a data set.

use glue_squad::squad::Decoded;
use glue_squad::task::{Label, Predictions, Scores};
use train::data::EvalSet;
use train::engine::Evaluation;
use train::heads::AnsweringHead;
use train::majority::{MajorityBaseline, doubts};
use train::span::{SpanEvalSet, SpanScores};

use crate::{Inference, Result, SpanSettings};

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
    /// the set's own where there are none; `watch` is told how many examples are done.
    ///
    /// # Errors
    /// Data that cannot be batched or scored, or a model that has diverged.
    pub fn evaluate(
        &mut self,
        head: &AnsweringHead,
        set: &EvalSet,
        train: &[Label],
        watch: &mut dyn FnMut(usize),
    ) -> Result<Evaluated> {
        let predictions = self.predict(head, set, watch)?;
        if set.labels.is_empty() {
            return Ok(Evaluated { predictions, scores: None, majority: None, warnings: Vec::new() });
        }
        let scores = set.task.score(&predictions, &set.labels)?;
        let majority = MajorityBaseline::of_task(set.task, train, &set.labels)?;
        let warnings = doubts(&Evaluation::of_task(set.task, &scores, &predictions), majority.as_slice());
        Ok(Evaluated { predictions, scores: Some(scores), majority, warnings })
    }

    /// Answers all questions of `set` with the span head `head` and scores them where they have gold answers; `watch` is told how
    /// many windows are done.
    ///
    /// # Errors
    /// The model does not take the windows, or has diverged.
    pub fn evaluate_spans(
        &mut self,
        head: usize,
        set: &SpanEvalSet,
        settings: &SpanSettings,
        watch: &mut dyn FnMut(usize),
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
