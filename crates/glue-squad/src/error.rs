//! The one error type of the crate.

use std::fmt;
use std::path::{Path, PathBuf};

pub(crate) use run_store::shown::{excerpt, folder_listing};

/// Shorthand for a result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between text files and batches. Lines, columns and byte positions count from 1.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A task name that is not known.
    #[error("unknown task `{given}`: use one of {known}")]
    UnknownTask {
        /// The name as given.
        given: String,
        /// The names that are understood.
        known: String,
    },
    /// The data folder does not exist or is not a folder.
    #[error("{path}: no such folder; {hint}")]
    FolderMissing {
        /// The folder that was looked for.
        path: PathBuf,
        /// What should be there.
        hint: String,
    },
    /// A file that is needed is not in its folder.
    #[error("{folder}: {wanted} is missing; the folder holds {found}")]
    FileMissing {
        /// The folder that was searched.
        folder: PathBuf,
        /// The file names that would do.
        wanted: String,
        /// What is there instead.
        found: String,
    },
    /// The operating system refused to read or write.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file without any row of data.
    #[error("{path}: the file is empty: {hint}")]
    EmptyFile {
        /// The file.
        path: PathBuf,
        /// What it should contain.
        hint: String,
    },
    /// A line of a text file, or a row of a Parquet file, that its layout does not allow.
    #[error("{path}{place}: {reason}")]
    BadRow {
        /// The file.
        path: PathBuf,
        /// The line or row.
        place: RowPlace,
        /// What is wrong there, with column, value and the values that would do.
        reason: String,
    },
    /// A text that cannot be encoded, or sequences that are no batch.
    #[cfg(feature = "batches")]
    #[error(transparent)]
    Tokenizer(#[from] tokenizer::Error),
    /// A Parquet file that cannot be read.
    #[cfg(feature = "parquet")]
    #[error(transparent)]
    Parquet(#[from] parquet_rows::Error),
    /// A table that cannot be read.
    #[cfg(feature = "tables")]
    #[error(transparent)]
    Table(#[from] table_rows::Error),
    /// A JSON file that is damaged or of another structure.
    #[error("{path}:{line}:{column}: {inside}: {reason}")]
    Json {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The character in the line, in bytes.
        column: usize,
        /// The place in the structure, such as `data[0].paragraphs[2].qas[1]`.
        inside: String,
        /// What is wrong there.
        reason: String,
    },
    /// A part of a well-formed file with content that makes no sense.
    #[error("{path}: {inside}: {reason}")]
    WrongEntry {
        /// The file.
        path: PathBuf,
        /// The place in the structure, such as `data[0].paragraphs[2].qas[1]`, or the id of a question.
        inside: String,
        /// What is wrong there and what to do.
        reason: String,
    },
    /// Questions without a prediction, or without the probability that is needed beside it.
    #[error(
        "{path}: {count} of {total} questions of {data} are missing, the first is `{first}`; every question needs an entry, so that nothing is scored by omission"
    )]
    MissingPredictions {
        /// The file of predictions or probabilities.
        path: PathBuf,
        /// The data set.
        data: PathBuf,
        /// How many are missing.
        count: usize,
        /// How many questions there are.
        total: usize,
        /// The id of the first of them.
        first: String,
    },
    /// A file that could not be put in place.
    #[error(transparent)]
    Write(#[from] run_store::Error),
    /// A setting that makes no sense, or values that do not fit together.
    #[error("{0}")]
    Invalid(String),
}

/// Where a row is in its file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowPlace {
    /// A line of a text file.
    Line(u64),
    /// A row of a Parquet file.
    Row(u64),
}

impl fmt::Display for RowPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, ":{line}"),
            Self::Row(row) => write!(f, ": row {row}"),
        }
    }
}

impl Error {
    /// Attaches a path to an I/O error.
    pub(crate) fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    /// Something wrong in a line.
    pub(crate) fn line(path: &Path, line: u64, reason: impl Into<String>) -> Self {
        Self::BadRow { path: path.to_owned(), place: RowPlace::Line(line), reason: reason.into() }
    }

    /// A value that its column does not allow.
    pub(crate) fn field(path: &Path, place: RowPlace, field: &str, given: &str, allowed: &str) -> Self {
        let reason = format!("field `{field}` is `{}`; allowed: {allowed}", excerpt(given));
        Self::BadRow { path: path.to_owned(), place, reason }
    }

    /// A header without a column that the task needs.
    pub(crate) fn missing_column(path: &Path, line: u64, field: &str, header: &str) -> Self {
        Self::line(path, line, format!("the header has no column `{field}`; it has: {}", excerpt(header)))
    }

    /// A row with too few or too many columns.
    pub(crate) fn column_count(path: &Path, line: u64, found: usize, expected: usize, columns: &str) -> Self {
        let reason = format!(
            "{found} tab-separated columns instead of {expected} ({columns}); is the line cut short, or does a text hold a tab?"
        );
        Self::line(path, line, reason)
    }
}
