//! What can go wrong in a search, said with the place and the remedy.

use crate::budget::{Budget, Cost};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every error of the search crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The limits of a budget contradict each other or are not numbers.
    #[error("budget: {0}")]
    Budget(String),

    /// No architecture of the space meets the size limits; found before anything is trained.
    #[error(
        "no architecture of this search space meets the budget ({budget}): its sizes reach from {} \
         parameters, {} MACs to {} parameters, {} MACs, and the nearest reachable architecture has \
         {} parameters, {} MACs; widen the limits to include it, or change the hidden size or the \
         number of layers",
        smallest.params, smallest.macs, largest.params, largest.macs, nearest.params, nearest.macs
    )]
    Unreachable {
        /// The limits asked for.
        budget: Budget,
        /// Reachable architecture with the fewest parameters.
        smallest: Cost,
        /// Reachable architecture with the most parameters.
        largest: Cost,
        /// Reachable architecture that breaks the limits least.
        nearest: Cost,
    },

    /// A latency limit was set, but nothing that can measure latency was given.
    #[error(
        "the budget limits latency to {max_ms} ms, but this run has no way to measure latency; give \
         one or drop the limit"
    )]
    NoLatencyMeter {
        /// The limit, milliseconds.
        max_ms: f64,
    },

    /// Latency could not be measured.
    #[error("stage {stage}, trial {number}: latency of `{genome}` could not be measured: {detail}")]
    Latency {
        /// Stage number.
        stage: u32,
        /// Trial number within the stage.
        number: u64,
        /// The architecture.
        genome: String,
        /// What happened.
        detail: String,
    },

    /// A search space was given parts that do not fit together.
    #[error("search space: {0}")]
    Space(String),

    /// Text that should be an architecture is not one.
    #[error("`{text}` is not an architecture of this search space: {detail}")]
    Genome {
        /// The text.
        text: String,
        /// What is wrong with it.
        detail: String,
    },

    /// A strategy was given settings it cannot run with, or its model could not be fitted.
    #[error("strategy `{strategy}`: {detail}")]
    Strategy {
        /// Name of the strategy.
        strategy: &'static str,
        /// What is wrong.
        detail: String,
    },

    /// Rungs of successive halving that cannot be.
    #[error("successive halving: {0}")]
    Halving(String),

    /// Stage settings that cannot be run.
    #[error("stage {stage}: {detail}")]
    Stage {
        /// Stage number.
        stage: u32,
        /// What is wrong.
        detail: String,
    },

    /// Nothing that was drawn is within the limits.
    #[error(
        "stage {stage}: none of {draws} drawn architectures is within the budget ({budget}): {reasons}{fastest}; widen the limits, \
         or make the student smaller"
    )]
    NoCandidate {
        /// Stage number.
        stage: u32,
        /// Draws.
        draws: u64,
        /// The limits.
        budget: Budget,
        /// How many draws were rejected for which reason.
        reasons: String,
        /// What the fastest of them took, where they were measured.
        fastest: String,
    },

    /// Every trial of a stage failed, so there is no winner to hand on.
    #[error(
        "stage {stage}: none of its {failed} trials gave a finite fitness; the first one failed \
         with: {first_reason}"
    )]
    NoWinner {
        /// Stage number.
        stage: u32,
        /// Number of failed trials.
        failed: u64,
        /// Reason stored with the first of them.
        first_reason: String,
    },

    /// The evaluator reported that not the candidate but the run itself is broken.
    #[error("stage {stage}, trial {number}: the evaluation cannot go on: {detail}")]
    Evaluation {
        /// Stage number.
        stage: u32,
        /// Trial number within the stage.
        number: u64,
        /// What the evaluator said.
        detail: String,
    },

    /// The stop flag was set. The study is consistent and continues where it stopped.
    #[error("stage {stage} was interrupted after {finished} finished trials; resume to continue")]
    Interrupted {
        /// Stage number.
        stage: u32,
        /// Trials of this stage that are finished (complete or failed).
        finished: u64,
    },

    /// A study could not be read or written.
    #[error("{store}: {source}")]
    Store {
        /// The store: what it is and where.
        store: String,
        /// What went wrong, in its own words.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// What holds the study is damaged.
    #[error("{store} is damaged ({detail}); restore it from a copy or start a new study in another place")]
    Corrupt {
        /// The store.
        store: String,
        /// What the check found.
        detail: String,
    },

    /// Something is there, but no study.
    #[error("{store}: {detail}, but not a study; name another place")]
    NotAStudy {
        /// The store.
        store: String,
        /// What is there.
        detail: String,
    },

    /// An empty database: the process that made it was killed before the study had begun.
    #[error("{0}: it is an empty database, but not a study; name another place")]
    NotBegun(String),

    /// The study was written by a newer version.
    #[error(
        "{store}: its schema has version {found}, this program knows versions up to {known}; use the program that \
         wrote it or a newer one"
    )]
    NewerSchema {
        /// The store.
        store: String,
        /// Version found.
        found: i64,
        /// Newest version known.
        known: i64,
    },

    /// The study does not exist.
    #[error("{0}: there is no such study; start a new one instead of resuming")]
    Missing(String),

    /// The study exists although a new one was asked for.
    #[error("{0}: it exists already; resume it, or name another place")]
    Exists(String),

    /// The store holds another study, or the same one with other settings.
    #[error(
        "{store} belongs to another run: its {key} is `{found}`, this run has `{expected}`; resume \
         with the settings it was started with, or name another place"
    )]
    Foreign {
        /// The store.
        store: String,
        /// What differs.
        key: &'static str,
        /// Value in the store.
        found: String,
        /// Value of this run.
        expected: String,
    },

    /// The rows of a study contradict each other.
    #[error("{store}: {detail}")]
    Inconsistent {
        /// The store.
        store: String,
        /// What is wrong, with stage and trial.
        detail: String,
    },
}
