//! Trials and stages as rows and as JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use nas::study::{RejectedDraw, StageRecord, StudyIdentity, Trial, TrialState, parameters};
use serde_json::{Map, Value, json};

use super::source::title;
use crate::error::CliError;
use crate::progress::duration;
use crate::units::grouped;

/// A trial with its place among the complete ones of its stage, and what varies in its architecture.
pub fn trial_json(trial: &Trial, place: Option<u64>) -> Result<Value, CliError> {
    let mut object = serde_json::to_value(trial)?;
    object["place"] = json!(place);
    object["seconds"] = json!(trial.seconds());
    object["parameters"] = parameters_json(&trial.genome);
    Ok(object)
}

/// A draw that was not evaluated.
pub fn draw_json(draw: &RejectedDraw) -> Result<Value, CliError> {
    let mut object = serde_json::to_value(draw)?;
    object["reason"] = json!(draw.reason.name());
    object["parameters"] = parameters_json(&draw.genome);
    Ok(object)
}

fn parameters_json(genome: &str) -> Value {
    Value::Object(parameters(genome).into_iter().map(|(name, value)| (name, json!(value))).collect())
}

/// The trials of a stage that are wanted, each with its place.
pub fn trials_json<'a>(
    stage: &StageRecord,
    wanted: impl IntoIterator<Item = &'a Trial>,
) -> Result<Vec<Value>, CliError> {
    let places = stage.places();
    wanted.into_iter().map(|trial| trial_json(trial, places.get(&trial.number).copied())).collect()
}

/// How many draws were rejected for each reason.
pub fn rejected_json(stage: &StageRecord) -> Value {
    let counts = stage.rejection_counts().into_iter().map(|(reason, count)| (reason.name().to_owned(), json!(count)));
    Value::Object(counts.collect::<Map<_, _>>())
}

/// What all JSON about a study begins with.
pub fn study_json(path: &std::path::Path, identity: &StudyIdentity, stages: Vec<Value>) -> Value {
    let StudyIdentity { name, config_hash, seed } = identity;
    json!({ "study": path, "name": name, "seed": seed, "config_hash": config_hash, "stages": stages })
}

/// A stage as a heading: `stage 1: expressions, stacks and ratios`.
pub fn heading(stage: &StageRecord) -> String {
    match title(stage) {
        "" => format!("stage {}", stage.stage),
        title => title.replacen("Stage", "stage", 1),
    }
}

/// Columns of a trial in a table, all flush right.
pub const COLUMNS: [&str; 7] = ["trial", "place", "fitness", "parameters", "MACs", "latency ms", "time"];

/// These columns of a trial.
pub fn columns(trial: &Trial, places: &BTreeMap<u64, u64>) -> Vec<String> {
    let place = match trial.state {
        TrialState::Complete => places.get(&trial.number).map_or_else(String::new, ToString::to_string),
        state => state.name().to_owned(),
    };
    vec![
        trial.number.to_string(),
        place,
        fitness(trial.fitness),
        grouped(trial.cost.params),
        grouped(trial.cost.macs),
        latency(trial.latency_ms),
        took(trial).unwrap_or_default(),
    ]
}

/// A fitness as tables have it.
pub fn fitness(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| format!("{value:.5}"))
}

fn latency(ms: Option<f64>) -> String {
    ms.map_or_else(|| "n/a".to_owned(), |ms| format!("{ms:.3}"))
}

/// How long a trial took; clocks may have gone back meanwhile.
pub fn took(trial: &Trial) -> Option<String> {
    trial.seconds().map(|seconds| duration(Duration::try_from_secs_f64(seconds).unwrap_or_default()))
}
