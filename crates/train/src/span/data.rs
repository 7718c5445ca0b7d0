//! Windows of a SQuAD file as batches.

use glue_squad::batch::BatchPlan;
use glue_squad::squad::{Dataset, SpanBatch, SquadVersion, TrainingIssue, WindowConfig, WindowSet};
use predict::span::padding;
use tokenizer::{Padding, TextEncoder};

use crate::Result;
use crate::data::BatchSettings;

/// The windows to train on, in batches of similar length. Position = step, as in [`crate::data::TrainSet`].
#[derive(Debug)]
pub struct SpanTrainSet {
    windows: WindowSet,
    plan: BatchPlan,
    padding: Padding,
}

impl SpanTrainSet {
    /// Encodes the questions of `dataset`. `config` says how long windows are, and what those without the answer teach.
    ///
    /// # Errors
    /// As [`WindowSet::for_training`], or a batch size of 0.
    pub fn new(
        dataset: &Dataset,
        encoder: &TextEncoder,
        version: SquadVersion,
        config: WindowConfig,
        batches: BatchSettings,
    ) -> Result<Self> {
        let windows = WindowSet::for_training(dataset, encoder, config, version)?;
        let plan = batches.plan(windows.lengths())?;
        Ok(Self { windows, plan, padding: padding(encoder, config) })
    }

    /// The task.
    pub fn version(&self) -> SquadVersion {
        self.windows.version()
    }

    /// Number of windows.
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// Whether there are no windows; never, since construction refuses that.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Questions that are left out or teach less than they could.
    pub fn issues(&self) -> &[TrainingIssue] {
        self.windows.issues()
    }

    /// Batches per epoch.
    pub fn batches_per_epoch(&self) -> u64 {
        self.plan.batches_per_epoch() as u64
    }

    /// The batch of a step, with targets; epochs follow each other without end.
    ///
    /// # Errors
    /// A window that cannot be padded to the maximal length.
    pub fn batch(&self, step: u64) -> Result<SpanBatch> {
        Ok(self.windows.batch(&self.plan.batch_at_step(step), self.padding)?)
    }
}
