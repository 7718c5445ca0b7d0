//! What to try next, given what was tried.
//!
//! A strategy is a deterministic function of the observations it was told, in order, and of the
//! [`DrawKey`]: it keeps no generator. Telling a fresh one the rows of a store therefore continues a
//! search exactly.

mod evolution;
mod in_order;
mod nsga2;
mod partition;
mod random;
mod tpe;

use std::collections::BTreeSet;

use rand_chacha::ChaCha8Rng;

pub use evolution::{Evolution, EvolutionConfig};
pub use in_order::InOrder;
pub use nsga2::{Nsga2, Nsga2Config};
pub use partition::{Descent, Height, LearnedPartition, PartitionConfig, Split};
pub use random::RandomSearch;
pub use tpe::{Tpe, TpeConfig};

use crate::error::Result;
use crate::rank::Rank;
use crate::space::SearchSpace;

/// Names one draw; everything random in it derives from this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrawKey {
    /// Seed of the study.
    pub seed: u64,
    /// Stage of the search.
    pub stage: u32,
    /// Number of the trial that is being drawn.
    pub number: u64,
    /// How many draws for this trial were rejected before.
    pub attempt: u64,
}

impl DrawKey {
    /// The generator of this draw for one purpose.
    pub fn rng(&self, purpose: &str) -> ChaCha8Rng {
        let counters = [u64::from(self.stage), self.number, self.attempt];
        run_store::rng::keyed(self.seed, purpose, &counters)
    }
}

/// A finished trial, as a strategy sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation<G> {
    /// Number of the trial within its stage.
    pub number: u64,
    /// The architecture.
    pub genome: G,
    /// Its fingerprint.
    pub fingerprint: String,
    /// Its fitness and what settles ties; `None` if the trial failed.
    pub rank: Option<Rank>,
}

/// Draws for one member of a batch before the space counts as exhausted.
const BATCH_DRAWS: usize = 1_000;

/// Decides which architecture of a space `S` to evaluate next.
///
/// One that asks nothing more of a space than drawing and varying is a strategy for every `S`; the
/// [`LearnedPartition`] and [`Tpe`] want an [`EncodedSpace`](crate::space::EncodedSpace).
pub trait Strategy<S: SearchSpace + ?Sized> {
    /// The next architecture. It may repeat an earlier one; the caller rejects that and asks again
    /// with the next attempt.
    ///
    /// # Errors
    /// [`Error::Strategy`](crate::Error::Strategy) if its model cannot be fitted.
    fn ask(&mut self, space: &S, key: &DrawKey) -> Result<S::Genome>;

    /// The next architecture while `pending` are being evaluated, whose results nobody knows yet.
    ///
    /// By default the one that it asks for anyway: right for a strategy whose draws are spread by chance. One that fits a model would
    /// draw around the same optimum again and again; it takes the pending ones for bad ones (the constant liar of Ginsbourger et al.
    /// 2010 with the lowest value) until their results are told.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    fn ask_beside(&mut self, space: &S, key: &DrawKey, pending: &[S::Genome]) -> Result<S::Genome> {
        let _ = pending;
        self.ask(space, key)
    }

    /// Architectures for the trials `key.number` to `key.number + count - 1`, to be evaluated at the same time. No two of them compute
    /// the same function. They are fewer than `count` where 1000 draws give no further one. One that an earlier trial has is for the
    /// caller to reject.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    fn ask_batch(&mut self, space: &S, key: &DrawKey, count: usize) -> Result<Vec<S::Genome>> {
        let mut batch: Vec<S::Genome> = Vec::with_capacity(count);
        let mut fingerprints = BTreeSet::new();
        for number in (key.number..).take(count) {
            let mut found = false;
            for attempt in (key.attempt..).take(BATCH_DRAWS) {
                let genome = self.ask_beside(space, &DrawKey { number, attempt, ..*key }, &batch)?;
                if fingerprints.insert(space.fingerprint(&genome)) {
                    batch.push(genome);
                    found = true;
                    break;
                }
            }
            if !found {
                break;
            }
        }
        Ok(batch)
    }

    /// Learns the result of a trial. Called once per trial, by ascending number.
    ///
    /// # Errors
    /// [`Error::Strategy`](crate::Error::Strategy) if the observation does not fit the earlier ones.
    fn tell(&mut self, space: &S, observation: Observation<S::Genome>) -> Result<()>;
}
