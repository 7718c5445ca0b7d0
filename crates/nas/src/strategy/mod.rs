//! What to try next, given what was tried.
//!
//! A strategy is a deterministic function of the observations it was told, in order, and of the
//! [`DrawKey`]: it keeps no generator. Telling a fresh one the rows of a store therefore continues a
//! search exactly.

mod evolution;
mod partition;
mod random;

use rand_chacha::ChaCha8Rng;

pub use evolution::{Evolution, EvolutionConfig};
pub use partition::{Descent, Height, LearnedPartition, PartitionConfig, Split};
pub use random::RandomSearch;

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

/// Decides which architecture of a space `S` to evaluate next.
///
/// One that asks nothing more of a space than drawing and varying is a strategy for every `S`; the
/// [`LearnedPartition`] wants an [`EncodedSpace`](crate::space::EncodedSpace).
pub trait Strategy<S: SearchSpace + ?Sized> {
    /// The next architecture. It may repeat an earlier one; the caller rejects that and asks again
    /// with the next attempt.
    ///
    /// # Errors
    /// [`Error::Strategy`](crate::Error::Strategy) if its model cannot be fitted.
    fn ask(&mut self, space: &S, key: &DrawKey) -> Result<S::Genome>;

    /// Learns the result of a trial. Called once per trial, by ascending number.
    ///
    /// # Errors
    /// [`Error::Strategy`](crate::Error::Strategy) if the observation does not fit the earlier ones.
    fn tell(&mut self, space: &S, observation: Observation<S::Genome>) -> Result<()>;
}
