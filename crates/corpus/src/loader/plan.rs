//! The order of a corpus of any size as a pure function of (seed, epoch), in little memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use rand::RngCore;
use run_store::rng::{keyed, shuffle};

use crate::error::{Error, Result};

/// Rounds of the permutation; four are enough to look random, two more cost nothing.
const ROUNDS: usize = 6;
/// Windows that are kept: threads that work ahead are in two neighboring ones at most.
const KEPT: usize = 3;

/// Length-bucketed batches: every epoch holds every sequence exactly once.
///
/// In epoch `e` a permutation, which is computed and not stored, puts all sequences in random order. Each window of `window` batches
/// is sorted by length and cut into batches, which are then shuffled within their window. So a plan needs no memory per sequence,
/// unlike the plan of a task's examples, and any batch is found without those before it.
#[derive(Debug)]
pub struct WindowPlan {
    sequences: u64,
    batch_size: usize,
    window: usize,
    seed: u64,
    // Only a cache: asking in another order gives the same batches.
    kept: Mutex<VecDeque<((u64, u64), Batches)>>,
}

type Batches = Arc<Vec<Vec<u64>>>;

impl WindowPlan {
    /// Batches per window unless [`WindowPlan::with_window`] says otherwise: that of tasks.
    pub const DEFAULT_WINDOW: usize = 8;

    /// Plans batches of `batch_size` over so many sequences.
    ///
    /// # Errors
    /// No sequences, or a batch size of 0.
    pub fn new(sequences: u64, batch_size: usize, seed: u64) -> Result<Self> {
        if sequences == 0 || batch_size == 0 || sequences > 1 << 62 {
            let given = format!("{sequences} sequences in batches of {batch_size}");
            return Err(Error::Settings(format!("{given}: at least one sequence and a batch size of 1 are needed")));
        }
        Ok(Self { sequences, batch_size, window: Self::DEFAULT_WINDOW, seed, kept: Mutex::default() })
    }

    /// Sets the batches per window; 1 switches sorting by length off in effect.
    ///
    /// # Errors
    /// A window of 0, or of more than 2^40 sequences.
    pub fn with_window(mut self, batches: usize) -> Result<Self> {
        let fits = batches.checked_mul(self.batch_size).is_some_and(|n| n <= 1 << 40);
        if batches == 0 || !fits {
            return Err(Error::Settings(format!("a window of {batches} batches cannot be sorted; 8 is usual")));
        }
        self.window = batches;
        self.kept = Mutex::default();
        Ok(self)
    }

    /// The sequences that are planned for.
    pub fn sequences(&self) -> u64 {
        self.sequences
    }

    /// Batches in one epoch: sequences / batch size, rounded up.
    pub fn batches_per_epoch(&self) -> u64 {
        self.sequences.div_ceil(self.batch_size as u64)
    }

    /// The epoch and the batch within it of a step; step 0 is batch 0 of epoch 0.
    pub fn position(&self, step: u64) -> (u64, u64) {
        (step / self.batches_per_epoch(), step % self.batches_per_epoch())
    }

    /// The sequences of the batch of a step; `length` tells the tokens of a sequence.
    ///
    /// # Errors
    /// Those of `length`.
    pub fn batch(&self, step: u64, length: impl Fn(u64) -> Result<usize>) -> Result<Vec<u64>> {
        let (epoch, index) = self.position(step);
        let (window, within) = (index / self.window as u64, (index % self.window as u64) as usize);
        let batches = self.window(epoch, window, length)?;
        Ok(batches[within].clone())
    }

    fn window(&self, epoch: u64, window: u64, length: impl Fn(u64) -> Result<usize>) -> Result<Batches> {
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, found)) = lock().iter().find(|(key, _)| *key == (epoch, window)) {
            return Ok(Arc::clone(found));
        }
        let permutation = Permutation::new(self.sequences, self.seed, epoch);
        let size = (self.window as u64).saturating_mul(self.batch_size as u64);
        let (from, to) = (window * size, self.sequences.min((window + 1).saturating_mul(size)));
        let mut sequences = Vec::with_capacity((to - from) as usize);
        for position in from..to {
            let sequence = permutation.at(position);
            sequences.push((length(sequence)?, sequence));
        }
        sequences.sort_by_key(|(length, _)| *length);
        let ids: Vec<u64> = sequences.into_iter().map(|(_, sequence)| sequence).collect();
        let mut batches: Vec<Vec<u64>> = ids.chunks(self.batch_size).map(<[u64]>::to_vec).collect();
        shuffle(&mut keyed(self.seed, "text-shards/batch-order", &[epoch, window]), &mut batches);
        let batches = Arc::new(batches);
        let mut kept = lock();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(((epoch, window), Arc::clone(&batches)));
        Ok(batches)
    }
}

