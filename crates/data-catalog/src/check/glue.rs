//! Files of GLUE tasks, through the task's own reader.

use std::path::Path;

use glue_squad::task::{Label, Split, Task, TaskKind};

use super::{Content, Finding};
use crate::manifest::DataFile;

/// Reads a file as a training would.
pub(super) fn check(task: &str, path: &Path, file: &DataFile) -> Result<Content, glue_squad::Error> {
    let task: Task = task.parse()?;
    let wrong = || glue_squad::Error::Invalid(format!("{task} is not a task of GLUE"));
    let task: TaskKind = task.glue().ok_or_else(wrong)?;
    let split = match file.split.as_deref().unwrap_or_default() {
        "train" => Split::Train,
        name if name.starts_with("dev") => Split::Dev,
        _ => Split::Test,
    };
    let mut content = Content::default();
    let labels = task.task().labels();
    let mut classes = vec![0_u64; labels.len()];
    let (mut rows, mut empty, mut unlabeled) = (0_u64, Vec::new(), 0_u64);
    let mut reader = task.open(path, split)?;
    for example in reader.by_ref() {
        let example = example?;
        rows += 1;
        // Rows are named as a training names them: by their number in the file, from 0.
        let place = format!("row {}", example.id);
        if example.text_a.trim().is_empty() || example.text_b.as_deref().is_some_and(|text| text.trim().is_empty()) {
            empty.push(place.clone());
        }
        match example.label {
            Some(Label::Class(class)) => classes[class] += 1,
            Some(_) => {}
            None => unlabeled += 1,
        }
        content.texts.add(&place, &example.text_a, example.text_b.as_deref());
    }
    content.rows = Some(rows);
    if let Some(first) = reader.skipped().first() {
        let count = reader.skipped().len();
        content.findings.push(Finding::note(format!("{count} torn lines are skipped, the first: line {first}")));
    }
    if unlabeled == 0 {
        if let Some(class) = classes.iter().position(|count| *count == 0)
            && rows > 0
        {
            content.findings.push(Finding::problem(format!("no row has the label `{}`", labels[class])));
        }
        content.classes = classes;
    } else if split != Split::Test {
        content.findings.push(Finding::problem(format!("{unlabeled} rows have no label")));
    }
    if let Some(first) = empty.first() {
        content.findings.push(Finding::note(format!("{} rows have an empty text, the first: {first}", empty.len())));
    }
    Ok(content)
}
