//! Rows of tables that people have: CSV, TSV, JSON Lines, Parquet and the columns of CoNLL.
//!
//! [`Table::open`] finds the format by the file's name, or takes the one that [`Layout`] names. [`Table::select`] chooses columns by name,
//! [`Table::next_row`] gives their cells. All but Parquet may be packed with gzip, zstd or bzip2, which is seen from the first bytes.
//!
//! It is written for files that nobody vouches for: a row takes at most [`MAX_ROW_BYTES`], also where a quote is never closed, and what is
//! wrong is an error with file and line.
//!
//! | file | concern |
//! |---|---|
//! | `table` | a table of any format |
//! | `delimited` | CSV and TSV |
//! | `json_lines` | one JSON object per line |
//! | `parquet` | Parquet |
//! | `conll` | a word on each line |
//! | `compressed` | bytes of a file, unpacked |
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

pub mod compressed;
mod conll;
mod delimited;
mod error;
mod json_lines;
mod parquet;
mod table;

pub use error::{Error, Place, Result};
pub use table::{Cell, Format, Layout, Row, Table};

/// The most bytes of one row. A row of a text file that is longer most often has a quote that is never closed.
pub const MAX_ROW_BYTES: u64 = 16 << 20;
