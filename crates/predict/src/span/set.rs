//! Windows of questions and texts in batches, to answer and to score.

use glue_squad::batch::EvalPlan;
use glue_squad::squad::{
    Dataset, DecodeConfig, Decoded, Gold, SpanBatch, SpanLogits, SquadVersion, WindowConfig, WindowSet, decode,
};
use tokenizer::{Padding, TextEncoder};

use crate::Result;
use crate::data::WIDTH_MULTIPLE;

/// Questions to answer, and their gold answers where the file has any.
#[derive(Debug, Clone)]
pub struct SpanEvalSet {
    dataset: Dataset,
    windows: WindowSet,
    gold: Option<Gold>,
    /// `None` where no context has a token.
    plan: Option<EvalPlan>,
    padding: Padding,
}

impl SpanEvalSet {
    /// Encodes the questions of `dataset`. A file in which no question has an answer or is marked as unanswerable has no labels.
    ///
    /// # Errors
    /// As [`WindowSet::for_prediction`], or a batch size of 0.
    pub fn new(
        dataset: Dataset,
        encoder: &TextEncoder,
        version: SquadVersion,
        config: WindowConfig,
        batch_size: usize,
    ) -> Result<Self> {
        let windows = WindowSet::for_prediction(&dataset, encoder, config, version)?;
        let plan = (!windows.is_empty()).then(|| EvalPlan::new(&windows.lengths(), batch_size)).transpose()?;
        let labeled = dataset.questions.iter().any(|q| !q.answers.is_empty() || q.is_impossible);
        let gold = labeled.then(|| Gold::from(&dataset));
        Ok(Self { dataset, windows, gold, plan, padding: padding(encoder, config) })
    }

    /// The task.
    pub fn version(&self) -> SquadVersion {
        self.windows.version()
    }

    /// The questions.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// The gold answers; `None` for a file without.
    pub fn gold(&self) -> Option<&Gold> {
        self.gold.as_ref()
    }

    /// Number of windows.
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// Whether there are no windows: no context has a token.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Batches, longest windows first.
    ///
    /// # Errors
    /// A window that cannot be padded to the maximal length.
    pub fn batches(&self) -> impl Iterator<Item = Result<SpanBatch>> + '_ {
        let batches = self.plan.iter().flat_map(EvalPlan::batches);
        batches.map(|b| Ok(self.windows.batch(b, self.padding)?))
    }

    /// Puts the scores of all windows from batch order back into that of the file.
    ///
    /// # Errors
    /// Another number of scores than windows.
    pub fn restore(&self, scores: Vec<SpanLogits>) -> Result<Vec<SpanLogits>> {
        match &self.plan {
            Some(plan) => Ok(plan.restore(scores)?),
            None => Ok(scores),
        }
    }

    /// The answers that the scores of all windows, in the order of the file, stand for.
    ///
    /// # Errors
    /// As [`decode`]: scores that are not finite, or settings of 0.
    pub fn decode(&self, scores: &[SpanLogits], config: &DecodeConfig) -> Result<Decoded> {
        Ok(decode(&self.dataset, &self.windows, scores, config)?)
    }
}

/// How windows of `config` are padded.
pub fn padding(encoder: &TextEncoder, config: WindowConfig) -> Padding {
    Padding { pad_id: encoder.pad_id(), multiple: WIDTH_MULTIPLE, max_len: config.max_len }
}
