//! Everything that can stop a run.

use std::path::PathBuf;

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of recipes and runs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The recipe is not usable.
    #[error("{origin}: {message}")]
    Recipe {
        /// Recipe name or file.
        origin: String,
        /// Key or line, what is wrong, what is allowed.
        message: String,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// Teacher, student and data do not fit each other.
    #[error("{0}")]
    Mismatch(String),
    /// A file of the run folder does not hold what it should.
    #[error("{}: {message}", path.display())]
    RunFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The host asked to stop; everything done is on disk.
    #[error("interrupted; `--resume` goes on from here")]
    Interrupted,
    /// Training failed.
    #[error("{phase}: {source}")]
    Training {
        /// Phase of the run.
        phase: String,
        /// The cause.
        source: kd::Error,
    },
    /// Search.
    #[error(transparent)]
    Search(#[from] nas::Error),
    /// Expressions.
    #[error(transparent)]
    Space(#[from] mlp_space::Error),
    /// Models.
    #[error(transparent)]
    Model(#[from] searched_ffn::ModelError),
    /// Encoders and weights.
    #[error(transparent)]
    Core(#[from] bert_core::Error),
    /// Task data.
    #[error(transparent)]
    Data(#[from] glue_squad::Error),
    /// Packed text.
    #[error(transparent)]
    Shards(#[from] text_shards::Error),
    /// Batches and sets.
    #[error(transparent)]
    Distillation(#[from] kd::Error),
    /// Durable files.
    #[error(transparent)]
    Durable(#[from] durable::Error),
}

impl Error {
    /// Whether the run was stopped on request rather than by a fault.
    pub fn is_interruption(&self) -> bool {
        matches!(self, Self::Interrupted | Self::Distillation(kd::Error::Interrupted { .. } | kd::Error::Stopped))
            || matches!(self, Self::Training { source: kd::Error::Interrupted { .. }, .. })
            || matches!(self, Self::Search(nas::Error::Interrupted { .. }))
    }
}
