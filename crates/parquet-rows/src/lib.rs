//! Parquet files row by row, as the Hugging Face hub, pandas, polars and DuckDB write them.
//!
//! [`Rows`] reads chosen plain columns (texts, whole numbers, floats, truth values; not lists or groups) of files that are not
//! compressed or compressed with snappy, gzip or zstd, in every encoding that these programs write by default. Everything else is
//! an error that says so.
//!
//! It is written for files that nobody vouches for: every length is checked before memory is taken, so that a damaged file costs
//! no more than a few hundred megabytes, ends in an error with the byte's place in the file, and never panics. That is why this
//! is not a general Parquet library, whose readers trust sizes in page headers.
//!
//! | file | concern |
//! |---|---|
//! | `thrift`, `footer` | the metadata at the end of a file |
//! | `page`, `codec` | pages out of their compression, values out of pages |
//! | `hybrid`, `delta`, `bits` | packed numbers |
//! | `rows` | columns side by side |
//! | `write` | the other way, for small tables: plain columns without compression |

mod bits;
mod codec;
mod delta;
mod footer;
mod hybrid;
mod page;
mod rows;
mod thrift;
mod write;

use std::path::PathBuf;

pub use rows::{Input, Rows};
pub use write::{Values, WriteError, write};

/// Shorthand for a result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file that is damaged or needs something that is not supported.
    #[error("{path}: byte {offset}: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The place in the file, from 0.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
}

impl Error {
    fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }
}

/// The first and last four bytes of a Parquet file.
pub const MAGIC: &[u8; 4] = b"PAR1";

/// A value of a cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// A whole number; a truth value is 0 or 1.
    Int(i64),
    /// A number. One of single precision is the shortest decimal number that it stands for: 3.8, not 3.799999952316284.
    Float(f64),
    /// A text.
    Text(String),
}
