//! Answers that are pieces of a text.

use std::ops::ControlFlow;

use glue_squad::squad::{Dataset, DecodeConfig, NBest, QuestionAnswer, SquadVersion, WindowConfig};
use serde::Serialize;

use super::SpanEvalSet;
use crate::{Predictor, Result};

/// How questions become windows and scores become answers.
#[derive(Clone, Copy, Debug)]
pub struct SpanSettings {
    /// How a question and its text become windows.
    pub windows: WindowConfig,
    /// How answers are chosen.
    pub decoding: DecodeConfig,
    /// SQuAD v2.0: no answer where the null score is more than this above the best answer's.
    pub threshold: f64,
    /// Windows in a pass.
    pub batch_size: usize,
}

/// The answer to one question.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SpanAnswer {
    /// Name of the task.
    pub task: &'static str,
    /// The answer; empty where there is none.
    pub answer: String,
    /// Its first character in the text; `None` where there is no answer.
    pub start: Option<usize>,
    /// The character after its last one.
    pub end: Option<usize>,
    /// Its probability among the best answers.
    pub probability: f64,
    /// SQuAD v2.0: the null score less that of the best answer.
    pub null_odds: Option<f64>,
    /// The best answers, the best first.
    pub n_best: Vec<NBest>,
}

impl SpanAnswer {
    /// What the decoded scores say of a question to `text`.
    pub fn of(version: SquadVersion, answer: &QuestionAnswer, text: &str, threshold: f64) -> Self {
        let prediction = answer.prediction(threshold);
        let probability = answer.nbest.iter().find(|entry| entry.text == prediction).map(|entry| entry.probability);
        let characters = |to: usize| text[..to].chars().count();
        let place = answer.span.as_ref().filter(|_| !prediction.is_empty());
        let place = place.map(|bytes| (characters(bytes.start), characters(bytes.end)));
        Self {
            task: version.name(),
            answer: place.map_or_else(String::new, |_| prediction.to_owned()),
            start: place.map(|place| place.0),
            end: place.map(|place| place.1),
            probability: probability.unwrap_or(0.0),
            null_odds: answer.null_odds,
            n_best: answer.nbest.clone(),
        }
    }
}

impl Predictor {
    /// The questions of `dataset` as windows of the span head of `version`.
    ///
    /// # Errors
    /// Windows without room for text.
    pub fn windows(&self, dataset: Dataset, version: SquadVersion, settings: &SpanSettings) -> Result<SpanEvalSet> {
        SpanEvalSet::new(dataset, &self.tokenizer, version, settings.windows, settings.batch_size)
    }

    /// What span head `head` answers to pairs of a question and a text.
    ///
    /// # Errors
    /// The model does not take the windows, or has diverged.
    pub fn answer_questions(
        &mut self,
        (head, version): (usize, SquadVersion),
        pairs: &[(&str, &str)],
        settings: &SpanSettings,
    ) -> Result<Vec<SpanAnswer>> {
        let set = self.windows(Dataset::from_texts(pairs.iter().copied()), version, settings)?;
        let logits = self.model.spans(head, &set, &mut |_, _| ControlFlow::Continue(()))?;
        let decoded = set.decode(&logits, &settings.decoding)?;
        let answers = pairs.iter().zip(decoded.answers.iter());
        Ok(answers.map(|((_, text), (_, answer))| SpanAnswer::of(version, answer, text, settings.threshold)).collect())
    }
}
