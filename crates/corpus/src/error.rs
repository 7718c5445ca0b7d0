//! The one error type of the crate.

use std::path::PathBuf;

/// Shorthand for a result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between a corpus and the batches of a trainer. Lines, rows and bytes of inputs count from 1, offsets in shards from 0.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tokenizer that fails, or sequences that are no batch.
    #[error(transparent)]
    Tokenizer(#[from] tokenizer::Error),
    /// A Parquet file that cannot be read.
    #[error(transparent)]
    Parquet(#[from] parquet_rows::Error),
    /// A text file or folder that does not exist.
    #[error("{path}: no such folder; a text file, or a folder of .txt files, is expected", path = path.display())]
    FolderMissing {
        /// What was looked for.
        path: PathBuf,
    },
    /// A folder without text files.
    #[error("{folder}: a .txt file is missing; the folder holds {found}", folder = folder.display())]
    FileMissing {
        /// The folder that was searched.
        folder: PathBuf,
        /// What is there instead.
        found: String,
    },
    /// Text files that hold no text.
    #[error("{path}: the file is empty: neither it nor any other file of the corpus holds text", path = path.display())]
    Empty {
        /// The first of them.
        path: PathBuf,
    },
    /// A byte of a text file that is not UTF-8.
    #[error("{path}:{line}: byte {offset} of the line is not valid UTF-8; convert the file to UTF-8", path = path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The first bad byte in the line.
        offset: usize,
    },
    /// A file that cannot be written safely.
    #[error(transparent)]
    Storage(#[from] run_store::Error),
    /// The operating system refused.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// An input whose format is not what its name or first bytes promise.
    #[error("{path}, {place}: {reason}", path = path.display())]
    BadInput {
        /// The file.
        path: PathBuf,
        /// Line, row or byte.
        place: String,
        /// What was found and what to do.
        reason: String,
    },
    /// A manifest that does not say what it must.
    #[error("{path}: {reason}; restore the file, or pack the corpus again", path = path.display())]
    BadManifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong, with line and column where the text itself is damaged.
        reason: String,
    },
    /// A shard whose bytes are not what the manifest says.
    #[error("{path}, byte {offset}: {reason}; delete the file and pack the corpus again, which makes only what is missing", path = path.display())]
    BadShard {
        /// The shard.
        path: PathBuf,
        /// Where in the file, from 0.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// The output folder holds shards that were made in another way.
    #[error("{path} was packed in another way: {difference}; choose another folder, or delete this one", path = path.display())]
    OtherSettings {
        /// The manifest found there.
        path: PathBuf,
        /// The first setting that differs, with both values.
        difference: String,
    },
    /// Another process packs into the same folder.
    #[error("{path} is held by another process that packs into this folder; wait for it, or choose another folder", path = path.display())]
    InUse {
        /// The lock file.
        path: PathBuf,
    },
    /// A setting out of its range, or settings that do not go together.
    #[error("{0}")]
    Settings(String),
    /// The inputs hold no text.
    #[error("no text in the {inputs} inputs, the first of which is {first}", first = first.display())]
    NoText {
        /// How many inputs were read.
        inputs: usize,
        /// The first of them.
        first: PathBuf,
    },
    /// A sequence that does not exist.
    #[error("there is no sequence {index}: the shards in {path} hold {len}", path = path.display())]
    OutOfRange {
        /// The folder.
        path: PathBuf,
        /// What was asked for, from 0.
        index: u64,
        /// How many there are.
        len: u64,
    },
    /// The progress callback asked to stop; finished shards are kept and found again by the next run.
    #[error("stopped before the corpus was packed; the shards that are finished will be used when it is packed again")]
    Stopped,
    /// The progress callback asked to stop while a tokenizer was learned; nothing is kept.
    #[error("stopped before the tokenizer was learned; nothing was written")]
    Interrupted,
    /// A worker ended without an answer, which is a defect of this program.
    #[error("a worker thread ended without an answer; this is a defect, please report it")]
    Worker,
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    pub(crate) fn input(path: impl Into<PathBuf>, place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::BadInput { path: path.into(), place: place.into(), reason: reason.into() }
    }

    pub(crate) fn shard(path: impl Into<PathBuf>, offset: u64, reason: impl Into<String>) -> Self {
        Self::BadShard { path: path.into(), offset, reason: reason.into() }
    }
}
