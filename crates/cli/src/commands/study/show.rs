//! `study show`.

use std::path::PathBuf;

use clap::Args;
use mlp_space::{Architecture, Expression};
use nas::space::{EncoderGenome, EncoderLayer};
use nas::study::{StageRecord, Trial, TrialState};
use pipeline::summary::utc;
use serde_json::json;

use super::source::Study;
use super::views::{COLUMNS, columns, heading, rejected_json, study_json, took, trial_json, trials_json};
use crate::error::CliError;
use crate::output::{print, print_json, table};
use crate::units::grouped;

#[derive(Args, Debug)]
pub struct ShowArgs {
    /// The run, or its study.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The stage [default: all].
    #[arg(value_name = "STAGE")]
    stage: Option<u32>,
    /// Number of a trial of that stage, to see all that is known of it.
    #[arg(value_name = "TRIAL", requires = "stage")]
    trial: Option<u64>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &ShowArgs) -> Result<(), CliError> {
    let study = Study::read(&args.run)?;
    if let (Some(stage), Some(number)) = (args.stage, args.trial) {
        let stage = study.stage(stage)?;
        let trial = of_number(stage, number)?;
        let place = stage.places().get(&number).copied();
        return match args.json {
            true => print_json(&trial_json(trial, place)?),
            false => print(&in_full(stage, trial, place)),
        };
    }
    let stages = study.only(args.stage.as_slice())?;
    if args.json {
        let stages = stages.iter().map(|stage| {
            let trials = trials_json(stage, &stage.trials)?;
            let (number, exhausted) = (stage.stage, stage.exhausted);
            Ok(json!({ "stage": number, "exhausted": exhausted, "rejected": rejected_json(stage), "trials": trials }))
        });
        let stages = stages.collect::<Result<_, CliError>>()?;
        return print_json(&study_json(&study.path, &study.identity, stages));
    }
    let tables: Vec<String> = stages.iter().map(trials).collect();
    let none = if tables.is_empty() { "no stage has begun\n" } else { "" };
    print(&(study.heading() + none + &tables.iter().map(|table| format!("\n{table}")).collect::<String>()))
}

fn of_number(stage: &StageRecord, number: u64) -> Result<&Trial, CliError> {
    stage.trials.iter().find(|trial| trial.number == number).ok_or_else(|| {
        let known = match stage.trials.last() {
            Some(last) => format!("it has the trials 0 to {}", last.number),
            None => "it has none yet".to_owned(),
        };
        CliError::usage(format!("stage {} has no trial {number}: {known}", stage.stage))
    })
}

/// The trials of a stage in their order.
fn trials(stage: &StageRecord) -> String {
    let places = stage.places();
    let row = |trial: &Trial| {
        let last = trial.reason.as_ref().map_or_else(|| sizes(&trial.genome), |reason| reason.replace('\n', " "));
        [columns(trial, &places), vec![last]].concat()
    };
    let rows: Vec<Vec<String>> = stage.trials.iter().map(row).collect();
    let mut text = format!("{}\n", heading(stage));
    if !rows.is_empty() {
        let is_encoder = |trial: &Trial| trial.genome.parse::<EncoderGenome>().is_ok();
        let last = if stage.trials.iter().any(is_encoder) {
            "hidden/table, attention+feed-forward"
        } else {
            "stacks and ratios"
        };
        text += &table(&[&COLUMNS[..], &[last]].concat(), &rows, true);
    }
    let rejected = stage.rejection_counts();
    if !rejected.is_empty() {
        let each: Vec<String> =
            rejected.iter().map(|(reason, count)| format!("{} {reason}", grouped(*count))).collect();
        text += &format!("rejected: {}\n", each.join(", "));
    }
    text + if stage.exhausted { "nothing new can be drawn\n" } else { "" }
}

/// Stacks and ratio of each layer, `2 x 1/3`; of a whole encoder hidden width, table width and each layer's widths of attention and feed-forward,
/// `264/128 264+304 264+152`; an architecture of another space as it is.
fn sizes(genome: &str) -> String {
    match genome.parse::<Architecture>() {
        Ok(architecture) => {
            let each = architecture.ids().iter().map(|id| format!("{}x1/{}", id.stacks(), id.ratio()));
            each.collect::<Vec<_>>().join(" ")
        }
        Err(_) => genome.parse().map_or_else(|_| genome.to_owned(), |encoder| widths(&encoder)),
    }
}

fn widths(encoder: &EncoderGenome) -> String {
    let layer = |layer: &EncoderLayer| {
        let attention = layer.attention.map_or(0, |shape| shape.width);
        let id = layer.feed_forward.as_ref().and_then(Expression::id);
        format!("{attention}+{}", id.map_or(0, |id| usize::from(id.stacks()) * id.inner_size(encoder.base)))
    };
    let layers: Vec<String> = encoder.layers.iter().map(layer).collect();
    format!("{}/{} {}", encoder.hidden, encoder.embed, layers.join(" "))
}

/// All that is known of a trial.
fn in_full(stage: &StageRecord, trial: &Trial, place: Option<u64>) -> String {
    let state = match (trial.state, place) {
        (TrialState::Complete, Some(place)) => {
            format!("complete, place {place} of {}", stage.count(TrialState::Complete))
        }
        (TrialState::Running, _) => "running, or left by a process that was killed".to_owned(),
        (state, _) => state.name().to_owned(),
    };
    let mut lines = vec![("state", state)];
    lines.extend(trial.reason.clone().map(|reason| ("reason", reason.replace('\n', "\n              "))));
    lines.extend(trial.fitness.map(|fitness| ("fitness", fitness.to_string())));
    let metrics: Vec<String> = trial.metrics.iter().map(|(name, value)| format!("{name} {value}")).collect();
    lines.extend(Some(metrics.join(", ")).filter(|metrics| !metrics.is_empty()).map(|metrics| ("metrics", metrics)));
    lines.push(("parameters", grouped(trial.cost.params)));
    lines.push(("MACs", grouped(trial.cost.macs)));
    lines.push(("latency", trial.latency_ms.map_or_else(|| "n/a".to_owned(), |ms| format!("{ms} ms"))));
    lines.push(("seed", trial.seed.to_string()));
    lines.push(("started", utc(trial.started_at)));
    lines.extend(trial.finished_at.map(|end| ("finished", utc(end))));
    lines.extend(took(trial).map(|took| ("took", took)));
    lines.push(("fingerprint", trial.fingerprint.clone()));
    let rejected = stage.rejected.iter().filter(|draw| draw.number == trial.number).count();
    if rejected > 0 {
        lines.push(("rejected", format!("{} draws before it", grouped(rejected as u64))));
    }
    let mut text = format!("stage {}, trial {}\n", stage.stage, trial.number);
    text.extend(lines.into_iter().map(|(name, value)| format!("  {name:<11} {value}\n")));
    text.push('\n');
    match trial.genome.parse::<Architecture>() {
        Ok(architecture) => {
            let layers = (1..).zip(architecture.layers().iter().zip(architecture.ids()));
            let rows: Vec<Vec<String>> = layers
                .map(|(layer, (expression, id)): (u32, _)| {
                    vec![
                        layer.to_string(),
                        id.stacks().to_string(),
                        format!("1/{}", id.ratio()),
                        expression.to_string(),
                    ]
                })
                .collect();
            text + &table(&["layer", "stacks", "ratio", "feed-forward"], &rows, true)
        }
        Err(_) => text + &format!("{}\n", trial.genome),
    }
}
