//! What runs there are below a folder, and how far they are. No model is loaded, nothing is written, and what is damaged is said.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bert_core::{CONFIG_FILE, WEIGHTS_FILE};
use run_store::lock::{Holder, working};
use run_store::log;
use run_store::rundir::{RECIPE, RunPaths};
use serde::Serialize;
use serde_json::Value;

use crate::disk::bytes_below;
use crate::events::RunEvent;
use crate::phase::{LogLine, Network, PhaseId};
use crate::{Error, Result};

/// Folders are looked into so far below the first.
const DEPTH: usize = 4;
/// End of the name of a folder with the checkpoints of `teacher` or `distill`, beside the model directory to be made.
const TRAINING: &str = ".training";
/// Its checkpoints.
const CHECKPOINTS: &str = "checkpoints";
/// The log of a finished training, in its model directory.
const LOG: &str = "log.jsonl";

/// What made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `search`.
    Search,
    /// `teacher`.
    Teacher,
    /// `distill`.
    Distill,
}

impl Kind {
    /// Name of the command.
    pub fn name(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Teacher => "teacher",
            Self::Distill => "distill",
        }
    }
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// A process works on it.
    Running,
    /// Its process was stopped or killed.
    Interrupted,
    /// Its process ended with an error.
    Failed,
    /// The model is there.
    Finished,
}

impl State {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
            Self::Finished => "finished",
        }
    }
}

/// Scores of a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Scores {
    /// Mean over the tasks, each the mean of its metrics; or what the training chose its best weights by.
    pub score: Option<f64>,
    /// Fractions by `TASK/METRIC`.
    pub metrics: BTreeMap<String, f64>,
}

impl Scores {
    fn of_metrics(metrics: BTreeMap<String, f64>) -> Self {
        let mut tasks: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (name, value) in &metrics {
            tasks.entry(name.split('/').next().unwrap_or_default()).or_default().push(*value);
        }
        let means = tasks.values().map(|values| values.iter().sum::<f64>() / values.len() as f64);
        let score = (!tasks.is_empty()).then(|| means.sum::<f64>() / tasks.len() as f64);
        Self { score, metrics }
    }
}

/// A search, or a training of `teacher` or `distill`.
#[derive(Clone, Debug, Serialize)]
pub struct RunSummary {
    /// Path below the folder that was looked through, as `--out` takes it there; `.` for that folder itself.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// What made it.
    pub kind: Kind,
    /// Its tasks, as far as they are known.
    pub tasks: Vec<String>,
    /// What became of it.
    pub state: State,
    /// The process that works on it.
    pub process: Option<Holder>,
    /// Its last error, where it failed.
    pub error: Option<String>,
    /// The last phase that was begun.
    pub phase: Option<String>,
    /// Steps or trials of that phase that are done.
    pub done: Option<u64>,
    /// Its steps or trials in all.
    pub total: Option<u64>,
    /// Scores of the teacher on the dev sets.
    pub teacher: Scores,
    /// Scores of the student.
    pub student: Scores,
    /// Bytes on the disk.
    pub bytes: u64,
    /// When something happened last, Unix time in milliseconds.
    pub changed_ms: Option<i64>,
    /// What of it cannot be read.
    pub problems: Vec<String>,
}

/// The runs in `folder` and the folders below it, in the order of their names.
///
/// # Errors
/// `folder` cannot be listed. What cannot be read below it is among the [`RunSummary::problems`].
pub fn below(folder: &Path) -> Result<Vec<RunSummary>> {
    found_in(folder, DEPTH)
}

/// [`below`] for the folder itself, not for those that lie deeper.
///
/// # Errors
/// As [`below`].
pub fn directly_in(folder: &Path) -> Result<Vec<RunSummary>> {
    found_in(folder, 1)
}

