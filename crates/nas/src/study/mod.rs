//! The study store: every trial of a search, kept so that a killed run goes on where it stopped
//! and a finished one can be read years later.
//!
//! [`StudyStore`] is what the [driver](crate::driver) needs; `SqliteStudy` (feature `sqlite`) keeps a
//! study in one SQLite file, [`MemoryStudy`] in memory. Both pass the [`conformance`] suite, and so
//! should every other store.
//!
//! For other programs a study is [`StageRecord`]s: counts and places, a flat [`table`](table::Table), a database of Optuna (`optuna`).

pub mod conformance;
mod frequency;
mod memory;
#[cfg(feature = "sqlite")]
pub mod optuna;
mod parameters;
mod record;
#[cfg(feature = "sqlite")]
mod sqlite;
mod stage;
pub mod table;

use std::collections::BTreeMap;

pub use frequency::{Frequency, frequencies};
pub use memory::MemoryStudy;
pub use parameters::{Value, parameters};
pub use record::{Fitness, NewTrial, RejectedDraw, Settled, StudyIdentity, Trial, TrialId, TrialState};
#[cfg(feature = "sqlite")]
pub use sqlite::{SCHEMA_VERSION, SqliteStudy};
pub use stage::StageRecord;

use crate::budget::Rejection;
use crate::error::Result;

/// Where the trials of one study are kept.
///
/// A call that returned `Ok` is durable as far as the store promises durability at all; a call that
/// returned an error changed nothing.
pub trait StudyStore {
    /// Which study this is.
    fn identity(&self) -> &StudyIdentity;

    /// Adds a running trial together with the draws that were rejected on the way to it, all or
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Inconsistent`](crate::Error::Inconsistent) if the stage already has a trial of this
    /// number; storage errors.
    fn begin_trial(&mut self, trial: &NewTrial, rejected: &[RejectedDraw]) -> Result<TrialId>;

    /// Notes that a running trial, left by a killed process, starts over at `started_at`.
    ///
    /// # Errors
    /// [`Error::Inconsistent`](crate::Error::Inconsistent) if the trial is not running; storage
    /// errors.
    fn restart(&mut self, id: TrialId, started_at: i64) -> Result<()>;

    /// Finishes a running trial and returns its final row. A score or metric that is not finite
    /// fails the trial, with a reason that names it.
    ///
    /// # Errors
    /// [`Error::Inconsistent`](crate::Error::Inconsistent) if the trial is not running; storage
    /// errors.
    fn finish(&mut self, id: TrialId, fitness: &Fitness, finished_at: i64) -> Result<Trial>;

    /// Fails a running trial and returns its final row.
    ///
    /// # Errors
    /// [`Error::Inconsistent`](crate::Error::Inconsistent) if the trial is not running; storage
    /// errors.
    fn fail(&mut self, id: TrialId, reason: &str, finished_at: i64) -> Result<Trial>;

    /// Trials of a stage (running, complete, failed) by ascending number.
    ///
    /// # Errors
    /// Storage errors.
    fn trials(&self, stage: u32) -> Result<Vec<Trial>>;

    /// Rejected draws of a stage, in the order they were drawn.
    ///
    /// # Errors
    /// Storage errors.
    fn rejected(&self, stage: u32) -> Result<Vec<RejectedDraw>>;

    /// How many draws of a stage were rejected for each reason that occurred.
    ///
    /// # Errors
    /// Storage errors.
    fn rejection_counts(&self, stage: u32) -> Result<BTreeMap<Rejection, u64>> {
        let mut counts = BTreeMap::new();
        for draw in self.rejected(stage)? {
            *counts.entry(draw.reason).or_default() += 1;
        }
        Ok(counts)
    }

    /// The best complete trial by its [`Rank`](crate::rank::Rank): the highest fitness, of equals the smallest, then the fastest.
    ///
    /// # Errors
    /// Storage errors.
    fn best(&self, stage: u32) -> Result<Option<Trial>> {
        Ok(self.trials(stage)?.into_iter().min_by(Trial::order).filter(|trial| trial.fitness.is_some()))
    }

    /// Notes that a stage has no more to draw, together with the draws that showed it, all or nothing; once for each stage.
    ///
    /// # Errors
    /// Storage errors.
    fn exhaust(&mut self, stage: u32, rejected: &[RejectedDraw]) -> Result<()>;

    /// Whether [`Self::exhaust`] was told about a stage.
    ///
    /// # Errors
    /// Storage errors.
    fn is_exhausted(&self, stage: u32) -> Result<bool>;
}
