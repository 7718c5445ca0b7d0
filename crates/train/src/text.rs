//! Text batches as functions of the step number.

use std::fmt::Debug;
use std::sync::Arc;

use glue_squad::batch::{BatchPlan, EncodedBatch};
use glue_squad::features::{Features, lengths};
use predict::data::{BatchSettings, WIDTH_MULTIPLE};
use tokenizer::Padding;

use crate::Result;

/// Unlabeled text in batches: what general distillation learns from.
///
/// A batch is a function of the step's number, so a training can resume at any step without saved state of the data.
pub trait TextSource: Debug + Send + Sync {
    /// Batches until every sequence was seen once; at least 1.
    fn batches_per_epoch(&self) -> u64;

    /// The batch of a step, always the same one; epochs follow each other without end.
    ///
    /// # Errors
    /// Text that cannot be read, or a sequence that cannot be padded to the maximal length.
    fn batch(&self, step: u64) -> Result<EncodedBatch>;
}

/// Sequences of text in memory.
#[derive(Debug)]
pub struct TextSet {
    pub(crate) features: Arc<Vec<Features>>,
    plan: BatchPlan,
    pub(crate) padding: Padding,
}

impl TextSet {
    /// Sequences of a batch, at most.
    pub(crate) fn batch_size(&self) -> usize {
        self.plan.batch_size()
    }

    /// Batches of `features`, sequences of at most `settings.max_len` tokens, which several sets may share.
    ///
    /// # Errors
    /// No sequences, or a batch size of 0.
    pub fn new(features: impl Into<Arc<Vec<Features>>>, pad_id: u32, settings: BatchSettings) -> Result<Self> {
        let features = features.into();
        let plan = settings.plan(lengths(&features))?;
        let padding = Padding { pad_id, multiple: WIDTH_MULTIPLE, max_len: settings.max_len };
        Ok(Self { features, plan, padding })
    }
}

impl TextSource for TextSet {
    fn batches_per_epoch(&self) -> u64 {
        self.plan.batches_per_epoch() as u64
    }

    fn batch(&self, step: u64) -> Result<EncodedBatch> {
        Ok(EncodedBatch::collate(&self.features, &self.plan.batch_at_step(step), self.padding)?)
    }
}
