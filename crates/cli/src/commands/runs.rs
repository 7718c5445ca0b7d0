//! `runs`: what runs there are, and how far.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use data_catalog::readable_bytes;
use pipeline::run_listing::{RunSummary, Scores, State, below};
use serde_json::{Value, json};

use crate::environment;
use crate::error::{CliError, ResultExt};
use crate::output::{print, print_json, table};
use crate::progress::duration;

/// Options of `runs`.
#[derive(Args, Debug)]
#[command(after_help = "\
Shows searches, and trainings of `teacher` and `distill`, also those below folders of DIR. Scores are those of the dev sets, the mean \
over the tasks; --json has every metric. No model is loaded and nothing is written.")]
pub struct RunsArgs {
    /// Folder with the runs, or one run.
    #[arg(value_name = "DIR", default_value = "runs")]
    folder: PathBuf,
    /// Print a JSON list.
    #[arg(long)]
    json: bool,
}

/// Columns of words, which are flush left as the first one is.
const WORDS: std::ops::RangeInclusive<usize> = 1..=4;

pub fn run(args: &RunsArgs) -> Result<(), CliError> {
    if !args.folder.is_dir() {
        return Err(CliError::usage(format!("{}: no such folder", args.folder.display()))
            .with_hint("runs are made by `efficientbert search`, in the folder runs if --out names no other"));
    }
    let found = below(&args.folder).or_usage()?;
    let now = environment::now_ms();
    if args.json {
        return print_json(&found.iter().map(|run| object(run, now)).collect::<Result<Vec<_>, _>>()?);
    }
    if found.is_empty() {
        return print(&format!("{} holds no run\n", args.folder.display()));
    }
    let header = ["run", "kind", "tasks", "state", "how far", "teacher", "student", "size", "age", ""];
    let header = header.map(str::to_owned).to_vec();
    let mut rows: Vec<Vec<String>> = std::iter::once(header).chain(found.iter().map(|run| row(run, now))).collect();
    for column in WORDS {
        let width = rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        rows.iter_mut().for_each(|row| row[column] = format!("{:<width$}", row[column]));
    }
    let header = rows.remove(0);
    print(&table(&header.iter().map(String::as_str).collect::<Vec<_>>(), &rows, true))
}

/// Seconds since something happened last.
fn age(run: &RunSummary, now: i64) -> Option<f64> {
    run.changed_ms.map(|changed| (now - changed).max(0) as f64 / 1e3)
}

fn percent(run: &RunSummary) -> Option<f64> {
    let (done, total) = (run.done?, run.total.filter(|&total| total > 0)?);
    Some(100.0 * done as f64 / total as f64)
}

fn object(run: &RunSummary, now: i64) -> Result<Value, CliError> {
    let mut object = serde_json::to_value(run)?;
    object["age_seconds"] = json!(age(run, now));
    object["percent"] = json!(percent(run));
    Ok(object)
}

fn row(run: &RunSummary, now: i64) -> Vec<String> {
    let state = match &run.process {
        Some(holder) => format!("running (process {} on {})", holder.pid, holder.host),
        None => run.state.name().to_owned(),
    };
    let far = match (&run.phase, run.done, run.total, percent(run)) {
        _ if run.state == State::Finished => String::new(),
        (Some(phase), Some(done), Some(total), Some(percent)) => format!("{phase} {done}/{total} ({percent:.0}%)"),
        (Some(phase), ..) => phase.clone(),
        (None, ..) => "not begun".into(),
    };
    let score = |scores: &Scores| scores.score.map_or_else(String::new, |score| format!("{:.2}", score * 100.0));
    let old = age(run, now).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).map(duration);
    let remarks: Vec<&str> = run.error.iter().chain(&run.problems).map(String::as_str).collect();
    vec![
        run.name.clone(),
        run.kind.name().into(),
        run.tasks.join(","),
        state,
        far,
        score(&run.teacher),
        score(&run.student),
        readable_bytes(run.bytes),
        old.unwrap_or_default(),
        remarks.join("; ").replace('\n', " "),
    ]
}
