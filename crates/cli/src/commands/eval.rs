//! `eval`: metrics and predictions of a model on a split of a task.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use frozen::Packing;
use glue_squad::submission;
use glue_squad::task::{Predictions, Scores, Split, TaskKind};
use kd::data::{BatchSettings, EvalSet, head_index};
use serde_json::{Map, Value, json};

use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::inference::{PrecisionArgs, load_with_tokenizer};
use crate::models::capped_length;
use crate::output::{print, print_json, table};

#[derive(Args, Debug)]
#[command(after_help = "\
Metrics: accuracy; Matthews for CoLA and AX; accuracy and F1 for MRPC and QQP; Pearson and Spearman for STS-B. \
The test splits of GLUE have no labels: they are predicted for submission, not scored.")]
pub struct EvalArgs {
    /// Model directory with a head for the task.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// The task: sst-2, cola, mrpc, sts-b, qqp, mnli, mnli-mm, qnli, rte, wnli, ax.
    #[arg(long, value_name = "TASK")]
    task: TaskKind,
    /// Folder of GLUE tasks, or the task's own folder.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Part of the data.
    #[arg(long, value_enum, default_value_t = Part::Dev)]
    split: Part,
    /// Write the official prediction file; one that stands there is replaced.
    #[arg(long, value_name = "FILE")]
    predictions: Option<PathBuf>,
    /// Examples per pass; does not change the result.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch_size: u32,
    /// Longest sequence in tokens; longer ones are cut. At most what the model has positions for.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(4..=65_536))]
    max_len: u32,
    #[command(flatten)]
    precision: PrecisionArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum Part {
    Train,
    Dev,
    Test,
}

pub fn run(args: &EvalArgs, context: &Context) -> Result<(), CliError> {
    let split = match args.split {
        Part::Train => Split::Train,
        Part::Dev => Split::Dev,
        Part::Test => Split::Test,
    };
    if let Some(file) = &args.predictions {
        check_target(file)?;
    }
    // A missing file is found at once, a large model takes seconds.
    let path = args.task.find(&args.data, split)?;
    let (config, mut model, encoder) =
        load_with_tokenizer("--model", &args.model, args.precision.precision, Packing::Ahead, context)?;
    let head = head_index(&config, args.task).context(format!("--model {}", args.model.display())).or_usage()?;
    let max_len = capped_length(args.max_len, config.max_position_embeddings, context);
    let settings = BatchSettings { batch_size: args.batch_size as usize, max_len, seed: 0 };
    let set = EvalSet::read_split(args.task, &args.data, split, &encoder, settings)?;
    if set.labels.is_empty() && args.predictions.is_none() {
        return Err(CliError::usage(format!("{}: has no labels to score against", path.display()))
            .with_hint("--predictions FILE writes what the model answers; --split dev has labels"));
    }

    context.progress.start("eval", set.len() as u64);
    let mut watch = |done: usize| context.progress.step(done as u64, &[]);
    let predictions = model.predict(head, &set, &mut watch)?;
    context.progress.finish();
    let scores = match set.labels.is_empty() {
        true => None,
        false => Some(args.task.score(&predictions, &set.labels)?),
    };
    if let Some(file) = &args.predictions {
        write(args.task, file, &predictions)?;
    }
    show(args, &path, set.len(), max_len, scores.as_ref())
}

/// # Errors
/// The file could not be written in the end.
fn check_target(file: &Path) -> Result<(), CliError> {
    let parent = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if file.is_dir() || file.file_name().is_none() {
        return Err(CliError::usage(format!("--predictions {}: is a folder; name a file", file.display())));
    }
    if !parent.is_dir() {
        let message = format!("--predictions {}: the folder {} does not exist", file.display(), parent.display());
        return Err(CliError::usage(message));
    }
    Ok(())
}

fn write(task: TaskKind, file: &Path, predictions: &Predictions) -> Result<(), CliError> {
    Ok(durable::atomic::write_file(file, submission::render(task, predictions)?.as_bytes())?)
}

fn show(
    args: &EvalArgs,
    path: &Path,
    examples: usize,
    max_len: usize,
    scores: Option<&Scores>,
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
        }));
    }
    let mut rows = Vec::new();
    if let Some(scores) = scores {
        rows.extend(scores.values.iter().map(|v| vec![v.name.clone(), format!("{:.2}", v.value * 100.0)]));
    }
    rows.push(vec!["examples".into(), examples.to_string()]);
    rows.push(vec!["data".into(), path.display().to_string()]);
    if let Some(file) = &args.predictions {
        rows.push(vec!["predictions".into(), file.display().to_string()]);
    }
    print(&table(&[args.task.name(), ""], &rows, true))
}
