//! `study export`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use nas::study::StageRecord;
use nas::study::optuna::{database, is_untouched};
use nas::study::table::{Cell, Kind, Table};
use parquet_rows::Values;
use serde_json::json;

use super::source::Study;
use super::views::{draw_json, rejected_json, study_json, trials_json};
use crate::context::Context;
use crate::error::CliError;
use crate::inputs::quoted;
use crate::output::{check_targets, print};

pub const HELP: &str = "\
RUN is the folder of a search, or a study.sqlite. It may be read while the search goes on; nothing is written to it.

Examples
  efficientbert study export runs/pocket --out trials.csv
  efficientbert study export runs/pocket --format json --rejected
  efficientbert study export runs/pocket --optuna optuna.db && optuna-dashboard sqlite:///optuna.db

docs/search.md lists the columns. Optuna's database has a study for each stage; times are UTC.";

/// How trials are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A line of names, then a line for each trial.
    Csv,
    /// One object, with the trials of each stage.
    Json,
    /// The table of csv with types; needs --out.
    Parquet,
}

#[derive(Args, Debug)]
pub struct ExportArgs {
    /// The run, or its study.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The format [default: by the ending of --out, else csv].
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The file [default: standard output].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write a SQLite file instead that `optuna-dashboard` and `optuna.load_study` open. One that was exported before is replaced unless
    /// somebody has written to it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["format", "out", "rejected"])]
    optuna: Option<PathBuf>,
    /// Stages [default: all].
    #[arg(long = "stage", value_name = "N")]
    stages: Vec<u32>,
    /// Also the draws that were not evaluated, with the reason.
    #[arg(long)]
    rejected: bool,
}

pub fn run(args: &ExportArgs, context: &Context) -> Result<(), CliError> {
    let format = args.format.map_or_else(|| by_ending(args.out.as_deref()), Ok)?;
    let study = Study::read(&args.run)?;
    let stages = study.only(&args.stages)?;
    let targets = [("--out", args.out.as_deref()), ("--optuna", args.optuna.as_deref())];
    check_targets(targets, std::slice::from_ref(&study.path))?;
    if let Some(file) = &args.optuna {
        return optuna(file, &study, &stages, context);
    }
    let bytes = match (format, &args.out) {
        (Format::Csv, _) => Table::of(&stages, args.rejected).csv().into_bytes(),
        (Format::Json, _) => json(&study, &stages, args.rejected)?.into_bytes(),
        (Format::Parquet, Some(_)) => parquet(Table::of(&stages, args.rejected))?,
        (Format::Parquet, None) => {
            return Err(CliError::usage("--format parquet: a binary file is not for standard output")
                .with_hint("name one with --out"));
        }
    };
    let Some(file) = &args.out else { return print(&String::from_utf8_lossy(&bytes)) };
    run_store::output::write(file, &bytes)?;
    said(&stages, args.rejected, file, context);
    Ok(())
}

/// The format that the name of a file asks for.
fn by_ending(file: Option<&Path>) -> Result<Format, CliError> {
    let ending = file.and_then(Path::extension).map(|ending| ending.to_string_lossy().to_lowercase());
    match ending.as_deref() {
        Some("json") => Ok(Format::Json),
        Some("parquet") => Ok(Format::Parquet),
        Some("db" | "sqlite" | "sqlite3") => Err(CliError::usage("--out: a database is what --optuna FILE writes")
            .with_hint("--format names another format")),
        _ => Ok(Format::Csv),
    }
}

fn json(study: &Study, stages: &[StageRecord], rejected: bool) -> Result<String, CliError> {
    let stages = stages.iter().map(|stage| {
        let mut object = json!({
            "stage": stage.stage,
            "exhausted": stage.exhausted,
            "rejected": rejected_json(stage),
            "trials": trials_json(stage, &stage.trials)?,
        });
        if rejected {
            object["rejected_draws"] = stage.rejected.iter().map(draw_json).collect::<Result<_, _>>()?;
        }
        Ok(object)
    });
    let object = study_json(&study.path, &study.identity, stages.collect::<Result<_, CliError>>()?);
    Ok(serde_json::to_string_pretty(&object)? + "\n")
}

/// The table by columns.
fn parquet(table: Table) -> Result<Vec<u8>, CliError> {
    let mut columns: Vec<(String, Values)> = table
        .columns
        .into_iter()
        .map(|(name, kind)| {
            let values = match kind {
                Kind::Whole => Values::Whole(Vec::new()),
                Kind::Number => Values::Number(Vec::new()),
                Kind::Text => Values::Text(Vec::new()),
            };
            (name, values)
        })
        .collect();
    for row in table.rows {
        for ((_, values), cell) in columns.iter_mut().zip(row) {
            match (values, cell) {
                (Values::Whole(all), Cell::Whole(value)) => all.push(Some(value)),
                (Values::Number(all), Cell::Number(value)) => all.push(Some(value)),
                (Values::Text(all), Cell::Text(text)) => all.push(Some(text)),
                // Every cell is of its column's kind, or nothing.
                (Values::Whole(all), _) => all.push(None),
                (Values::Number(all), _) => all.push(None),
                (Values::Text(all), _) => all.push(None),
            }
        }
    }
    Ok(parquet_rows::write(&columns, concat!("efficientbert ", env!("CARGO_PKG_VERSION")))?)
}

/// Writes the database and says how it is opened.
fn optuna(file: &Path, study: &Study, stages: &[StageRecord], context: &Context) -> Result<(), CliError> {
    if std::fs::metadata(file).is_ok_and(|found| found.is_file() && found.len() > 0) && !is_untouched(file) {
        let message = format!("--optuna {}: is there, and holds what no export has written", file.display());
        return Err(CliError::usage(message).with_hint("nothing was changed; name another file"));
    }
    let found = database(&study.identity, stages)?;
    run_store::output::write(file, &found.bytes)?;
    found.notes.iter().for_each(|note| context.progress.warn(note));
    said(stages, false, file, context);
    context.progress.message(&format!(
        "studies: {}; look at them with: optuna-dashboard sqlite:///{}",
        found.studies.join(", "),
        quoted(file)
    ));
    Ok(())
}

fn said(stages: &[StageRecord], rejected: bool, file: &Path, context: &Context) {
    let trials: usize = stages.iter().map(|stage| stage.trials.len()).sum();
    let draws: usize = stages.iter().filter(|_| rejected).map(|stage| stage.rejected.len()).sum();
    let draws = if draws > 0 { format!(" and {draws} rejected draws") } else { String::new() };
    context.progress.message(&format!("{trials} trials{draws} -> {}", file.display()));
}
