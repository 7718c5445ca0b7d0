//! The order of data as a pure function of (seed, epoch).

use std::sync::{Arc, Mutex, PoisonError};

use run_store::rng::{keyed, shuffle};

use crate::error::{Error, Result};

/// Length-bucketed training batches: every epoch holds every example exactly once.
///
/// Epoch `e`: all examples are shuffled; each window of `window` batches is sorted by length and cut into batches, so that a batch
/// holds examples of similar length; then the order of the batches is shuffled. Where the examples do not divide evenly,
/// one batch is smaller. The order depends only on (lengths, batch size, window, seed, e): a run resumes from a step number.
#[derive(Debug)]
pub struct BatchPlan {
    lengths: Vec<usize>,
    batch_size: usize,
    window: usize,
    seed: u64,
    // The last epoch asked for. Only a cache: asking in another order gives the same batches.
    cached: Mutex<Option<(u64, EpochOrder)>>,
}

/// The batches of an epoch in order, as indices of examples.
type EpochOrder = Arc<Vec<Vec<usize>>>;

impl BatchPlan {
    /// Batches per window unless [`BatchPlan::with_window`] says otherwise. 6 to 18% more tokens than with 50, with which CoLA came out
    /// lower and spread more: labels and lengths are not independent (docs/results/fine-tuning.md).
    pub const DEFAULT_WINDOW: usize = 8;

    /// Examples of a batch, at most: the last one of an epoch may have fewer.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// Plans batches of `batch_size` over examples of these lengths.
    ///
    /// # Errors
    /// No examples, or a batch size of 0.
    pub fn new(lengths: Vec<usize>, batch_size: usize, seed: u64) -> Result<Self> {
        check(&lengths, batch_size)?;
        Ok(Self { lengths, batch_size, window: Self::DEFAULT_WINDOW, seed, cached: Mutex::new(None) })
    }

    /// Sets the batches per window; 1 switches sorting by length off in effect.
    ///
    /// # Errors
    /// A window of 0.
    pub fn with_window(mut self, batches: usize) -> Result<Self> {
        if batches == 0 {
            return Err(Error::Invalid("a bucketing window of 0 batches holds nothing; use 1 or more".to_owned()));
        }
        self.window = batches;
        self.cached = Mutex::new(None);
        Ok(self)
    }

    /// Batches in one epoch: examples / batch size, rounded up.
    pub fn batches_per_epoch(&self) -> usize {
        self.lengths.len().div_ceil(self.batch_size)
    }

    /// The epoch and the batch within it of a step; step 0 is batch 0 of epoch 0.
    pub fn position(&self, step: u64) -> (u64, usize) {
        let per_epoch = self.batches_per_epoch() as u64;
        (step / per_epoch, (step % per_epoch) as usize)
    }

    /// The batches of an epoch in order, as indices of examples.
    pub fn epoch(&self, epoch: u64) -> Arc<Vec<Vec<usize>>> {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((held, order)) = cached.as_ref()
            && *held == epoch
        {
            return Arc::clone(order);
        }
        let order = Arc::new(self.compute(epoch));
        *cached = Some((epoch, Arc::clone(&order)));
        order
    }

    /// The examples of the batch of a step.
    pub fn batch_at_step(&self, step: u64) -> Vec<usize> {
        let (epoch, index) = self.position(step);
        self.epoch(epoch)[index].clone()
    }

    fn compute(&self, epoch: u64) -> Vec<Vec<usize>> {
        let mut rng = keyed(self.seed, "glue-squad/batch-order", &[epoch]);
        let mut order: Vec<usize> = (0..self.lengths.len()).collect();
        shuffle(&mut rng, &mut order);
        let mut batches = Vec::with_capacity(self.batches_per_epoch());
        for window in order.chunks_mut(self.window.saturating_mul(self.batch_size)) {
            window.sort_by_key(|index| self.lengths[*index]);
            batches.extend(window.chunks(self.batch_size).map(<[usize]>::to_vec));
        }
        shuffle(&mut rng, &mut batches);
        batches
    }
}

/// Evaluation batches: every example once, longest first, so that memory peaks at the start; outputs are put back in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvalPlan {
    batches: Vec<Vec<usize>>,
    examples: usize,
}

impl EvalPlan {
    /// Plans batches of at most `batch_size`.
    ///
    /// # Errors
    /// No examples, or a batch size of 0.
    pub fn new(lengths: &[usize], batch_size: usize) -> Result<Self> {
        check(lengths, batch_size)?;
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.sort_by_key(|index| std::cmp::Reverse(lengths[*index]));
        Ok(Self { batches: order.chunks(batch_size).map(<[usize]>::to_vec).collect(), examples: lengths.len() })
    }

    /// The batches, as indices of examples.
    pub fn batches(&self) -> &[Vec<usize>] {
        &self.batches
    }

    /// Puts one output per example, batch after batch in the order of [`EvalPlan::batches`], into the order of the examples.
    ///
    /// # Errors
    /// The number of outputs is not the number of examples.
    pub fn restore<T>(&self, outputs: Vec<T>) -> Result<Vec<T>> {
        if outputs.len() != self.examples {
            return Err(Error::Invalid(format!("{} outputs for {} examples", outputs.len(), self.examples)));
        }
        let mut indexed: Vec<(usize, T)> = self.batches.iter().flatten().copied().zip(outputs).collect();
        indexed.sort_by_key(|(index, _)| *index);
        Ok(indexed.into_iter().map(|(_, output)| output).collect())
    }
}

fn check(lengths: &[usize], batch_size: usize) -> Result<()> {
    if lengths.is_empty() || batch_size == 0 {
        let given = format!("{} examples in batches of {batch_size}", lengths.len());
        return Err(Error::Invalid(format!("{given}: at least one example and a batch size of 1 are needed")));
    }
    Ok(())
}
