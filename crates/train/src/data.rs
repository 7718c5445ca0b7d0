//! Task batches as functions of the step number.

use std::sync::{Arc, Mutex, PoisonError};

use bert_core::TokenBatch;
use burn::tensor::Device;
use cpu_runtime::Ragged;
use glue_squad::batch::{BatchPlan, EncodedBatch, EvalPlan};
use glue_squad::features::{Features, lengths};
use glue_squad::task::{Label, Split, Task};
use rand::seq::SliceRandom;
use tokenizer::Padding;

use crate::{Error, Result};

/// Widths of batches are rounded up to a multiple of this.
pub(crate) const WIDTH_MULTIPLE: usize = 8;

/// Uploads a host batch.
pub fn to_device(batch: &EncodedBatch, device: &Device) -> TokenBatch {
    TokenBatch::from_host([batch.batch, batch.seq], &batch.ids, &batch.type_ids, &batch.mask, device)
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

/// Encoded training examples of one task in batches of similar length.
#[derive(Debug)]
pub struct TrainSet {
    /// The task.
    pub task: Task,
    features: Arc<Vec<Features>>,
    plan: BatchPlan,
    padding: Padding,
}

/// Encoded evaluation examples of one task with their gold labels.
#[derive(Debug, Clone)]
pub struct EvalSet {
    /// The task.
    pub task: Task,
    /// Gold labels in the order of the file; empty for an unlabelled test set.
    pub labels: Vec<Label>,
    features: Arc<Vec<Features>>,
    plan: EvalPlan,
    padding: Padding,
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
    pub(crate) fn plan(&self, lengths: Vec<usize>) -> Result<BatchPlan> {
        Ok(BatchPlan::new(lengths, self.batch_size, self.seed)?.with_window(self.length_window)?)
    }
}

impl TrainSet {
    /// Batches of `features` of `task`.
    ///
    /// # Errors
    /// No features, one with a label of another task, a task that [cannot be trained](Task::check_trainable) so, or a batch size of 0.
    pub fn new(
        task: impl Into<Task>,
        features: impl Into<Arc<Vec<Features>>>,
        pad_id: u32,
        settings: BatchSettings,
    ) -> Result<Self> {
        let (task, features) = (task.into(), features.into());
        task.check_trainable()?;
        task.check_labels(features.iter().filter_map(|f| f.label.as_ref()))?;
        let plan = settings.plan(lengths(&features))?;
        let padding = Padding { pad_id, multiple: WIDTH_MULTIPLE, max_len: settings.max_len };
        Ok(Self { task, features, plan, padding })
    }

    /// Splits off the last `fraction` of the examples in a seeded order, for evaluation while
    /// searching: no candidate sees the dev set.
    ///
    /// # Errors
    /// One of the two parts would be empty.
    pub fn hold_out(self, fraction: f64, settings: BatchSettings) -> Result<(Self, EvalSet)> {
        let mut order: Vec<usize> = (0..self.features.len()).collect();
        order.shuffle(&mut run_store::rng::keyed(settings.seed, "hold-out", &[]));
        let held = (order.len() as f64 * fraction).round() as usize;
        if held == 0 || held >= order.len() {
            return Err(Error::Mismatch(format!(
                "{}: holding out {fraction} of {} examples leaves one part empty; change `data.hold_out`",
                self.task.name(),
                order.len()
            )));
        }
        let pick = |range: &[usize]| range.iter().map(|&i| self.features[i].clone()).collect::<Vec<_>>();
        let (train, eval) = order.split_at(order.len() - held);
        let eval = EvalSet::new(&self.task, pick(eval), self.padding.pad_id, settings)?;
        let train = Self::new(&self.task, pick(train), self.padding.pad_id, settings)?;
        Ok((train, eval))
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.features.len()
    }

    /// Whether there are no examples; never, since construction refuses that.
    pub fn is_empty(&self) -> bool {
        self.features.is_empty()
    }

    /// Batches per epoch.
    pub fn batches_per_epoch(&self) -> u64 {
        self.plan.batches_per_epoch() as u64
    }

    /// The gold labels that are there, in the order of the file.
    pub fn labels(&self) -> Vec<Label> {
        self.features.iter().filter_map(|f| f.label).collect()
    }

    /// The batch of a step; epochs follow each other without end.
    ///
    /// # Errors
    /// An example that cannot be padded to the maximal length.
    pub fn batch(&self, step: u64) -> Result<EncodedBatch> {
        Ok(EncodedBatch::collate(&self.features, &self.plan.batch_at_step(step), self.padding)?)
    }
}

impl EvalSet {
    /// Plans the evaluation of `features`, which must all have labels; those of an unlabelled test set can be predicted and not
    /// scored.
    ///
    /// # Errors
    /// No features, one without a label among those with one, or outside a test set, or as [`TrainSet::new`].
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
                false => features.iter().map(|f| f.label).collect::<Option<_>>().ok_or_else(|| {
                    Error::Mismatch(format!("{}: an example to evaluate on has no label", task.name()))
                })?,
            };
        let plan = EvalPlan::new(&lengths(&features), settings.batch_size)?;
        let padding = Padding { pad_id, multiple: WIDTH_MULTIPLE, max_len: settings.max_len };
        Ok(Self { task, labels, features, plan, padding })
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

/// Training sets of several tasks, one task per batch, tasks drawn in proportion to their size
/// (EfficientBERT's multi-task fine-tuning). Position = step.
#[derive(Debug, Clone)]
pub struct TaskMix {
    sets: Arc<Vec<TrainSet>>,
    seed: u64,
    batches_per_epoch: u64,
    /// The order of the epoch that was asked for last.
    order: Arc<Mutex<Option<(u64, Order)>>>,
}

/// Task and batch of each step of an epoch.
type Order = Arc<[(usize, u64)]>;

impl TaskMix {
    /// Mixes `sets`, which must not be empty.
    ///
    /// # Errors
    /// No sets.
    pub fn new(sets: Vec<TrainSet>, seed: u64) -> Result<Self> {
        let batches_per_epoch = sets.iter().map(TrainSet::batches_per_epoch).sum();
        if batches_per_epoch == 0 {
            return Err(Error::Mismatch("no task to train on".into()));
        }
        Ok(Self { sets: Arc::new(sets), seed, batches_per_epoch, order: Arc::default() })
    }

    /// Batches until every example of every task was seen once.
    pub fn batches_per_epoch(&self) -> u64 {
        self.batches_per_epoch
    }

    /// The tasks in their order.
    pub fn tasks(&self) -> Vec<Task> {
        self.sets.iter().map(|s| s.task.clone()).collect()
    }

    /// The gold labels of the training set that serves `task`; none where there is no such set.
    pub fn labels(&self, task: &Task) -> Vec<Label> {
        let serves = |set: &&TrainSet| set.task.trained_as() == task.trained_as();
        self.sets.iter().find(serves).map(TrainSet::labels).unwrap_or_default()
    }

    /// The task (its position) and batch of a step.
    ///
    /// # Errors
    /// As [`TrainSet::batch`].
    pub fn batch(&self, step: u64) -> Result<(usize, EncodedBatch)> {
        if let [set] = self.sets.as_slice() {
            return Ok((0, set.batch(step)?));
        }
        let (epoch, index) = (step / self.batches_per_epoch, step % self.batches_per_epoch);
        let (task, batch) = self.order(epoch)[index as usize];
        let set = &self.sets[task];
        Ok((task, set.batch(epoch * set.batches_per_epoch() + batch)?))
    }

    /// A function of the epoch alone; kept, since every step of it asks.
    fn order(&self, epoch: u64) -> Order {
        let mut kept = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, order)) = kept.as_ref().filter(|(of, _)| *of == epoch) {
            return Arc::clone(order);
        }
        let batches =
            self.sets.iter().enumerate().flat_map(|(i, set)| (0..set.batches_per_epoch()).map(move |b| (i, b)));
        let mut order: Vec<(usize, u64)> = batches.collect();
        order.shuffle(&mut run_store::rng::keyed(self.seed, "task order", &[epoch]));
        let order = Order::from(order);
        *kept = Some((epoch, Arc::clone(&order)));
        order
    }
}
