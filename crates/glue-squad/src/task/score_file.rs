//! Scores of prediction files, without a model.

use std::path::{Path, PathBuf};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{Average, EIGHT_COLUMNS, Label, NINE_COLUMNS, Predictions, SEVEN_COLUMNS, Scores, Split, Task, TaskKind};
use crate::error::{Error, Result};
use crate::submission;

/// The scores of a prediction file. Serialized as a map: the task's metrics in their order, then `examples`.
#[derive(Debug, Clone, PartialEq)]
pub struct FileScores {
    /// The task.
    pub task: Task,
    /// The file with the gold labels.
    pub data: PathBuf,
    /// The file with the answers.
    pub predictions: PathBuf,
    /// How many examples were scored.
    pub examples: usize,
    /// The task's metrics.
    pub scores: Scores,
    /// The answers, and the right ones.
    pub answers: (Predictions, Vec<Label>),
}

/// The scores of a folder of prediction files. Serialized as one map per task by name, what was not scored and why, and the averages.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FolderScores {
    /// What was scored, in the order of [`TaskKind::ALL`].
    #[serde(serialize_with = "by_task")]
    pub tasks: Vec<FileScores>,
    /// What was not, and why.
    #[serde(serialize_with = "reasons")]
    pub unscored: Vec<(TaskKind, String)>,
    /// The averages in use, each with its columns.
    pub averages: Vec<Average>,
}

/// Scores an official prediction file against the labels of a data file in any of the layouts.
///
/// # Errors
/// Either file is damaged, the data have no labels, or the predictions are more or fewer.
pub fn score_file(task: &Task, data: &Path, predictions: &Path) -> Result<FileScores> {
    let mut gold = Vec::new();
    for example in task.open(data, Split::Dev)? {
        gold.extend(example?.label);
    }
    score(task, data, &gold, predictions)
}

fn score(task: &Task, data: &Path, gold: &[Label], predictions: &Path) -> Result<FileScores> {
    let answers = submission::read(task, predictions)?;
    if answers.len() != gold.len() {
        return Err(Error::Invalid(format!(
            "{}: {} predictions for the {} rows of {}; one is needed for every row, in its order",
            predictions.display(),
            answers.len(),
            gold.len(),
            data.display()
        )));
    }
    let scores = task.score(&answers, gold)?;
    Ok(FileScores {
        task: task.clone(),
        data: data.to_owned(),
        predictions: predictions.to_owned(),
        examples: gold.len(),
        scores,
        answers: (answers, gold.to_owned()),
    })
}

/// Scores every official prediction file of a folder ([`submission::file_name`]) against the development sets of a GLUE folder,
/// AX against its labeled set where that is there.
///
/// # Errors
/// No prediction file at all, or as [`score_file`].
pub fn score_folder(glue: &Path, predictions: &Path) -> Result<FolderScores> {
    let (mut tasks, mut unscored) = (Vec::new(), Vec::new());
    for task in TaskKind::ALL {
        let name = submission::file_name(task);
        let answers = predictions.join(&name);
        if !answers.is_file() {
            unscored.push((task, format!("no {name}")));
            continue;
        }
        let split = if task.official_rows(Split::Dev).is_some() { Split::Dev } else { Split::Test };
        let data = task.read_split(glue, split)?;
        let gold: Vec<Label> = data.examples.iter().filter_map(|example| example.label.clone()).collect();
        if gold.is_empty() {
            unscored.push((task, format!("{} has no labels", data.path.display())));
            continue;
        }
        tasks.push(score(task.task(), &data.path, &gold, &answers)?);
    }
    if tasks.is_empty() {
        return Err(Error::FileMissing {
            folder: predictions.to_owned(),
            wanted: "a prediction file with an official name, such as SST-2.tsv or MNLI-mm.tsv,".to_owned(),
            found: crate::error::folder_listing(predictions),
        });
    }
    let of = |task: TaskKind| {
        tasks.iter().find(|scored: &&FileScores| scored.task == *task.task()).map(|scored| &scored.scores)
    };
    let averages =
        [&NINE_COLUMNS[..], &EIGHT_COLUMNS, &SEVEN_COLUMNS].map(|columns| Average::over(columns, of)).to_vec();
    Ok(FolderScores { tasks, unscored, averages })
}

impl FileScores {
    /// Names and values in their order, without `examples`.
    pub fn metrics(&self) -> impl Iterator<Item = (&str, f64)> {
        self.scores.values.iter().map(|score| (score.name.as_str(), score.value))
    }
}

impl Serialize for FileScores {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.metrics() {
            map.serialize_entry(name, &value)?;
        }
        map.serialize_entry("examples", &self.examples)?;
        map.end()
    }
}

fn by_task<S: Serializer>(tasks: &[FileScores], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_map(tasks.iter().map(|scored| (scored.task.name(), scored)))
}

fn reasons<S: Serializer>(unscored: &[(TaskKind, String)], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_map(unscored.iter().map(|(task, reason)| (task.name(), reason)))
}
