//! Text batches as functions of the step number.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;

use corpus::{PackConfig, PackedCorpus};
use glue_squad::batch::{BatchPlan, EncodedBatch};
use glue_squad::features::{Features, lengths};
use predict::data::WIDTH_MULTIPLE;
use tokenizer::{Padding, TextEncoder};

use crate::data::BatchSettings;
use crate::{Error, Result};

/// Unlabeled text in batches: what general distillation learns from.
///
/// A batch is a function of the step's number, so a training goes on anywhere with no state of the data to keep.
pub trait TextSource: Debug + Send + Sync {
    /// Batches until every sequence was seen once; at least 1.
    fn batches_per_epoch(&self) -> u64;

    /// The batch of a step, always the same one; epochs follow each other without end.
    ///
    /// # Errors
    /// Text that cannot be read, or a sequence that cannot be padded to the maximal length.
    fn batch(&self, step: u64) -> Result<EncodedBatch>;
}

/// Text files packed into memory.
#[derive(Debug)]
pub struct TextSet {
    features: Arc<Vec<Features>>,
    plan: BatchPlan,
    padding: Padding,
}

impl TextSet {
    /// Packs `files` into sequences of at most `settings.max_len` tokens.
    ///
    /// # Errors
    /// Files that cannot be read, no text, or a batch size of 0.
    pub fn pack(encoder: &TextEncoder, files: &[PathBuf], config: PackConfig, settings: BatchSettings) -> Result<Self> {
        let failed = |e: corpus::Error| Error::Other(Box::new(e));
        let packed = PackedCorpus::new(encoder, files, config).map_err(failed)?;
        let features =
            packed.map(|sequence| Ok(sequence.map_err(failed)?.into())).collect::<Result<Vec<Features>>>()?;
        Self::new(features, encoder.pad_id(), settings)
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

    /// Number of sequences.
    pub fn len(&self) -> usize {
        self.features.len()
    }

    /// Whether there are no sequences; never, since construction refuses that.
    pub fn is_empty(&self) -> bool {
        self.features.is_empty()
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
