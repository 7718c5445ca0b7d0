//! `study list`.

use std::path::{Path, PathBuf};

use clap::Args;
use nas::study::{StageRecord, TrialState};
use pipeline::run_listing;
use run_store::rundir::RunPaths;
use serde_json::{Value, json};

use super::source::{Study, title};
use super::views::{fitness, rejected_json, study_json, trial_json};
use crate::error::{CliError, ResultExt};
use crate::output::{print, print_json, table};
use crate::units::grouped;

#[derive(Args, Debug)]
pub struct ListArgs {
    /// The run, its study, or a folder of runs, of which every study is listed.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Print a JSON list, one object for each study.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &ListArgs) -> Result<(), CliError> {
    let studies = studies(&args.run)?;
    if args.json {
        return print_json(&studies.iter().map(object).collect::<Result<Vec<_>, _>>()?);
    }
    print(&studies.iter().map(text).collect::<Vec<_>>().join("\n"))
}

/// The study of a run, or those of the runs below a folder that is none.
fn studies(path: &Path) -> Result<Vec<Study>, CliError> {
    if path.is_dir() && !RunPaths::new(path).study().is_file() && !path.join(run_store::rundir::RECIPE).is_file() {
        let found = run_listing::below(path).or_usage()?;
        let with_study = found.iter().filter(|run| RunPaths::new(&run.path).study().is_file());
        let studies = with_study.map(|run| Study::read(&run.path)).collect::<Result<Vec<_>, _>>()?;
        if !studies.is_empty() {
            return Ok(studies);
        }
    }
    Ok(vec![Study::read(path)?])
}

fn object(study: &Study) -> Result<Value, CliError> {
    let stages = study.stages.iter().map(|stage| {
        let places = stage.places();
        let best = stage.best_first().first().map(|trial| trial_json(trial, places.get(&trial.number).copied()));
        Ok(json!({
            "stage": stage.stage,
            "title": Some(title(stage)).filter(|title| !title.is_empty()),
            "trials": stage.trials.len(),
            "complete": stage.count(TrialState::Complete),
            "failed": stage.count(TrialState::Failed),
            "running": stage.count(TrialState::Running),
            "rejected": rejected_json(stage),
            "exhausted": stage.exhausted,
            "best": best.transpose()?,
        }))
    });
    Ok(study_json(&study.path, &study.identity, stages.collect::<Result<_, CliError>>()?))
}

fn text(study: &Study) -> String {
    let heading = study.heading();
    if study.stages.is_empty() {
        return heading + "no stage has begun\n";
    }
    let rows: Vec<Vec<String>> = study.stages.iter().map(row).collect();
    let header =
        ["stage", "trials", "complete", "failed", "running", "rejected", "best fitness", "of trial", "parameters", ""];
    heading + &table(&header, &rows, true)
}

fn row(stage: &StageRecord) -> Vec<String> {
    let best = stage.best_first().first().copied();
    let mut what = title(stage).split_once(": ").map_or("", |(_, what)| what).to_owned();
    if stage.exhausted {
        what += if what.is_empty() { "nothing new can be drawn" } else { "; nothing new can be drawn" };
    }
    vec![
        stage.stage.to_string(),
        stage.trials.len().to_string(),
        stage.count(TrialState::Complete).to_string(),
        stage.count(TrialState::Failed).to_string(),
        stage.count(TrialState::Running).to_string(),
        grouped(stage.rejected.len() as u64),
        fitness(best.and_then(|trial| trial.fitness)),
        best.map_or_else(String::new, |trial| trial.number.to_string()),
        best.map_or_else(String::new, |trial| grouped(trial.cost.params)),
        what,
    ]
}
