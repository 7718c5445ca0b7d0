//! Options of `eval`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use glue_squad::task::{Split, Task};

use crate::hub::Named;
use crate::own_task::OwnTaskArgs;
use crate::predictor::PrecisionArgs;
use crate::squad::{SpanArgs, SpanFiles};
use crate::tasks;

#[derive(Args, Debug)]
#[command(after_help = "\
Metrics: accuracy; Matthews for CoLA and AX; accuracy and F1 for MRPC and QQP; Pearson and Spearman for STS-B. \
The test splits of GLUE have no labels: they are predicted for submission, not scored.\n\
squad-v1, squad-v2: names and percentages are those of the official scripts; the score is the mean of exact match and F1, as a \
fraction. For squad-v2 best_exact and best_f1 are what the best --null-threshold would reach on these questions, and \
best_exact_thresh and best_f1_thresh say which. Windows should be those that the model was trained with: --max-len, --doc-stride and \
--max-query-length.")]
pub struct EvalArgs {
    /// Model directory with a head for the task, or its name on the Hugging Face hub.
    #[arg(long, value_name = "DIR|ORG/NAME")]
    pub(super) model: PathBuf,
    /// The task: sst-2, cola, mrpc, sts-b, qqp, mnli, mnli-mm, qnli, rte, wnli, ax, squad-v1, squad-v2, or a TOML file that describes
    /// one.
    #[arg(long, value_name = "TASK|FILE", value_parser = tasks::parse, required_unless_present_any = ["train", "dev", "test"])]
    pub(super) task: Option<Task>,
    /// Folder of GLUE tasks, or the task's own folder; SQuAD: the folder with dev-v1.1.json or dev-v2.0.json, or any file
    /// of that layout.
    #[arg(long, value_name = "DIR|FILE", requires = "task")]
    pub(super) data: Option<PathBuf>,
    /// Part of the data [default: dev; where only --test names a file: test].
    #[arg(long, value_parser = splits())]
    pub(super) split: Option<Split>,
    /// Write the official prediction file, of a described task a CSV file, of tags a CoNLL file; an existing one is replaced.
    #[arg(long, value_name = "FILE")]
    pub(super) predictions: Option<PathBuf>,
    /// Examples or windows per pass; does not change the result.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(super) batch_size: u32,
    /// Longest sequence in tokens; longer ones are cut, texts of SQuAD into windows. At most what the model has positions
    /// for [default: 128; SQuAD: 384].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(4..=65_536))]
    pub(super) max_len: Option<u32>,
    #[command(flatten)]
    pub(super) precision: PrecisionArgs,
    #[command(flatten)]
    pub(super) span: SpanArgs,
    #[command(flatten)]
    pub(super) files: SpanFiles,
    /// Print one JSON object.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) own: OwnTaskArgs,
}

impl EvalArgs {
    /// The values that may name something on the Hugging Face hub.
    pub(in crate::commands) fn named(&mut self) -> Vec<Named<'_>> {
        let mut named = self.own.named();
        named.push(Named::model("--model", &mut self.model));
        named
    }
}

/// Reads a split by its name.
fn splits() -> impl TypedValueParser<Value = Split> {
    let all = [Split::Train, Split::Dev, Split::Test];
    let named = move |name: String| all.into_iter().find(|split| split.name() == name).expect("a possible value");
    PossibleValuesParser::new(all.map(Split::name)).map(named)
}