/// A permutation of `0..size` that is computed position by position: a Feistel network on the next power of four, walked until the
/// result lies in the range.
struct Permutation {
    size: u64,
    half_bits: u32,
    keys: [u64; ROUNDS],
}

impl Permutation {
    fn new(size: u64, seed: u64, epoch: u64) -> Self {
        let mut rng = keyed(seed, "text-shards/epoch-order", &[epoch]);
        let bits = u64::BITS - (size - 1).leading_zeros();
        Self { size, half_bits: bits.div_ceil(2).max(1), keys: std::array::from_fn(|_| rng.next_u64()) }
    }

    fn at(&self, position: u64) -> u64 {
        let mask = (1_u64 << self.half_bits) - 1;
        let mut value = position;
        loop {
            let (mut left, mut right) = (value >> self.half_bits, value & mask);
            for key in self.keys {
                (left, right) = (right, left ^ (mix(right ^ key) & mask));
            }
            value = left << self.half_bits | right;
            if value < self.size {
                return value;
            }
        }
    }
}

/// The finalizer of splitmix64.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(plan: &WindowPlan, epoch: u64) -> Vec<Vec<u64>> {
        let steps = plan.batches_per_epoch();
        (0..steps).map(|step| plan.batch(epoch * steps + step, |s| Ok((s % 97) as usize)).unwrap()).collect()
    }

    #[test]
    fn every_sequence_comes_once_an_epoch_and_in_another_order_each_time() {
        for sequences in [1, 2, 3, 5, 64, 1000, 1025] {
            let plan = WindowPlan::new(sequences, 8, 7).unwrap().with_window(5).unwrap();
            let order = epoch(&plan, 0);
            let mut all: Vec<u64> = order.concat();
            all.sort_unstable();
            assert_eq!(all, (0..sequences).collect::<Vec<_>>());
            assert_eq!(order.iter().filter(|b| b.len() < 8).count(), usize::from(sequences % 8 != 0));
            assert_eq!(order, epoch(&plan, 0));
            if sequences > 60 {
                assert_ne!(order, epoch(&plan, 1));
            }
        }
    }

    #[test]
    fn batches_hold_similar_lengths_and_are_found_in_any_order() {
        let plan = WindowPlan::new(4000, 16, 1).unwrap().with_window(50).unwrap();
        let spread = |batch: &[u64]| {
            let lengths = batch.iter().map(|s| s % 97);
            lengths.clone().max().unwrap() - lengths.min().unwrap()
        };
        let order = epoch(&plan, 3);
        let mean = order.iter().map(|b| spread(b)).sum::<u64>() as f64 / order.len() as f64;
        assert!(mean < 5.0, "{mean}");
        let backwards: Vec<_> = (750..1000).rev().map(|s| plan.batch(s, |s| Ok((s % 97) as usize)).unwrap()).collect();
        assert_eq!(backwards.into_iter().rev().collect::<Vec<_>>(), order);
    }

    #[test]
    fn neighbors_do_not_stay_neighbors() {
        let permutation = Permutation::new(10_000, 5, 0);
        let near = (1..10_000).filter(|p| permutation.at(*p).abs_diff(permutation.at(p - 1)) < 100).count();
        // Of random pairs 2 in 100 are that near.
        assert!((100..300).contains(&near), "{near}");
    }

    #[test]
    fn plans_of_nothing_are_refused() {
        assert!(WindowPlan::new(0, 4, 1).is_err() && WindowPlan::new(4, 0, 1).is_err());
        assert!(WindowPlan::new(4, 4, 1).unwrap().with_window(0).is_err());
    }
}
