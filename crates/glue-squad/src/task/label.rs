//! Labels as the layouts write them.

use std::path::Path;

use super::{Head, Label, TaskKind};
use crate::error::{Error, Result, excerpt};

/// The largest STS-B score.
pub(crate) const MAX_SIMILARITY: f64 = 5.0;

/// Reads a label as it stands in a TSV data or prediction file.
pub(crate) fn parse_label(task: TaskKind, given: &str, field: &'static str, path: &Path, line: u64) -> Result<Label> {
    from_text(task, given).ok_or_else(|| Error::WrongField {
        path: path.to_owned(),
        line,
        field,
        given: excerpt(given),
        allowed: allowed(task),
    })
}

/// What [`from_text`] accepts, for messages.
pub(super) fn allowed(task: TaskKind) -> String {
    match task.head() {
        Head::Classification { .. } => task.labels().join(", "),
        Head::Regression => "a number from 0 to 5".to_owned(),
    }
}

/// A label as TSV files have it; `None` if it is none.
pub(super) fn from_text(task: TaskKind, given: &str) -> Option<Label> {
    match task.head() {
        Head::Classification { .. } => task.labels().iter().position(|name| *name == given).map(Label::Class),
        Head::Regression => from_score(given.trim().parse().ok()?),
    }
}

/// A class word of the hub, or a label as TSV files have it.
pub(super) fn from_word(task: TaskKind, given: &str) -> Option<Label> {
    let word = task.class_words().iter().position(|name| *name == given).map(Label::Class);
    word.or_else(|| from_text(task, given))
}

/// A class number, or a score that happens to be whole.
pub(super) fn from_number(task: TaskKind, given: f64) -> Option<Label> {
    match task.head() {
        Head::Classification { classes } => {
            let class = (0..classes).find(|class| *class as f64 == given)?;
            Some(Label::Class(class))
        }
        Head::Regression => from_score(given),
    }
}

fn from_score(score: f64) -> Option<Label> {
    (0.0..=MAX_SIMILARITY).contains(&score).then_some(Label::Score(score))
}
