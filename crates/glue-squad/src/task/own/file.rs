//! The description of a task of one's own.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use table_rows::{Format, Layout};

use super::class_weights::ClassWeights;
use crate::error::{Error, Result, excerpt};
use crate::metrics::Metric;
use crate::task::{Answer, LabelSet, Scale, Split, Task, TaskSpec};

/// What is asked of an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One of several classes.
    Class,
    /// Any number of labels.
    Labels,
    /// A number.
    Number,
    /// A tag for each word.
    Tags,
    /// How alike two texts are, as a number; learned by a vector for each text.
    Similarity,
    /// Which text answers a text; learned by a vector for each. There are no labels.
    Retrieval,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Class, Self::Labels, Self::Number, Self::Tags, Self::Similarity, Self::Retrieval];

    /// The name in options and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Class => "class",
            Self::Labels => "labels",
            Self::Number => "number",
            Self::Tags => "tags",
            Self::Similarity => "similarity",
            Self::Retrieval => "retrieval",
        }
    }
}

/// The description of a task of one's own: a TOML file, or a table in a recipe. What is left open is found in the training file, see
/// [`OwnTask::described`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnTask {
    /// The name in commands, models and reports.
    pub name: String,
    /// The column of the text, or both columns of a pair; of [`Kind::Tags`] that of the words. CoNLL files have numbered columns, the first is
    /// that of the words unless another is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub text: Vec<String>,
    /// The column of the label; of [`Kind::Labels`] also one column of 0 and 1 for each label; of CoNLL files the last
    /// one unless another is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub label: Vec<String>,
    /// The training file, relative to the description's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<PathBuf>,
    /// The file to evaluate on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dev: Option<PathBuf>,
    /// The file to predict, which may lack labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// The part of the training rows to evaluate on, where there is no dev file.
    #[serde(default = "tenth")]
    pub dev_part: f64,
    /// Decides which rows these are.
    #[serde(default = "usual_seed")]
    pub dev_seed: u64,
    /// The format of all files; `None`: as their names say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// What separates the fields of a CSV file; `None`: a comma.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<char>,
    /// What separates several labels in one cell.
    #[serde(default = "comma")]
    pub label_separator: String,
    /// The metrics; empty: the usual ones of the kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "metric_names")]
    pub metrics: Vec<Metric>,
    /// What is asked; `None`: found in the training file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// The names of classes or labels, in the order of the head; empty: found in the training file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// How much an example of each class counts in training; `None`: all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<ClassWeights>,
    /// Of a regression; `None`: found in the training file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<Scale>,
}

/// The part of the training rows to evaluate on, where nothing says which.
fn tenth() -> f64 {
    0.1
}

fn usual_seed() -> u64 {
    42
}

fn comma() -> String {
    ",".to_owned()
}

/// A described task's file and the folder that its paths start from.
#[derive(Clone, Debug)]
pub(in crate::task) struct Home {
    pub own: OwnTask,
    pub folder: PathBuf,
}

impl OwnTask {
    /// A description of nothing but names and columns.
    pub fn new(name: &str, text: &[&str], label: &[&str]) -> Self {
        let names = |given: &[&str]| given.iter().map(|name| (*name).to_owned()).collect();
        Self {
            name: name.to_owned(),
            text: names(text),
            label: names(label),
            train: None,
            dev: None,
            test: None,
            dev_part: tenth(),
            dev_seed: usual_seed(),
            format: None,
            separator: None,
            label_separator: comma(),
            metrics: Vec::new(),
            kind: None,
            classes: Vec::new(),
            class_weights: None,
            scale: None,
        }
    }

