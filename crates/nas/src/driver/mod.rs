//! Runs one stage of the search: draw, check, evaluate, store, learn.
//!
//! Everything a stage does is a function of (seed, settings, stored rows). A run that was stopped or
//! killed replays its rows into the strategy and goes on with exactly the trials an uninterrupted
//! run would have had.

mod run;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

pub use run::run_stage;

use crate::budget::{Budget, Cost, Latency, Rejection};
use crate::space::SearchSpace;
use crate::strategy::Strategy;
use crate::study::{Fitness, StudyStore, Trial};

/// One architecture on its way to a fitness.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate<G> {
    /// The architecture.
    pub genome: G,
    /// Stage of the search.
    pub stage: u32,
    /// Number of the trial within the stage.
    pub number: u64,
    /// Seed from which everything random in the evaluation derives.
    pub seed: u64,
}

/// Why an evaluation gave no fitness.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// The candidate is at fault (its loss diverged): the trial fails with this reason, the search
    /// goes on.
    #[error("{0}")]
    Candidate(String),
    /// The run is at fault (no space on the disk): the search stops, and the trial is evaluated
    /// again on resume.
    #[error("{0}")]
    Run(String),
    /// The evaluation was asked to stop; the trial is evaluated again on resume.
    #[error("interrupted")]
    Interrupted,
}

/// How far the evaluation of a candidate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Within {
    /// What is being done.
    pub what: &'static str,
    /// Of what there are so many: steps, examples.
    pub unit: &'static str,
    /// How many are done.
    pub done: u64,
    /// How many there are.
    pub total: u64,
}

/// Turns a candidate into a fitness.
pub trait Evaluate<G> {
    /// Evaluates one candidate, and reports progress to `watch`. Should depend on nothing but the
    /// candidate, so that a search replays.
    ///
    /// # Errors
    /// See [`EvalError`].
    fn evaluate(
        &mut self,
        candidate: &Candidate<G>,
        watch: &mut dyn FnMut(Within),
    ) -> std::result::Result<Fitness, EvalError>;
}

/// A function is an evaluator that does not tell how far it is.
impl<G, F> Evaluate<G> for F
where
    F: FnMut(&Candidate<G>) -> std::result::Result<Fitness, EvalError>,
{
    fn evaluate(
        &mut self,
        candidate: &Candidate<G>,
        _: &mut dyn FnMut(Within),
    ) -> std::result::Result<Fitness, EvalError> {
        self(candidate)
    }
}

/// Settings of one stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageConfig {
    /// Number of the stage; its trials and its random numbers are separate from those of other stages.
    pub stage: u32,
    /// Trials to finish, failed ones included.
    pub trials: u64,
    /// The first so many trials are drawn from the space at random (EfficientBERT: 80).
    pub initial_random: u64,
    /// Draws for one trial before the space counts as exhausted: nothing new within the limits is
    /// left, or too little to be found. The reference redraws up to 1000 times in stage 1 and up to
    /// 10000 times in stage 3.
    pub max_draws: u64,
}

/// What a stage works with.
pub struct StageParts<'a, S: SearchSpace + ?Sized> {
    /// What can be drawn.
    pub space: &'a S,
    /// What decides the next draw.
    pub strategy: &'a mut dyn Strategy<S>,
    /// Where trials are kept; its identity holds the seed.
    pub store: &'a mut dyn StudyStore,
    /// Hard limits, checked before a candidate is evaluated.
    pub budget: &'a Budget,
    /// Measures latency. Required if the budget limits it; if present, every candidate within the
    /// size limits is measured and the number stored.
    pub latency: Option<&'a mut dyn Latency<S::Genome>>,
    /// Turns candidates into fitness.
    pub evaluate: &'a mut dyn Evaluate<S::Genome>,
    /// Unix time in milliseconds, for the store's records only.
    pub clock: &'a mut dyn FnMut() -> i64,
    /// Set by another thread to stop after the current trial.
    pub stop: &'a AtomicBool,
    /// Receives events.
    pub on_event: &'a mut dyn FnMut(&Event),
}

/// What happens during a stage.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The stage begins; `finished` trials are in the store already.
    StageStarted {
        /// Stage.
        stage: u32,
        /// Trials that are in the store already.
        finished: u64,
        /// Trials to finish in all.
        trials: u64,
    },
    /// A draw was not evaluated.
    Rejected {
        /// Stage.
        stage: u32,
        /// Number of the trial that is being drawn.
        number: u64,
        /// Why.
        reason: Rejection,
    },
    /// A trial begins.
    TrialStarted {
        /// Stage.
        stage: u32,
        /// Number of the trial.
        number: u64,
        /// Its architecture, as the study stores it.
        genome: String,
        /// Its size.
        cost: Cost,
        /// Its latency, milliseconds, if measured.
        latency_ms: Option<f64>,
        /// Whether a killed process had begun it before.
        again: bool,
    },
    /// A trial is so far.
    Within {
        /// Number of the trial.
        number: u64,
        /// How far it is.
        within: Within,
    },
    /// A trial ended, complete or failed.
    TrialFinished {
        /// Its final row.
        trial: Trial,
        /// Whether it is the best of the stage so far.
        best: bool,
    },
    /// The stage has all its trials, or the space is exhausted.
    StageFinished {
        /// Stage.
        stage: u32,
        /// Trials finished in all.
        finished: u64,
    },
}

/// What a finished stage hands on.
#[derive(Debug, Clone, PartialEq)]
pub struct StageOutcome<G> {
    /// The winner: [the best](crate::rank::Rank) of the stage.
    pub best: Trial,
    /// The winner's architecture.
    pub genome: G,
    /// Complete trials.
    pub completed: u64,
    /// Failed trials.
    pub failed: u64,
    /// Of these, trials that were in the store when the stage was started.
    pub replayed: u64,
    /// Rejected draws by reason.
    pub rejected: BTreeMap<Rejection, u64>,
    /// Whether the stage ended early because nothing new could be drawn.
    pub exhausted: bool,
}
