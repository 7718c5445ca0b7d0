//! `study best`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::source::Study;
use super::views::{COLUMNS, columns, heading, study_json, trials_json};
use crate::error::CliError;
use crate::output::{print, print_json, table};

#[derive(Args, Debug)]
pub struct BestArgs {
    /// The run, or its study.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Stages [default: all].
    #[arg(long = "stage", value_name = "N")]
    stages: Vec<u32>,
    /// How many trials of each.
    #[arg(short = 'n', long = "count", value_name = "N", default_value_t = 3,
        value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Higher fitness, then fewer parameters, fewer multiply-adds, lower latency, lower number: the order by which the search itself chooses.
pub fn run(args: &BestArgs) -> Result<(), CliError> {
    let study = Study::read(&args.run)?;
    let stages = study.only(&args.stages)?;
    if args.json {
        let stages = stages.iter().map(|stage| {
            let best = trials_json(stage, stage.best_first().into_iter().take(args.count as usize))?;
            Ok(json!({ "stage": stage.stage, "best": best }))
        });
        let stages = stages.collect::<Result<_, CliError>>()?;
        return print_json(&study_json(&study.path, &study.identity, stages));
    }
    let mut text = study.heading();
    if stages.is_empty() {
        text += "no stage has begun\n";
    }
    for stage in &stages {
        let places = stage.places();
        let best = stage.best_first();
        let best = best.iter().take(args.count as usize);
        let rows: Vec<Vec<String>> =
            best.map(|trial| [columns(trial, &places), vec![trial.genome.clone()]].concat()).collect();
        text += &format!("\n{}\n", heading(stage));
        text += &match rows.is_empty() {
            true => "no trial is complete\n".to_owned(),
            false => table(&[&COLUMNS[..], &["architecture"]].concat(), &rows, true),
        };
    }
    print(&text)
}
