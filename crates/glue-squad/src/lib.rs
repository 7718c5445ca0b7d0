//! What a task is and how it is scored: everything between text files and numbers that contain no tensors.
//!
//! - [`task`]: what a task is, as data, and how it is scored; the GLUE tasks with MNLI's mismatched sets and AX, in GLUE's TSV layout and
//!   the Hugging Face copies.
//! - [`features`] and [`batch`]: encoded examples, padded batches, and the order of batches as a pure function of (seed, epoch).
//! - [`metrics`]: accuracy, F1, Matthews, Pearson, Spearman.
//! - [`entities`]: what tags of words mark, and the scores of that.
//! - [`augment`]: more training examples by replacing words; the part that needs no model.
//! - [`squad`]: SQuAD v1.1 and v2.0: reader, sliding windows, n-best decoding, official predictions and scores.
//! - [`submission`]: the official GLUE prediction files, written and read, and the archive of all of them.
//!
//! Features, all on by default: `batches` (text to batches: [`features`], [`batch`], [`augment`], SQuAD's windows and answers), `parquet`
//! (the Hugging Face copies in Parquet), `archive` (the archive of a submission). Without them there are descriptions, readers of text
//! files, metrics and official scores, with neither a tokenizer nor codecs behind them.
//!
//! The task set and the checkpoint metric of every task follow EfficientBERT (Dong et al. 2021, Findings of EMNLP).
//! Nothing here prints, reads the environment or the clock; user input gives an [`Error`] that names file, line and field.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

#[cfg(feature = "batches")]
pub mod augment;
#[cfg(feature = "batches")]
pub mod batch;
pub mod entities;
mod error;
#[cfg(feature = "batches")]
pub mod features;
mod lines;
pub mod metrics;
pub mod squad;
pub mod submission;
pub mod task;

pub use error::{Error, Result, RowPlace};
pub use lines::{Lines, MAX_LINE_BYTES};
