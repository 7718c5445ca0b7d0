//! The one error type of the crate.

use std::fmt;
use std::path::{Path, PathBuf};

use run_store::shown::excerpt;
use run_store::similar::closest;

/// Shorthand for a result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a table cannot be read. Lines, rows and columns count from 1.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to read, or the file is packed and damaged.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A file without any row.
    #[error("{path}: the file is empty: {hint}")]
    Empty {
        /// The file.
        path: PathBuf,
        /// What it should contain.
        hint: &'static str,
    },
    /// A name that does not say what format the file has.
    #[error("{path}: the format is not known from the name; it may be one of {known}")]
    Format {
        /// The file.
        path: PathBuf,
        /// The formats that are read.
        known: String,
    },
    /// A column that is not there.
    #[error("{path}: there is no column `{wanted}`; the columns are: {columns}{near}")]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// The column that is needed.
        wanted: String,
        /// The columns that are there.
        columns: String,
        /// The one that may be meant, as a question.
        near: String,
    },
    /// A row that its format does not allow.
    #[error("{path}{place}: {reason}")]
    Row {
        /// The file.
        path: PathBuf,
        /// Where the row begins.
        place: Place,
        /// What is wrong there.
        reason: String,
    },
    /// A Parquet file that cannot be read.
    #[error(transparent)]
    Parquet(#[from] parquet_rows::Error),
}

/// Where a row is in its file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The line in which a row of a text file begins.
    Line(u64),
    /// A row of a Parquet file.
    Row(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, ":{line}"),
            Self::Row(row) => write!(f, ": row {row}"),
        }
    }
}

/// Names of columns that a message shows.
const SHOWN: usize = 20;

impl Error {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn row(path: &Path, place: Place, reason: impl Into<String>) -> Self {
        Self::Row { path: path.to_owned(), place, reason: reason.into() }
    }

    pub(crate) fn no_column(path: &Path, wanted: &str, columns: &[String]) -> Self {
        let shown: Vec<String> = columns.iter().take(SHOWN).map(|name| excerpt(name)).collect();
        let more = match columns.len() {
            n if n > SHOWN => format!(", and {} more", n - SHOWN),
            _ => String::new(),
        };
        let near = closest(wanted, columns.iter().map(String::as_str));
        // One column with a separator in it: the file is separated by something else.
        let near = match (near, columns) {
            (Some(near), _) => format!("; did you mean `{}`?", excerpt(near)),
            (None, [only]) if only.contains([';', '\t', '|']) => {
                "; if its columns are separated by another character than the format's, name the separator".to_owned()
            }
            _ => String::new(),
        };
        let columns = format!("{}{more}", shown.join(", "));
        Self::NoColumn { path: path.to_owned(), wanted: excerpt(wanted), columns, near }
    }
}
