//! `eval`: metrics and predictions of a model on a split of a task.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use cpu_runtime::Packing;
use glue_squad::submission;
use glue_squad::task::{Predictions, Scores, Split, TaskKind};
use serde_json::{Map, Value, json};
use train::data::{BatchSettings, EvalSet};
use train::engine::Evaluation;
use train::heads::answering_head;
use train::majority::{MajorityBaseline, doubts};

use super::eval_squad;
use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::inference::{PrecisionArgs, load_with_tokenizer};
use crate::inputs::must_exist;
use crate::models::{capped_length, check_segments, model_paths};
use crate::output::{check_targets, print, print_json, table};
use crate::squad::{SpanArgs, SpanFiles, refuse_for_glue};
use crate::tasks::{Task, read_examples};

#[derive(Args, Debug)]
#[command(after_help = "\
Metrics: accuracy; Matthews for CoLA and AX; accuracy and F1 for MRPC and QQP; Pearson and Spearman for STS-B. \
The test splits of GLUE have no labels: they are predicted for submission, not scored.\n\
squad-v1, squad-v2: names and percentages are those of the official scripts; the score is the mean of exact match and F1, as a \
fraction. For squad-v2 best_exact and best_f1 are what the best --null-threshold would reach on these questions, and \
best_exact_thresh and best_f1_thresh say which. Windows should be those that the model was trained with: --max-len, --doc-stride and \
--max-query-length.")]
pub struct EvalArgs {
    /// Model directory with a head for the task.
    #[arg(long, value_name = "DIR")]
    pub(super) model: PathBuf,
    /// The task: sst-2, cola, mrpc, sts-b, qqp, mnli, mnli-mm, qnli, rte, wnli, ax, squad-v1, squad-v2.
    #[arg(long, value_name = "TASK")]
    task: Task,
    /// Folder of GLUE tasks, or the task's own folder; SQuAD: the folder with dev-v1.1.json or dev-v2.0.json, or any file
    /// of that layout.
    #[arg(long, value_name = "DIR|FILE")]
    pub(super) data: PathBuf,
    /// Part of the data.
    #[arg(long, value_enum, default_value_t = Part::Dev)]
    pub(super) split: Part,
    /// Write the official prediction file; one that stands there is replaced.
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
}

#[derive(ValueEnum, Clone, Copy, Debug)]
pub(super) enum Part {
    Train,
    Dev,
    Test,
}

impl Part {
    /// As it stands in file names.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Dev => "dev",
            Self::Test => "test",
        }
    }
}

pub fn run(args: &EvalArgs, context: &Context) -> Result<(), CliError> {
    must_exist("--data", [&args.data])?;
    let split = match args.split {
        Part::Train => Split::Train,
        Part::Dev => Split::Dev,
        Part::Test => Split::Test,
    };
    let task = match args.task {
        Task::Glue(task) => task,
        Task::Squad(version) => return eval_squad::run(args, version, context),
    };
    refuse_for_glue(args.span.first_given().or(args.files.first_given()))?;
    // A missing file is found at once, a large model takes seconds.
    let path = task.find(&args.data, split)?;
    let training = training_files(task, &args.data);
    let read = [model_paths(&args.model), task.find_all(&args.data, split)?, training].concat();
    check_targets([("--predictions", args.predictions.as_deref())], &read)?;
    let (config, mut model, encoder) =
        load_with_tokenizer("--model", &args.model, args.precision.precision, Packing::Ahead, context)?;
    let shown = format!("--model {}", args.model.display());
    let head = answering_head(&config, task).context(shown.clone()).or_usage()?;
    if let Some(note) = &head.note {
        context.progress.warn(&format!("{shown}: {note}"));
    }
    check_segments(&shown, &config, task.is_pair().then_some(task))?;
    let wanted = args.max_len.unwrap_or_else(|| args.task.default_length());
    let max_len = capped_length(wanted, config.max_position_embeddings, context);
    let settings = BatchSettings::new(args.batch_size as usize, max_len, 0);
    let examples = read_examples(task, (&args.data, split), &encoder, max_len, context)?;
    let set = EvalSet::of_split(split, task, examples.features, encoder.pad_id(), settings)?;
    if set.labels.is_empty() && args.predictions.is_none() {
        return Err(CliError::usage(format!("{}: has no labels to score against", path.display()))
            .with_hint("--predictions FILE writes what the model answers; --split dev has labels"));
    }

    context.progress.start("eval", set.len() as u64, "examples");
    let mut watch = |done: usize| context.progress.step(done as u64, &[]);
    let predictions = model.predict(&head, &set, &mut watch)?;
    context.progress.finish();
    let scores = match set.labels.is_empty() {
        true => None,
        false => Some(task.score(&predictions, &set.labels)?),
    };
    let majority = majority(task, args, &set)?;
    let warnings = scores
        .as_ref()
        .map_or_else(Vec::new, |scores| doubts(&Evaluation::of_task(task, scores, &predictions), majority.as_slice()));
    if let Some(file) = &args.predictions {
        write(task, file, &predictions)?;
    }
    for warning in &warnings {
        context.progress.warn(warning);
    }
    show(args, &path, (set.len(), max_len), scores.as_ref(), (majority.as_ref(), &warnings))
}

/// The training files that `--data` has beside what is evaluated: their labels say what the majority class is.
fn training_files(task: TaskKind, data: &Path) -> Vec<PathBuf> {
    task.trained_as().find_all(data, Split::Train).unwrap_or_default()
}

/// What one answer to every example scores: by the labels of the training set, where --data has one that can be read, else by those
/// that are scored.
fn majority(task: TaskKind, args: &EvalArgs, set: &EvalSet) -> Result<Option<MajorityBaseline>, CliError> {
    if set.labels.is_empty() {
        return Ok(None);
    }
    let train = task.trained_as().split_labels(&args.data, Split::Train).unwrap_or_default();
    Ok(MajorityBaseline::of_task(task, &train, &set.labels)?)
}

fn write(task: TaskKind, file: &Path, predictions: &Predictions) -> Result<(), CliError> {
    Ok(run_store::output::write(file, submission::render(task, predictions)?.as_bytes())?)
}

fn show(
    args: &EvalArgs,
    path: &Path,
    (examples, max_len): (usize, usize),
    scores: Option<&Scores>,
    (majority, warnings): (Option<&MajorityBaseline>, &[String]),
) -> Result<(), CliError> {
    if args.json {
        let metrics = scores.map(|s| {
            let pairs = s.values.iter().map(|v| (v.name.clone(), json!(v.value)));
            Value::Object(pairs.collect::<Map<_, _>>())
        });
        return print_json(&json!({
            "model": args.model, "task": args.task.name(), "file": path, "examples": examples, "max_len": max_len,
            "precision": args.precision.precision.name(),
            "metrics": metrics, "score": scores.map(|s| s.primary), "predictions": args.predictions,
            "majority": majority, "warnings": warnings,
        }));
    }
    let mut rows = Vec::new();
    if let Some(scores) = scores {
        rows.extend(scores.values.iter().map(|v| vec![v.name.clone(), format!("{:.2}", v.value * 100.0)]));
    }
    rows.extend(majority.map(|m| vec!["one answer".into(), m.to_string()]));
    rows.push(vec!["examples".into(), examples.to_string()]);
    rows.push(vec!["data".into(), path.display().to_string()]);
    if let Some(file) = &args.predictions {
        rows.push(vec!["predictions".into(), file.display().to_string()]);
    }
    print(&table(&[args.task.name(), ""], &rows, true))
}
