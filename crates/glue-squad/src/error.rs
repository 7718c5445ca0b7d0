//! The one error type of the crate.

use std::path::PathBuf;

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
    /// A line longer than [`crate::MAX_LINE_BYTES`].
    #[error("{path}:{line}: the line is longer than {limit} bytes; is this a text file with one entry per line?")]
    LineTooLong {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The bound in bytes.
        limit: usize,
    },
    /// A byte that is not UTF-8.
    #[error(
        "{path}:{line}: byte {offset} of the line (tab-separated field {field}) is not valid UTF-8; convert the file to UTF-8"
    )]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The first bad byte in the line.
        offset: usize,
        /// The tab-separated field that holds it.
        field: usize,
    },
    /// A header without a column that the task needs.
    #[error("{path}:{line}: the header has no column `{field}`; it has: {header}")]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The line of the header.
        line: u64,
        /// The column that is needed.
        field: &'static str,
        /// The columns that are there.
        header: String,
    },
    /// A row with too few or too many columns.
    #[error(
        "{path}:{line}: {found} tab-separated columns instead of {expected} ({columns}); is the line cut short, or does a text hold a tab?"
    )]
    ColumnCount {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The columns every row must have.
        expected: usize,
        /// The columns of this row.
        found: usize,
        /// The names of the columns.
        columns: String,
    },
    /// A value that its column does not allow.
    #[error("{path}:{line}: field `{field}` is `{given}`; allowed: {allowed}")]
    WrongField {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// The column.
        field: &'static str,
        /// The value, shortened to 60 characters.
        given: String,
        /// The values that would do.
        allowed: String,
    },
    /// A row of a Parquet file with a value that its column does not allow. Rows count from 1.
    #[error("{path}: row {row}: field `{field}` is `{given}`; allowed: {allowed}")]
    WrongCell {
        /// The file.
        path: PathBuf,
        /// The row.
        row: u64,
        /// The column.
        field: &'static str,
        /// The value, shortened to 60 characters.
        given: String,
        /// The values that would do.
        allowed: String,
    },
    /// A line of a JSONL file that is no object of the expected kind.
    #[error("{path}:{line}: {reason}")]
    JsonLine {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// What is wrong there.
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

impl Error {
    /// Attaches a path to an I/O error.
    pub(crate) fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }
}
