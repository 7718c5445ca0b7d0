//! The GLUE tasks: names, labels, files, readers and scores.
//!
//! A generated or private data set in one of these layouts is read by the same readers: a polarity task in a folder `SST-2`,
//! an entailment task in a folder `RTE`, a similarity task in a folder `STS-B`.

mod kind;
mod layout;
mod read;
mod score;

pub use kind::{Example, Head, Label, Split, TaskKind};
pub use read::{ExampleReader, SplitData};
pub(crate) use read::{MAX_SIMILARITY, parse_label};
pub use score::{NamedScore, Predictions, Scores};