fn found_in(folder: &Path, depth: usize) -> Result<Vec<RunSummary>> {
    std::fs::read_dir(folder).map_err(Error::io("list", folder))?;
    let mut found = Vec::new();
    visit(folder, folder, depth, &mut found);
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn visit(root: &Path, folder: &Path, depth: usize, found: &mut Vec<RunSummary>) {
    let name = |path: &Path| match path.strip_prefix(root) {
        Ok(rest) if !rest.as_os_str().is_empty() => rest.display().to_string(),
        _ => ".".to_owned(),
    };
    if let Some(model) = model_of_training(folder) {
        found.push(training(name(&model), folder, &model));
    } else if is_search(folder) {
        found.push(search(name(folder), folder));
    } else if folder.join(CONFIG_FILE).is_file() {
        let unfinished = folder.file_name().is_some_and(|name| {
            let mut name = name.to_owned();
            name.push(TRAINING);
            folder.with_file_name(name).join(RECIPE).is_file()
        });
        if folder.join(LOG).is_file() && !unfinished {
            found.push(finished_training(name(folder), folder));
        }
    } else if depth > 0 {
        let folders = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let folders = folders.filter(|path| path.is_dir() && !is_link_into(root, path));
        folders.for_each(|path| visit(root, &path, depth - 1, found));
    }
}

/// Whether `path` is a link to what lies below `root` anyway, such as `latest`.
fn is_link_into(root: &Path, path: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    path.is_symlink() && real(path).zip(real(root)).is_some_and(|(path, root)| path.starts_with(root))
}

/// The model directory that the training in `folder` makes.
fn model_of_training(folder: &Path) -> Option<PathBuf> {
    let name = folder.file_name()?.to_str()?.strip_suffix(TRAINING)?;
    let is_one = folder.join(RECIPE).is_file() || folder.join(CHECKPOINTS).is_dir();
    is_one.then(|| folder.with_file_name(name))
}

fn is_search(folder: &Path) -> bool {
    let paths = RunPaths::new(folder);
    [paths.recipe(), paths.run_json(), paths.study()].iter().any(|path| path.is_file())
}

/// What a log says.
#[derive(Default)]
struct LogSummary {
    phase: Option<String>,
    done: Option<u64>,
    total: Option<u64>,
    failed: Option<String>,
    last_ms: Option<i64>,
    /// The best evaluation of each phase.
    best: BTreeMap<String, Scores>,
    /// What could not be read, of the other files too.
    problems: Vec<String>,
}

impl LogSummary {
    fn read(path: &Path) -> Self {
        let mut story = Self::default();
        if !path.is_file() {
            return story;
        }
        let records = match log::read::<LogLine>(path) {
            Ok(records) => records,
            Err(e) => {
                story.problems.push(format!("{LOG}: {e}"));
                return story;
            }
        };
        if let Some(line) = records.damaged.first() {
            story.problems.push(format!("{LOG}, line {line}: no record"));
        }
        records.records.into_iter().for_each(|line| story.tell(line));
        story
    }

    fn tell(&mut self, line: LogLine) {
        self.last_ms = Some(line.time_ms);
        self.failed = None;
        match line.event {
            RunEvent::PhaseStarted { phase, total, done } => {
                (self.phase, self.done, self.total) = (Some(phase), Some(done), Some(total));
            }
            RunEvent::Resumed { step, .. } | RunEvent::Step { step, .. } => self.done = Some(step),
            RunEvent::Trial { number, .. } => self.done = Some(number + 1),
            RunEvent::PhaseFinished { .. } => self.done = self.total,
            RunEvent::Evaluated { phase, score, metrics, best: true, .. } => {
                self.best.insert(phase, Scores { score: Some(score), metrics });
            }
            RunEvent::Failed { message } => self.failed = Some(message),
            _ => {}
        }
    }

    /// The table in a file of the folder; an empty one, and a problem, where there is none.
    fn table(&mut self, path: &Path) -> toml::Table {
        let read = std::fs::read_to_string(path).map_err(|e| e.to_string());
        let parsed = read.and_then(|text| text.parse::<toml::Table>().map_err(|e| e.message().to_owned()));
        parsed.unwrap_or_else(|e| {
            self.problems.push(format!("{RECIPE}: {e}"));
            toml::Table::new()
        })
    }

    /// The best evaluations of the phases `only`, or of all.
    fn scores(&self, only: Option<PhaseId>) -> Scores {
        let is_one = |phase: &str| only.is_none() || PhaseId::of_name(phase) == only;
        let mut of: Vec<&Scores> = self.best.iter().filter(|(phase, _)| is_one(phase)).map(|(_, s)| s).collect();
        match of.len() {
            0 => Scores::default(),
            1 => of.remove(0).clone(),
            _ => Scores::of_metrics(of.into_iter().flat_map(|s| s.metrics.clone()).collect()),
        }
    }
}

fn search(name: String, folder: &Path) -> RunSummary {
    let paths = RunPaths::new(folder);
    let mut story = LogSummary::read(&paths.log());
    let recipe = story.table(&paths.recipe());
    let run = match std::fs::read(paths.run_json()).map(|bytes| serde_json::from_slice::<Value>(&bytes)) {
        Ok(Ok(run)) => run,
        Ok(Err(e)) => {
            story.problems.push(format!("run.json: {e}"));
            Value::Null
        }
        // Not there yet, which the other files say.
        Err(_) => Value::Null,
    };
    let is_finished = run["finished"] == true && paths.student().join(WEIGHTS_FILE).is_file();
    let measured = |role: &str| -> Option<Scores> {
        let rows = run["comparison"].as_array()?;
        // Of several students the found one stands last.
        let row = rows.iter().rfind(|row| row["role"] == role)?;
        let metric =
            |s: &Value| Some((format!("{}/{}", s["task"].as_str()?, s["metric"].as_str()?), s["value"].as_f64()?));
        Some(Scores::of_metrics(row["scores"].as_array()?.iter().filter_map(metric).collect()))
    };
    let teacher = measured("teacher").unwrap_or_else(|| story.scores(Some(PhaseId::Teacher)));
    let student = measured("student").unwrap_or_else(|| story.scores(Some(PhaseId::FinalOnTasks(Network::Student, 1))));
    let bytes = bytes_below(folder);
    let tasks = strings(recipe.get("tasks"));
    RunSummary { teacher, student, ..summary(name, folder, Kind::Search, tasks, is_finished, bytes, story) }
}

/// A training that is not finished, or whose folder could not be removed.
fn training(name: String, folder: &Path, model: &Path) -> RunSummary {
    let paths = RunPaths::new(folder);
    let mut story = LogSummary::read(&paths.log());
    let recipe = story.table(&paths.recipe());
    let command = recipe.get("command").and_then(toml::Value::as_table);
    let of_command = |key: &str| command.and_then(|command| command.get(key));
    let kind = match of_command("name").and_then(toml::Value::as_str) {
        Some("teacher") => Kind::Teacher,
        _ => Kind::Distill,
    };
    let tasks = strings(of_command("tasks"));
    let steps = recipe.get("training").and_then(|training| training.get("steps")).and_then(toml::Value::as_integer);
    story.total = story.total.or(steps.and_then(|steps| u64::try_from(steps).ok()));
    // Steps are reported now and then, and saved where a training is stopped.
    story.done = story.done.max(newest_checkpoint(&folder.join(CHECKPOINTS)));
    let scores = story.scores(None);
    let is_finished = model.join(WEIGHTS_FILE).is_file();
    let bytes = bytes_below(folder) + bytes_below(model);
    let summary = summary(name, model, kind, tasks, is_finished, bytes, story);
    let process = working(folder);
    let state = if process.is_some() { State::Running } else { summary.state };
    with_scores(RunSummary { state, process: process.flatten(), ..summary }, scores)
}

fn finished_training(name: String, folder: &Path) -> RunSummary {
    let mut story = LogSummary::read(&folder.join(LOG));
    let kind = if story.phase.as_deref() == Some("teacher") { Kind::Teacher } else { Kind::Distill };
    let scores = story.scores(None);
    let mut tasks: Vec<String> =
        scores.metrics.keys().filter_map(|name| Some(name.split_once('/')?.0.into())).collect();
    tasks.dedup();
    let is_finished = folder.join(WEIGHTS_FILE).is_file();
    if !is_finished {
        story.problems.push(format!("{WEIGHTS_FILE} is missing"));
    }
    with_scores(summary(name, folder, kind, tasks, is_finished, bytes_below(folder), story), scores)
}

fn with_scores(run: RunSummary, scores: Scores) -> RunSummary {
    match run.kind {
        Kind::Teacher => RunSummary { teacher: scores, ..run },
        _ => RunSummary { student: scores, ..run },
    }
}

fn summary(
    name: String,
    path: &Path,
    kind: Kind,
    tasks: Vec<String>,
    is_finished: bool,
    bytes: u64,
    story: LogSummary,
) -> RunSummary {
    let process = working(path);
    let state = match (&process, &story.failed) {
        (Some(_), _) => State::Running,
        _ if is_finished => State::Finished,
        (None, Some(_)) => State::Failed,
        (None, None) => State::Interrupted,
    };
    RunSummary {
        name,
        path: path.to_owned(),
        kind,
        tasks,
        state,
        process: process.flatten(),
        error: story.failed.filter(|_| state == State::Failed),
        phase: story.phase,
        done: story.done,
        total: story.total,
        teacher: Scores::default(),
        student: Scores::default(),
        bytes,
        changed_ms: story.last_ms,
        problems: story.problems,
    }
}

fn strings(value: Option<&toml::Value>) -> Vec<String> {
    let values = value.and_then(toml::Value::as_array).into_iter().flatten();
    values.filter_map(toml::Value::as_str).map(ToOwned::to_owned).collect()
}

/// The largest step that has a folder with a manifest.
fn newest_checkpoint(folder: &Path) -> Option<u64> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let whole = entries.filter(|entry| entry.path().join(run_store::checkpoint::MANIFEST).is_file());
    whole.filter_map(|entry| entry.file_name().to_str()?.strip_prefix("step-")?.parse().ok()).max()
}
