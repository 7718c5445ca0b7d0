//! What can go wrong in a search, said with the place and the remedy.

use std::path::PathBuf;

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

    /// The database could not be read or written.
    #[error("study {}: {source}", path.display())]
    Store {
        /// The database file.
        path: PathBuf,
        /// What SQLite reported.
        source: rusqlite::Error,
    },

    /// The file is damaged or is no SQLite database.
    #[error(
        "study {}: the database is damaged ({detail}); restore it from a copy or start a new study \
         in another folder", path.display()
    )]
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// What the check found.
        detail: String,
    },

    /// A SQLite database that some other program made.
    #[error(
        "{} is a SQLite database, but not a study (application id {application_id:#x}); name \
         another file", path.display()
    )]
    NotAStudy {
        /// The database file.
        path: PathBuf,
        /// The application id found in its header.
        application_id: i64,
    },

    /// The study was written by a newer version.
    #[error(
        "study {}: its schema has version {found}, this program knows versions up to {known}; use \
         the program that wrote it or a newer one", path.display()
    )]
    NewerSchema {
        /// The database file.
        path: PathBuf,
        /// Version found.
        found: i64,
        /// Newest version known.
        known: i64,
    },

    /// The study does not exist.
    #[error("study {}: there is no such file; start a new study instead of resuming", .0.display())]
    Missing(PathBuf),

    /// The study exists although a new one was asked for.
    #[error("study {}: it exists already; resume it, or name another folder", .0.display())]
    Exists(PathBuf),

    /// The store holds another study, or the same one with other settings.
    #[error(
        "{store} belongs to another run: its {key} is `{found}`, this run has `{expected}`; resume \
         with the settings it was started with, or name another folder"
    )]
    Foreign {
        /// The store (a path).
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
        /// The store (a path).
        store: String,
        /// What is wrong, with stage and trial.
        detail: String,
    },
}