    /// Reads a TOML file.
    ///
    /// # Errors
    /// The file cannot be read or is no description.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
        let refuse =
            |reason: String| Error::Invalid(format!("{}: is no description of a task: {reason}", path.display()));
        let own: Self = toml::from_str(&text).map_err(|e| refuse(e.to_string()))?;
        own.check().map_err(|e| refuse(e.to_string()))?;
        Ok(own)
    }

    /// The text of a TOML file.
    ///
    /// # Errors
    /// Paths that are no UTF-8.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::Invalid(format!("task `{}`: {e}", excerpt(&self.name))))
    }

    /// The same description without its files: what decides a result beside the files' content.
    #[must_use]
    pub fn without_files(&self) -> Self {
        Self { train: None, dev: None, test: None, ..self.clone() }
    }

    /// The same description, whose paths start from `to` in place of `from`: relative where a file is below it, else absolute.
    #[must_use]
    pub fn seen_from(&self, from: &Path, to: &Path) -> Self {
        let moved = |path: &Option<PathBuf>| {
            path.as_ref().map(|path| {
                let whole = from.join(path);
                whole.strip_prefix(to).map_or_else(|_| whole.clone(), Path::to_owned)
            })
        };
        Self { train: moved(&self.train), dev: moved(&self.dev), test: moved(&self.test), ..self.clone() }
    }

    /// Whether nothing is left to be found in the training file.
    pub fn is_complete(&self) -> bool {
        match self.kind {
            Some(Kind::Number) => self.scale.is_some(),
            Some(Kind::Class | Kind::Labels) => {
                !self.classes.is_empty() && !matches!(self.class_weights, Some(ClassWeights::Named(_)))
            }
            Some(Kind::Similarity | Kind::Retrieval) => true,
            Some(Kind::Tags) => !self.classes.is_empty() && !self.text.is_empty() && !self.label.is_empty(),
            None => false,
        }
    }

    /// Whether it is learned by a vector for each text.
    pub fn makes_vectors(&self) -> bool {
        matches!(self.kind, Some(Kind::Similarity | Kind::Retrieval))
    }

    /// How its files hold their tables.
    pub fn layout(&self) -> Layout {
        Layout { format: self.format, separator: self.separator.and_then(|c| Layout::separator_of(c).ok()) }
    }

    /// The file of a split, relative to the description's folder.
    pub(super) fn file(&self, split: Split) -> Option<&Path> {
        match split {
            Split::Train => self.train.as_deref(),
            Split::Dev => self.dev.as_deref().or(self.train.as_deref()),
            Split::Test => self.test.as_deref(),
        }
    }

    /// The files that it names.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        [&self.train, &self.dev, &self.test].into_iter().flatten().map(PathBuf::as_path)
    }

    pub(super) fn check(&self) -> Result<()> {
        let refuse = |reason: String| Err(Error::Invalid(format!("task `{}`: {reason}", excerpt(&self.name))));
        if !(0.0..=0.5).contains(&self.dev_part) || (self.dev_part == 0.0 && self.dev.is_none()) {
            return refuse(format!("dev_part {}: must be above 0 and at most 0.5", self.dev_part));
        }
        if let Some(Err(reason)) = self.separator.map(Layout::separator_of) {
            return refuse(format!("separator: {reason}"));
        }
        if self.is_conll() {
            if !matches!(self.kind, None | Some(Kind::Tags)) {
                return refuse("files with a word on each line have tags; another kind was given".to_owned());
            }
            if self.text.len() > 1 || self.label.len() > 1 {
                return refuse("words and tags have one column each".to_owned());
            }
        } else if self.text.is_empty() {
            return refuse("`text`, the column of the text, is missing".to_owned());
        } else if self.kind == Some(Kind::Retrieval) {
            if !self.label.is_empty() {
                return refuse("retrieval has no labels: the second text answers the first".to_owned());
            }
        } else if self.label.is_empty() {
            return refuse("the column of the label is missing".to_owned());
        }
        if matches!(self.kind, Some(Kind::Similarity | Kind::Retrieval)) && self.text.len() != 2 {
            let given = self.text.len();
            return refuse(format!("{given} columns of text; two texts are compared, so two are needed"));
        }
        if self.kind == Some(Kind::Tags) && (self.text.len() > 1 || self.label.len() > 1) {
            return refuse("words and tags have one column each".to_owned());
        }
        if self.label_separator.is_empty() {
            return refuse("label_separator is empty".to_owned());
        }
        if self.label.len() > 1 && !matches!(self.kind, None | Some(Kind::Labels)) {
            return refuse(format!("{} columns of labels; only the kind `labels` has several", self.label.len()));
        }
        if self.label.len() > 1 && !self.classes.is_empty() && self.classes != self.label {
            return refuse("`classes` are not the columns of the labels".to_owned());
        }
        if let Some(weights) = &self.class_weights {
            if !matches!(self.kind, None | Some(Kind::Class)) {
                return refuse("class_weights go with the kind `class`".to_owned());
            }
            if let Some(fault) = weights.fault(self.classes.len()) {
                return refuse(fault);
            }
        }
        match self.label.iter().find(|label| self.text.contains(label)) {
            Some(both) => refuse(format!("the column `{}` is text and label", excerpt(both))),
            None => Ok(()),
        }
    }

    /// The task, whose paths start from `folder`.
    ///
    /// # Errors
    /// A description that contradicts itself, or that leaves open what is asked.
    pub fn task(self, folder: &Path) -> Result<Task> {
        self.check()?;
        if self.kind == Some(Kind::Labels) && self.classes.len() > LabelSet::MOST {
            let (name, count, most) = (excerpt(&self.name), self.classes.len(), LabelSet::MOST);
            return Err(Error::Invalid(format!("task `{name}`: {count} labels; at most {most} can be learned")));
        }
        let open = || Error::Invalid(format!("task `{}`: what is asked is not said", excerpt(&self.name)));
        let answer = match self.kind.ok_or_else(open)? {
            Kind::Class => Answer::Class(self.classes.iter().map(|name| name.as_str().into()).collect()),
            Kind::Labels => Answer::Labels(self.classes.iter().map(|name| name.as_str().into()).collect()),
            Kind::Tags => Answer::Tags(self.classes.iter().map(|name| name.as_str().into()).collect()),
            Kind::Similarity => Answer::Similarity,
            Kind::Retrieval => Answer::Retrieval,
            // Of scaled labels, and a dev set may go beyond the training set.
            Kind::Number => Answer::Number(f64::NEG_INFINITY..=f64::INFINITY),
        };
        if self.kind == Some(Kind::Number) {
            let scale = self.scale.ok_or_else(open)?;
            if !(scale.mean.is_finite() && scale.deviation.is_finite() && scale.deviation > 0.0) {
                return Err(Error::Invalid(format!("task `{}`: {scale:?} is no scale", excerpt(&self.name))));
            }
        }
        let texts: Vec<&str> = self.text.iter().map(String::as_str).collect();
        let mut spec = TaskSpec::new(&self.name, &texts, answer);
        if !self.metrics.is_empty() {
            spec.metrics.clone_from(&self.metrics);
            spec.headline = spec.headline.filter(|metric| self.metrics.contains(metric));
        }
        let splits = [Split::Train, Split::Dev, Split::Test];
        let there: Vec<Split> = splits.into_iter().filter(|&split| self.file(split).is_some()).collect();
        if !there.is_empty() {
            spec.splits = there;
        }
        Task::own(spec, Home { own: self, folder: folder.to_owned() })
    }
}

/// Metrics by their names.
mod metric_names {
    use super::{Deserialize, Deserializer, Metric, Serialize, Serializer};

    pub fn serialize<S: Serializer>(metrics: &[Metric], serializer: S) -> Result<S::Ok, S::Error> {
        metrics.iter().map(|metric| metric.name()).collect::<Vec<_>>().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Metric>, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        names.iter().map(|name| name.parse().map_err(serde::de::Error::custom)).collect()
    }
}
