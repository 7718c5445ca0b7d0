//! The one error type of the crate.

use std::path::PathBuf;

/// Shorthand for a result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between text and ids.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder does not exist or is not a folder.
    #[error("{path}: no such folder; a model folder with tokenizer.json or vocab.txt is expected")]
    FolderMissing {
        /// The folder that was looked for.
        path: PathBuf,
    },
    /// A folder without a tokenizer.
    #[error(
        "{folder}: tokenizer.json or vocab.txt is missing, and so is vocab.json with merges.txt; the folder holds {found}"
    )]
    FileMissing {
        /// The folder that was searched.
        folder: PathBuf,
        /// What is there instead.
        found: String,
    },
    /// The operating system refused to read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A tokenizer that cannot be loaded or used.
    #[error("{path}: {reason}")]
    Tokenizer {
        /// The file or folder that the tokenizer comes from.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A vocabulary that texts need as a whole.
    #[error("{path}: there is nothing to trim: the texts need all {pieces} pieces")]
    NothingToTrim {
        /// The file that the tokenizer comes from.
        path: PathBuf,
        /// The pieces.
        pieces: usize,
    },
    /// A maximum length that leaves no room for text.
    #[error("maximum length {given} is too small: at least {needed} tokens are needed")]
    MaxLenTooSmall {
        /// The length as given.
        given: usize,
        /// The least length that works.
        needed: usize,
    },
    /// A sequence that is longer than the batch allows.
    #[error(
        "example {index} has {length} tokens, more than the maximum length {max_len} of the batch; encode with that maximum"
    )]
    TooLong {
        /// The number of the example.
        index: usize,
        /// Its tokens.
        length: usize,
        /// The bound.
        max_len: usize,
    },
    /// Sequences that are no batch.
    #[error("{0}")]
    Batch(String),
}

impl Error {
    /// Attaches a path to an I/O error.
    pub(crate) fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }
}
