//! Task batches as functions of the step number.

use std::sync::{Arc, Mutex, PoisonError};

use glue_squad::batch::EncodedBatch;
use glue_squad::features::Features;
use glue_squad::task::{Head, Label, Task};
pub use predict::data::{BatchSettings, EvalSet, to_device};
use rand::seq::SliceRandom;

use crate::text::{TextSet, TextSource};
use crate::{Error, Result};

/// Encoded training examples of one task in batches of similar length.
#[derive(Debug)]
pub struct TrainSet {
    /// The task.
    pub task: Task,
    /// The same examples as sequences in batches.
    sequences: TextSet,
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
        if task.head() == Head::Embedding && settings.batch_size < 2 {
            return Err(Error::Mismatch(format!(
                "{task}: vectors are learned by comparing the pairs of a batch; it has one"
            )));
        }
        Ok(Self { task, sequences: TextSet::new(features, pad_id, settings)? })
    }

    /// Splits off the last `fraction` of the examples in an order that `seed` decides, for what is chosen by a score: nothing is chosen on
    /// the dev set. `settings` are those of both parts.
    ///
    /// # Errors
    /// One of the two parts would be empty.
    pub fn hold_out(self, fraction: f64, seed: u64, settings: BatchSettings) -> Result<(Self, EvalSet)> {
        let mut order: Vec<usize> = (0..self.sequences.features.len()).collect();
        order.shuffle(&mut run_store::rng::keyed(seed, "hold-out", &[]));
        let held = (order.len() as f64 * fraction).round() as usize;
        if held == 0 || held >= order.len() {
            return Err(Error::Mismatch(format!(
                "{}: holding out {fraction} of {} examples leaves one part empty; change `data.hold_out`",
                self.task.name(),
                order.len()
            )));
        }
        let pick = |range: &[usize]| range.iter().map(|&i| self.sequences.features[i].clone()).collect::<Vec<_>>();
        let (train, eval) = order.split_at(order.len() - held);
        let eval = EvalSet::new(&self.task, pick(eval), self.sequences.padding.pad_id, settings)?;
        let train = Self::new(&self.task, pick(train), self.sequences.padding.pad_id, settings)?;
        Ok((train, eval))
    }

    /// Examples of a batch, at most.
    pub fn batch_size(&self) -> usize {
        self.sequences.batch_size()
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.sequences.features.len()
    }

    /// Whether there are no examples; never, since construction refuses that.
    pub fn is_empty(&self) -> bool {
        self.sequences.features.is_empty()
    }

    /// Batches per epoch.
    pub fn batches_per_epoch(&self) -> u64 {
        self.sequences.batches_per_epoch()
    }

    /// The examples in the order of the file.
    pub fn features(&self) -> &[Features] {
        &self.sequences.features
    }

    /// The gold labels that are there, in the order of the file.
    pub fn labels(&self) -> Vec<Label> {
        self.sequences.features.iter().filter_map(|f| f.label.clone()).collect()
    }

    /// The batch of a step; epochs follow each other without end.
    ///
    /// # Errors
    /// An example that cannot be padded to the maximal length.
    pub fn batch(&self, step: u64) -> Result<EncodedBatch> {
        self.sequences.batch(step)
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

    /// The training sets in the order of the tasks.
    pub fn sets(&self) -> &[TrainSet] {
        &self.sets
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
