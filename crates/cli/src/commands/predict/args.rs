//! Options of `predict`.

use std::path::PathBuf;

use clap::Args;
use table_rows::{Format, Layout};

use crate::error::CliError;
use crate::hub::Named;
use crate::predictor::{PrecisionArgs, layout};
use crate::squad::{SpanArgs, SpanFiles};

#[derive(Args, Debug)]
#[command(after_help = "\
Without TEXT, lines are read from standard input, a tab between the two texts of a pair, and every line is answered as soon as \
it is there; with --table the rows of a file are. One line of output per text: the label and its probability, or the score of a regression; with several heads the \
task's name in front of each, heads separated by tabs.\n\
A head of tags divides a text into words at white space and around punctuation, and answers with the entities it finds, separated by tabs: \
kind, first character and the one after the last, probability, text.\n\
A head that makes vectors prints that of a text as a list of numbers, and of two texts the cosine of their vectors. `encode --pool` writes the vectors of a table to a file.\n\
A SQuAD head answers a question, the first text, about the second one: with a piece of it and its probability, or that there is no answer. With --data it \
answers a file in SQuAD's layout and writes the official predictions, which `score` takes.")]
pub struct PredictArgs {
    /// Model directory with at least one head, or its name on the Hugging Face hub.
    #[arg(long, value_name = "DIR|ORG/NAME")]
    pub(super) model: PathBuf,
    /// Answer with the head of this task only [default: all heads].
    #[arg(long, value_name = "TASK")]
    pub(super) task: Option<String>,
    /// Answer the rows of a file: CSV, TSV, JSON Lines or Parquet.
    #[arg(long, value_name = "FILE", requires = "columns", conflicts_with_all = ["text", "data"])]
    pub(super) table: Option<PathBuf>,
    /// Column of the text in --table; given twice, those of both texts of a pair.
    #[arg(long = "text", id = "columns", value_name = "COLUMN", requires = "table")]
    pub(super) columns: Vec<String>,
    /// Format of --table: csv, tsv, jsonl, parquet [default: as its name says].
    #[arg(long, value_name = "FORMAT", requires = "table")]
    pub(super) table_format: Option<Format>,
    /// What separates the fields of a CSV file [default: a comma].
    #[arg(long, value_name = "CHARACTER", requires = "table")]
    pub(super) separator: Option<char>,
    #[command(flatten)]
    pub(super) precision: PrecisionArgs,
    /// SQuAD: answer the questions of this file.
    #[arg(
        long,
        value_name = "FILE",
        requires = "predictions",
        conflicts_with = "text",
        help_heading = "SQuAD options"
    )]
    pub(super) data: Option<PathBuf>,
    /// SQuAD: where the answers to --data go; an existing file is replaced.
    #[arg(long, value_name = "FILE", requires = "data", help_heading = "SQuAD options")]
    pub(super) predictions: Option<PathBuf>,
    /// Longest window in tokens; at most what the model has positions for [default: 384].
    #[arg(long, value_name = "N", help_heading = "SQuAD options", value_parser = clap::value_parser!(u32).range(4..=65_536))]
    pub(super) max_len: Option<u32>,
    #[command(flatten)]
    pub(super) span: SpanArgs,
    #[command(flatten)]
    pub(super) files: SpanFiles,
    /// Print one JSON object per line; with --data one in all.
    #[arg(long)]
    pub(super) json: bool,
    /// The text, or the first of a pair.
    pub(super) text: Option<String>,
    /// The second text of a pair.
    pub(super) text_b: Option<String>,
}

impl PredictArgs {
    /// The values that may name something on the Hugging Face hub.
    pub(in crate::commands) fn named(&mut self) -> Vec<Named<'_>> {
        let table = self.table.as_mut().map(|path| Named::file("--table", path));
        [Named::model("--model", &mut self.model)].into_iter().chain(table).collect()
    }
}

impl PredictArgs {
    /// How --table holds its rows.
    pub(super) fn layout(&self) -> Result<Layout, CliError> {
        layout(self.table_format, self.separator)
    }
}
