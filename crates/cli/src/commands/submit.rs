//! `submit`: the archive of prediction files that the GLUE site takes.

use std::path::PathBuf;

use clap::Args;
use glue_squad::submission::{file_name, zip_folder};
use glue_squad::task::TaskKind;
use serde_json::json;

use crate::context::Context;
use crate::error::CliError;
use crate::output::{check_targets, print, print_json, table};

#[derive(Args, Debug)]
#[command(after_help = "\
The files are those of `efficientbert eval --split test --predictions`, under their official names: CoLA.tsv, SST-2.tsv, MRPC.tsv, \
STS-B.tsv, QQP.tsv, MNLI-m.tsv, MNLI-mm.tsv, QNLI.tsv, RTE.tsv, WNLI.tsv, AX.tsv.")]
pub struct SubmitArgs {
    /// Folder with the prediction files.
    #[arg(long, value_name = "DIR")]
    predictions: PathBuf,
    /// Where to write the archive; an existing one is replaced.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Writes the archive and says what it holds.
///
/// # Errors
/// No prediction file, a damaged one, or the archive cannot be written.
pub fn run(args: &SubmitArgs, context: &Context) -> Result<(), CliError> {
    if !args.predictions.is_dir() {
        return Err(CliError::usage(format!("--predictions {}: is no folder", args.predictions.display())));
    }
    let folder = args.predictions.canonicalize().unwrap_or_else(|_| args.predictions.clone());
    let official: Vec<_> = TaskKind::ALL.into_iter().map(|task| folder.join(file_name(task))).collect();
    check_targets([("--out", Some(args.out.as_path()))], &official)?;
    let archive = zip_folder(&args.predictions, &args.out)?;
    if !archive.missing.is_empty() {
        let names: Vec<&str> = archive.missing.iter().map(|task| task.task().title()).collect();
        context.progress.warn(&format!("the GLUE site wants every task; without predictions: {}", names.join(", ")));
    }
    let found = |task: TaskKind| archive.tasks.iter().find(|(of, _)| *of == task).map_or(0, |(_, rows)| *rows);
    for (task, official) in &archive.wrong_rows {
        let (title, found) = (task.task().title(), found(*task));
        context.progress.warn(&format!("{title}: {found} predictions; the official test set has {official} examples"));
    }
    if args.json {
        let rows: serde_json::Map<_, _> =
            archive.tasks.iter().map(|(task, rows)| (task.name().to_owned(), json!(rows))).collect();
        let missing: Vec<&str> = archive.missing.iter().map(|task| task.name()).collect();
        return print_json(&json!({
            "archive": archive.path, "complete": archive.is_complete(), "predictions": rows, "missing": missing,
        }));
    }
    let rows: Vec<Vec<String>> =
        archive.tasks.iter().map(|(task, rows)| vec![task.task().title().to_owned(), rows.to_string()]).collect();
    let text = table(&["task", "predictions"], &rows, false);
    print(&format!("{text}\n{}\n", archive.path.display()))
}
