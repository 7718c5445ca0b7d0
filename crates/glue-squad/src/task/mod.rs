//! Tasks as data, and those of GLUE: names, labels, files, readers and scores.
//!
//! A [`Task`] is what training, scoring and reports take; GLUE's and SQuAD's are built in. Of GLUE's, the nine tasks, MNLI's mismatched sets and the diagnostic set AX are read in three layouts, told apart by folder, name and
//! content: GLUE's own TSV files (MRPC also from the files that Microsoft distributes, STS-B also from its original release), and
//! the Hugging Face copies in Parquet or JSONL. The same text and label come out of each.
//!
//! A generated or private data set in one of these layouts is read by the same readers: a polarity task in a folder `SST-2`,
//! an entailment task in a folder `RTE`, a similarity task in a folder `STS-B`.
//!
//! | file | concern |
//! |---|---|
//! | `spec`, `described` | what a task is; a checked description, and those that are built in |
//! | `kind`, `table` | which tasks GLUE has, and one table for each |
//! | `classes` | which output of a foreign classifier is which class |
//! | `find` | which file of a folder holds a split, in which layout |
//! | `layout`, `tsv` | GLUE's TSV files |
//! | `hub`, `parquet` | the Hugging Face copies |
//! | `label` | labels as every layout writes them |
//! | `read` | one reader over all of them |
//! | `write` | training files in GLUE's own layout |
//! | `score`, `average`, `score_file` | scores of predictions, averages that name their columns, scores of files |
//! | `scale` | numbers as training sees them |
//! | `own` | tasks of one's own, from tables |
//! | `label_set` | sets of labels |
//! | `tags` | tags of words, and words as a text |
//! | `retrieval` | texts and what answers them |
//! | `majority` | what one answer to every example scores |

mod average;
mod classes;
mod described;
mod find;
mod hub;
mod kind;
mod label;
mod label_set;
mod layout;
mod majority;
#[cfg(feature = "tables")]
mod own;
#[cfg(feature = "parquet")]
mod parquet;
mod read;
mod retrieval;
mod scale;
mod score;
mod score_file;
mod spec;
mod table;
mod tags;
mod tsv;
mod write;

pub use average::{Average, Column, EIGHT_COLUMNS, NINE_COLUMNS, SEVEN_COLUMNS};
pub use classes::ClassOrder;
pub use described::Task;
pub use kind::{Example, Label, Split, TaskKind};
pub use label_set::LabelSet;
pub use majority::{Majority, labels_differ};
#[cfg(feature = "tables")]
pub(crate) use own::render_predictions;
#[cfg(feature = "tables")]
pub use own::{Balanced, ClassWeights, Described, Kind, OwnTask, render_tags};
pub use read::{ExampleReader, SplitData};
pub use retrieval::{Match, candidates, cosines, ranks};
pub use scale::Scale;
pub use score::{NamedScore, Predictions, Scores};
pub use score_file::{FileScores, FolderScores, score_file, score_folder};
pub use spec::{Answer, ClassName, Head, TaskSpec};
pub use tags::{Tags, join_words, words_of};
pub use write::TrainWriter;
