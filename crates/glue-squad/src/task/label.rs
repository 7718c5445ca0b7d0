//! Labels as the layouts write them.

use super::{Head, Label, Split, Task};

/// What stands in a label's place in a data file.
pub(super) enum LabelField {
    /// No label, or -1, which stands for none on the Hugging Face hub.
    Nothing,
    Label(Label),
    Wrong(String),
}

impl LabelField {
    /// A text: a class by its name, word or number, or a score.
    pub fn text(task: &Task, text: &str) -> Self {
        if let Some(label) = from_word(task, text) {
            return Self::Label(label);
        }
        let text = text.trim();
        match text.parse() {
            _ if text.is_empty() => Self::Nothing,
            Ok(number) => match Self::number(task, Some(number)) {
                Self::Wrong(_) => Self::Wrong(text.to_owned()),
                given => given,
            },
            Err(_) => Self::Wrong(text.to_owned()),
        }
    }

    /// The label of a row of `split`; only a test set may have none.
    ///
    /// # Errors
    /// What is there, and what is allowed: `allowed` is said of values that are none.
    pub fn in_split(
        self,
        task: &Task,
        split: Split,
        allowed: fn(&Task) -> String,
    ) -> Result<Option<Label>, [String; 2]> {
        match self {
            Self::Label(label) => Ok(Some(label)),
            Self::Nothing if split == Split::Test => Ok(None),
            Self::Nothing => Err(["nothing or -1".to_owned(), allowed_here(task)]),
            Self::Wrong(given) => Err([given, allowed(task)]),
        }
    }

    /// The number of a class, or a score.
    pub fn number(task: &Task, number: Option<f64>) -> Self {
        match number.map(|number| (number, from_number(task, number))) {
            Some((_, Some(label))) => Self::Label(label),
            Some((-1.0, None)) => Self::Nothing,
            Some((number, None)) => Self::Wrong(number.to_string()),
            None => Self::Wrong("a number out of range".to_owned()),
        }
    }
}

/// The labels of a task as its files write them, for messages.
pub(super) fn allowed(task: &Task) -> String {
    match task.range() {
        Some(range) => format!("a number from {} to {}", range.start(), range.end()),
        None => task.labels().join(", "),
    }
}

/// What [`LabelField`] takes for a label, and where it takes none.
pub(super) fn allowed_here(task: &Task) -> String {
    let labels = match task.labels().len() {
        0 => allowed(task),
        classes => format!("0 to {}, or one of {}", classes - 1, task.class_words().join(", ")),
    };
    format!("{labels}; -1 in a test set only")
}

/// A label as TSV files have it; `None` if it is none.
fn from_text(task: &Task, given: &str) -> Option<Label> {
    match task.range() {
        Some(_) => from_score(task, given.trim().parse().ok()?),
        None => task.classes().iter().position(|class| class.name == given).map(Label::Class),
    }
}

/// A class word of the hub, or a label as TSV files have it.
fn from_word(task: &Task, given: &str) -> Option<Label> {
    let word = task.classes().iter().position(|class| class.word == given).map(Label::Class);
    word.or_else(|| from_text(task, given))
}

/// A class number, or a score that happens to be whole.
fn from_number(task: &Task, given: f64) -> Option<Label> {
    match task.head() {
        Head::Classification { classes } => {
            let class = (0..classes).find(|class| *class as f64 == given)?;
            Some(Label::Class(class))
        }
        Head::Regression => from_score(task, given),
        Head::MultiLabel { .. } | Head::Spans | Head::Tags { .. } | Head::Embedding => None,
    }
}

fn from_score(task: &Task, score: f64) -> Option<Label> {
    task.range().filter(|range| range.contains(&score)).map(|_| Label::Score(score))
}
