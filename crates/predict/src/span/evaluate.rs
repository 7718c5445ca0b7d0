//! From a model and a SQuAD file to answers and official scores.

use cpu_runtime::{Outputs, Ragged, Session};
use glue_squad::squad::{
    self, BestThresholds, DecodeConfig, Decoded, NO_ANSWER_THRESHOLD, OrderedMap, Score, SpanLogits, search_threshold,
};

use super::SpanEvalSet;
use crate::data::to_ragged;
use crate::{Error, Result, Watch};
#[cfg(feature = "burn")]
use {
    crate::{Evaluation, data::to_device, evaluate::passes},
    bert_core::{EncodeOptions, TaskModel},
    burn::tensor::Device,
};

/// Scores of the span head `head` for every window of `set`, in the order of the file; `watch` hears after every pass how many
/// windows are done.
///
/// # Errors
/// Data that cannot be batched, or `watch` ended it.
#[cfg(feature = "burn")]
pub fn span_logits(
    model: &TaskModel,
    head: usize,
    set: &SpanEvalSet,
    device: &Device,
    watch: &mut Watch<'_>,
) -> Result<Vec<SpanLogits>> {
    let mut all = Vec::with_capacity(set.len());
    for batch in set.batches() {
        let batch = batch?;
        for pass in passes(batch.tokens.batch, batch.tokens.seq, device) {
            let part = batch.rows(pass);
            let (_, logits) = model.forward_tokens(&to_device(&part.tokens, device), head, EncodeOptions::LAST);
            let values = logits.inner().try_into_vec_as::<f32>().expect("float tensors convert to f32");
            all.extend(part.split_logits(&values)?);
            if watch(all.len(), set.len()).is_break() {
                return Err(Error::Stopped);
            }
        }
    }
    set.restore(all)
}

/// [`span_logits`] of a model compiled for this processor; padding is not computed.
///
/// # Errors
/// Data that cannot be batched or that the model does not take, or `watch` ended it.
pub fn span_logits_compiled(
    model: &cpu_runtime::Model,
    session: &mut Session,
    head: usize,
    set: &SpanEvalSet,
    watch: &mut Watch<'_>,
) -> Result<Vec<SpanLogits>> {
    let mut all = Vec::with_capacity(set.len());
    let mut ragged = Ragged::new();
    for batch in set.batches() {
        let batch = batch?;
        to_ragged(&batch.tokens, &mut ragged);
        let output = session.run(model, &ragged.as_batch(), Outputs { pooled: false, heads: &[head] })?;
        all.extend(batch.split_ragged_logits(output.heads().next().unwrap_or_default())?);
        if watch(all.len(), set.len()).is_break() {
            return Err(Error::Stopped);
        }
    }
    set.restore(all)
}

/// What answers are worth.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanScores {
    /// The official scores of the predictions.
    pub official: squad::Evaluation,
    /// SQuAD v2.0: the thresholds that would have been best, see [`search_threshold`].
    pub best: Option<BestThresholds>,
}

impl SpanScores {
    /// Scores the predictions that `threshold` makes of `decoded` (v2.0; v1.1 has none).
    ///
    /// # Errors
    /// The questions of `set` have no gold answers, or some lack one that must have.
    pub fn of(set: &SpanEvalSet, decoded: &Decoded, threshold: f64) -> Result<Self> {
        let version = set.version();
        let gold = set.gold().ok_or_else(|| {
            Error::Mismatch(format!("{}: no question has an answer to score against", set.dataset().path.display()))
        })?;
        let predictions = decoded.predictions(threshold);
        let official = squad::evaluate(version, gold, &predictions, None, NO_ANSWER_THRESHOLD)?;
        let best = version.has_unanswerable().then(|| search_threshold(gold, decoded)).transpose()?;
        Ok(Self { official, best })
    }

    /// All scores under their official names: percentages, numbers of questions, thresholds. The best thresholds are those of
    /// [`search_threshold`].
    pub fn values(&self) -> OrderedMap<Score> {
        let mut values = self.official.scores.clone();
        if let Some(best) = &self.best {
            values.insert("best_exact".to_owned(), Score::Number(best.best_exact));
            values.insert("best_exact_thresh".to_owned(), Score::Number(best.best_exact_thresh));
            values.insert("best_f1".to_owned(), Score::Number(best.best_f1));
            values.insert("best_f1_thresh".to_owned(), Score::Number(best.best_f1_thresh));
        }
        values
    }

    /// The mean of exact match and F1 as a fraction, by which EfficientBERT chooses the best weights.
    pub fn primary(&self) -> f64 {
        self.official.primary() / 100.0
    }
}

/// The evaluation that belongs to a training.
#[derive(Debug, Clone)]
pub struct SpanEval {
    /// The questions, with gold answers.
    pub set: SpanEvalSet,
    /// How answers are chosen.
    pub decode: DecodeConfig,
    /// SQuAD v2.0: above it a question counts as unanswerable.
    pub threshold: f64,
}

impl SpanEval {
    /// Scores the span head `head`. The score is [`SpanScores::primary`]; exact match and F1 in all their official forms are the
    /// metrics, named `TASK/METRIC` and fractions like those of the other tasks. `watch` is called with the number of windows done.
    ///
    /// # Errors
    /// Data that cannot be batched or scored, a model that has diverged, or `watch` ended it.
    #[cfg(feature = "burn")]
    pub fn evaluate(
        &self,
        model: &TaskModel,
        head: usize,
        device: &Device,
        watch: &mut Watch<'_>,
    ) -> Result<Evaluation> {
        let logits = span_logits(model, head, &self.set, device, watch)?;
        let decoded = self.set.decode(&logits, &self.decode)?;
        let scores = SpanScores::of(&self.set, &decoded, self.threshold)?;
        Ok(Evaluation::of_questions(self.set.version(), &scores, &decoded, self.threshold))
    }
}
