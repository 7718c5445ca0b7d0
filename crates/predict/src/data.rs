//! Examples of a task in batches, to answer and to score.

use std::sync::Arc;

use cpu_runtime::Ragged;
use glue_squad::batch::{BatchPlan, EncodedBatch, EvalPlan};
use glue_squad::features::{Features, lengths};
use glue_squad::task::{Label, Split, Task};
use tokenizer::Padding;

use crate::{Error, Result};

/// Widths of batches are rounded up to a multiple of this.
pub const WIDTH_MULTIPLE: usize = 8;

/// Uploads a host batch.
#[cfg(feature = "burn")]
pub fn to_device(batch: &EncodedBatch, device: &burn::tensor::Device) -> bert_core::TokenBatch {
    bert_core::TokenBatch::from_host([batch.batch, batch.seq], &batch.ids, &batch.type_ids, &batch.mask, device)
}

/// A host batch without its padding, in place of what `ragged` held; the values of real tokens are those of the padded batch.
pub fn to_ragged(batch: &EncodedBatch, ragged: &mut Ragged) {
    // Ids and segments come from tables of natural numbers.
    let natural = |values: &[i32]| values.iter().map(|&v| v as u32).collect::<Vec<_>>();
    let (ids, segments) = (natural(&batch.ids), natural(&batch.type_ids));
    ragged.clear();
    for row in 0..batch.batch {
        let columns = row * batch.seq..(row + 1) * batch.seq;
        ragged.push_row(&ids[columns.clone()], &segments[columns.clone()], &batch.mask[columns]);
    }
}

/// How examples become batches.
#[derive(Debug, Clone, Copy)]
pub struct BatchSettings {
    /// Examples per batch.
    pub batch_size: usize,
    /// Longest sequence in tokens; longer ones are truncated.
    pub max_len: usize,
    /// Seed of the data order.
    pub seed: u64,
    /// Batches whose examples are sorted by length together: see [`BatchPlan`]. 1 makes batches of random examples.
    pub length_window: usize,
}

impl BatchSettings {
    /// Batches of examples of similar length, as [`BatchPlan::new`] makes them.
    pub const fn new(batch_size: usize, max_len: usize, seed: u64) -> Self {
        Self { batch_size, max_len, seed, length_window: BatchPlan::DEFAULT_WINDOW }
    }

    /// The training batches of examples of these lengths.
    ///
    /// # Errors
    /// No examples, a batch size or a window of 0.
    pub fn plan(&self, lengths: Vec<usize>) -> Result<BatchPlan> {
        Ok(BatchPlan::new(lengths, self.batch_size, self.seed)?.with_window(self.length_window)?)
    }
}

/// Encoded evaluation examples of one task with their gold labels.
#[derive(Debug, Clone)]
pub struct EvalSet {
    /// The task.
    pub task: Task,
    /// Gold labels in the order of the file; empty for an unlabeled test set.
    pub labels: Vec<Label>,
    features: Arc<Vec<Features>>,
    plan: EvalPlan,
    padding: Padding,
}

impl EvalSet {
    /// Plans the evaluation of `features`, which must all have labels; those of an unlabeled test set can be predicted and not
    /// scored.
    ///
    /// # Errors
    /// No features, one without a label among those with one, or outside a test set, a label that is none of the task's, or a task that is
    /// not of this kind.
    pub fn of_split(
        split: Split,
        task: impl Into<Task>,
        features: impl Into<Arc<Vec<Features>>>,
        pad_id: u32,
        settings: BatchSettings,
    ) -> Result<Self> {
        let (task, features) = (task.into(), features.into());
        task.check_trainable()?;
        task.check_labels(features.iter().filter_map(|f| f.label.as_ref()))?;
        let labels =
            match split == Split::Test && features.iter().all(|f| f.label.is_none()) {
                true => Vec::new(),
                false => features.iter().map(|f| f.label.clone()).collect::<Option<_>>().ok_or_else(|| {
                    Error::Mismatch(format!("{}: an example to evaluate on has no label", task.name()))
                })?,
            };
        let plan = EvalPlan::new(&lengths(&features), settings.batch_size)?;
        let padding = Padding { pad_id, multiple: WIDTH_MULTIPLE, max_len: settings.max_len };
        Ok(Self { task, labels, features, plan, padding })
    }

    /// At most `most` of the examples, from everywhere in the file, in batches of `batch_size`.
    ///
    /// # Errors
    /// A batch size of 0.
    pub fn sample(&self, most: usize, batch_size: usize) -> Result<Self> {
        let count = self.features.len().min(most);
        let places: Vec<usize> = (0..count).map(|i| i * self.features.len() / count).collect();
        let features: Vec<Features> = places.iter().map(|&at| self.features[at].clone()).collect();
        let labels = places.iter().filter_map(|&at| self.labels.get(at).cloned()).collect();
        let plan = EvalPlan::new(&lengths(&features), batch_size)?;
        Ok(Self { task: self.task.clone(), labels, features: Arc::new(features), plan, padding: self.padding })
    }

    /// [`EvalSet::of_split`] of examples that must all have labels.
    ///
    /// # Errors
    /// No features, or one without a label.
    pub fn new(
        task: impl Into<Task>,
        features: impl Into<Arc<Vec<Features>>>,
        pad_id: u32,
        settings: BatchSettings,
    ) -> Result<Self> {
        Self::of_split(Split::Dev, task, features, pad_id, settings)
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.features.len()
    }

    /// Whether there are no examples; never, since construction refuses that.
    pub fn is_empty(&self) -> bool {
        self.features.is_empty()
    }

    /// The first tokens of the words of an example; none where the task has no tags.
    pub(crate) fn words(&self, example: usize) -> &[Option<u32>] {
        self.features.get(example).and_then(|f| f.words.as_deref()).unwrap_or_default()
    }

    /// Batches, longest first.
    ///
    /// # Errors
    /// An example that cannot be padded to the maximal length.
    pub fn batches(&self) -> impl Iterator<Item = Result<EncodedBatch>> + '_ {
        self.plan.batches().iter().map(|b| Ok(EncodedBatch::collate(&self.features, b, self.padding)?))
    }

    /// Puts one value per example from batch order back into the order of the file.
    ///
    /// # Errors
    /// Another number of values than examples.
    pub fn restore<T>(&self, values: Vec<T>) -> Result<Vec<T>> {
        Ok(self.plan.restore(values)?)
    }
}
