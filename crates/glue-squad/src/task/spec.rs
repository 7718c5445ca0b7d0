//! What a task is, as data: everything that training, scoring and reports need to know of one.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::table::TABLE;
use super::{Label, Split, TaskKind};
use crate::error::{Error, Result, excerpt};
use crate::metrics::Metric;
use crate::squad::SquadVersion;

/// The description of a task.
///
/// The tasks of GLUE and SQuAD are built in ([`Task::built_in`]); a task of one's own is described by hand and made with
/// [`Task::new`]:
///
/// ```
/// use glue_squad::task::{Answer, Task, TaskSpec};
///
/// let answer = Answer::Class(["world", "sports", "science"].map(Into::into).to_vec());
/// let topic = Task::new(TaskSpec::new("topic", &["text"], answer))?;
/// assert_eq!((topic.name(), topic.labels().len(), topic.best_metric()), ("topic", 3, "accuracy".to_owned()));
/// # Ok::<(), glue_squad::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct TaskSpec {
    /// The name in commands, recipes, model configurations and reports.
    pub name: String,
    /// The name in result tables.
    pub title: String,
    /// The folder of its files in a folder of data sets.
    pub folder: String,
    /// Other names that are understood; case, `-` and `_` do not count.
    pub aliases: Vec<String>,
    /// The names of its text columns: one or two.
    pub texts: Vec<String>,
    /// What is asked.
    pub answer: Answer,
    /// What answers are scored by, in the order of reports.
    pub metrics: Vec<Metric>,
    /// The metric by which checkpoints and candidates are chosen; `None`: the mean of all.
    pub headline: Option<Metric>,
    /// The parts that the data set has.
    pub splits: Vec<Split>,
    /// The task whose training set and head serve this one too; `None`: its own do.
    pub trained_as: Option<Task>,
}

/// What a task asks of an example.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// One of these classes, in the order of their indices.
    Class(Vec<ClassName>),
    /// Any number of these labels. Can be described, but not trained or scored so far.
    Labels(Vec<ClassName>),
    /// A number in this range.
    Number(RangeInclusive<f64>),
    /// A span of the second text.
    Span,
}

/// The names of a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassName {
    /// As data files, predictions and model configurations write it.
    pub name: String,
    /// As people read it: the same, or a word where files have numbers.
    pub word: String,
    /// What the heads of other programs call it, in small letters without punctuation.
    pub spellings: Vec<String>,
}

impl From<&str> for ClassName {
    /// A class that has one name everywhere.
    fn from(name: &str) -> Self {
        Self { name: name.to_owned(), word: name.to_owned(), spellings: Vec::new() }
    }
}

/// What a model puts on top of the encoder for a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// One logit per class, of which one is right.
    Classification {
        /// How many classes.
        classes: usize,
    },
    /// One logit per label, each right or wrong for itself.
    MultiLabel {
        /// How many labels.
        labels: usize,
    },
    /// One real number.
    Regression,
    /// A start and an end score for every token.
    Spans,
}

impl Head {
    /// The width of the output layer.
    pub fn outputs(self) -> usize {
        match self {
            Self::Classification { classes: outputs } | Self::MultiLabel { labels: outputs } => outputs,
            Self::Regression => 1,
            Self::Spans => 2,
        }
    }
}

impl TaskSpec {
    /// A task whose title and folder are its name, with the usual metrics of its kind: accuracy; Pearson and Spearman correlation;
    /// exact match and F1 of spans.
    pub fn new(name: &str, texts: &[&str], answer: Answer) -> Self {
        let metrics = match &answer {
            Answer::Class(_) | Answer::Labels(_) => vec![Metric::Accuracy],
            Answer::Number(_) => vec![Metric::Pearson, Metric::Spearman],
            Answer::Span => vec![Metric::Exact, Metric::F1],
        };
        Self {
            name: name.to_owned(),
            title: name.to_owned(),
            folder: name.to_owned(),
            aliases: Vec::new(),
            texts: texts.iter().map(|text| (*text).to_owned()).collect(),
            answer,
            metrics,
            headline: None,
            splits: vec![Split::Train, Split::Dev, Split::Test],
            trained_as: None,
        }
    }

    fn classes(&self) -> &[ClassName] {
        match &self.answer {
            Answer::Class(classes) | Answer::Labels(classes) => classes,
            Answer::Number(_) | Answer::Span => &[],
        }
    }

    fn check(&self) -> Result<()> {
        let name = &self.name;
        let refuse = |reason: String| Err(Error::Invalid(format!("task `{}`: {reason}", excerpt(name))));
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(is_plain) {
            return refuse(
                "a name is made of letters, digits, `-`, `_` and `.`, and begins with a letter or digit".into(),
            );
        }
        let texts = self.texts.len();
        if !matches!(
            (&self.answer, texts),
            (Answer::Span, 2) | (Answer::Class(_) | Answer::Labels(_) | Answer::Number(_), 1 | 2)
        ) {
            return refuse(format!("{texts} text columns; one or two are needed, and two where a span is asked for"));
        }
        if let Some(twice) = repeated(self.texts.iter().map(String::as_str)) {
            return refuse(format!("two text columns are called `{}`", excerpt(twice)));
        }
        let classes = self.classes();
        if let Some(twice) = repeated(classes.iter().map(|class| class.name.as_str())) {
            return refuse(format!("two classes are called `{}`", excerpt(twice)));
        }
        if classes.iter().any(|class| class.name.trim().is_empty()) {
            return refuse("a class has no name".into());
        }
        match &self.answer {
            Answer::Class(classes) if classes.len() < 2 => {
                return refuse(format!("{} classes; at least two are needed", classes.len()));
            }
            Answer::Labels(labels) if labels.is_empty() => return refuse("there are no labels".into()),
            Answer::Number(range) if range.start().partial_cmp(range.end()) != Some(Ordering::Less) => {
                return refuse(format!("no number lies between {} and {}", range.start(), range.end()));
            }
            _ => {}
        }
        if self.metrics.is_empty() || self.splits.is_empty() {
            return refuse("at least one metric and one split are needed".into());
        }
        for metric in &self.metrics {
            let fits = match (&self.answer, metric) {
                (Answer::Class(classes), Metric::F1) if classes.len() != 2 => {
                    return refuse(format!("f1 is that of the second of two classes; there are {}", classes.len()));
                }
                (Answer::Class(_), Metric::Accuracy | Metric::F1 | Metric::Matthews) => true,
                (Answer::Labels(_), Metric::Accuracy | Metric::F1) => true,
                (Answer::Number(_), Metric::Pearson | Metric::Spearman) => true,
                (Answer::Span, Metric::Exact | Metric::F1) => true,
                _ => false,
            };
            if !fits {
                return refuse(format!("the metric `{metric}` does not fit what is asked"));
            }
        }
        if let Some(twice) = repeated(self.metrics.iter().map(|metric| metric.name())) {
            return refuse(format!("the metric `{twice}` comes twice"));
        }
        if self.headline.is_some_and(|metric| !self.metrics.contains(&metric)) {
            return refuse("the metric that decides is none of its metrics".into());
        }
        if let Some(other) = &self.trained_as
            && other.head() != head(&self.answer)
        {
            return refuse(format!("cannot be answered by the head of {other}, which is another one"));
        }
        Ok(())
    }
}

fn repeated<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    names.clone().enumerate().find(|(at, name)| names.clone().take(*at).any(|before| before == *name)).map(|(_, n)| n)
}

fn head(answer: &Answer) -> Head {
    match answer {
        Answer::Class(classes) => Head::Classification { classes: classes.len() },
        Answer::Labels(labels) => Head::MultiLabel { labels: labels.len() },
        Answer::Number(_) => Head::Regression,
        Answer::Span => Head::Spans,
    }
}

/// A checked [`TaskSpec`]; clones share it. Two tasks are equal if they have one name. Written and read as the name.
#[derive(Clone)]
pub struct Task(Arc<Inner>);

struct Inner {
    spec: TaskSpec,
    format: Format,
}

/// Whose files the task has.
#[derive(Clone, Copy)]
enum Format {
    Glue(TaskKind),
    Squad(SquadVersion),
    /// None that this crate reads: its examples come from memory.
    Own,
}

/// GLUE's tasks in the order of [`TaskKind::ALL`], then both versions of SQuAD.
static BUILT_IN: LazyLock<Vec<Task>> = LazyLock::new(|| {
    let mut tasks: Vec<Task> = Vec::new();
    for entry in &TABLE {
        let trained_as = entry.trained_as.and_then(|kind| tasks.iter().find(|task| task.glue() == Some(kind)).cloned());
        tasks.push(Task(Arc::new(Inner { spec: entry.spec(trained_as), format: Format::Glue(entry.kind) })));
    }
    let squad = |version: SquadVersion| Task(Arc::new(Inner { spec: version.spec(), format: Format::Squad(version) }));
    tasks.extend(SquadVersion::ALL.map(squad));
    tasks
});

impl Task {
    /// A task of one's own.
    ///
    /// # Errors
    /// A description that contradicts itself, or the name of a task that is built in.
    pub fn new(spec: TaskSpec) -> Result<Self> {
        spec.check()?;
        if let Some(known) = BUILT_IN.iter().find(|task| task.is_called(&spec.name)) {
            return Err(Error::Invalid(format!("task `{}`: {known} is built in; choose another name", spec.name)));
        }
        Ok(Self(Arc::new(Inner { spec, format: Format::Own })))
    }

    /// The tasks that are built in: what GLUE scores, in the order of its tables, then SQuAD v1.1 and v2.0.
    pub fn built_in() -> &'static [Self] {
        &BUILT_IN
    }

    /// The description.
    pub fn spec(&self) -> &TaskSpec {
        &self.0.spec
    }

    /// Which of GLUE's tasks it is, whose files and official predictions it has.
    pub fn glue(&self) -> Option<TaskKind> {
        if let Format::Glue(kind) = self.0.format { Some(kind) } else { None }
    }

    /// Which SQuAD it is, whose files and official predictions it has.
    pub fn squad(&self) -> Option<SquadVersion> {
        if let Format::Squad(version) = self.0.format { Some(version) } else { None }
    }

    /// The name in commands, recipes, model configurations and reports.
    pub fn name(&self) -> &str {
        &self.spec().name
    }

    /// The name in result tables.
    pub fn title(&self) -> &str {
        &self.spec().title
    }

    /// The folder of its files in a folder of data sets.
    pub fn folder(&self) -> &str {
        &self.spec().folder
    }

    /// Whether this is what `given` names, in any spelling.
    pub fn is_called(&self, given: &str) -> bool {
        if let Format::Squad(version) = self.0.format {
            return given.parse().is_ok_and(|named: SquadVersion| named == version);
        }
        let given = plain_name(given);
        plain_name(self.name()) == given || self.spec().aliases.iter().any(|alias| plain_name(alias) == given)
    }

    /// The task whose training set and head serve this one: MNLI for MNLI-mm and AX, most often the task itself.
    pub fn trained_as(&self) -> &Self {
        self.spec().trained_as.as_ref().unwrap_or(self)
    }

    /// The names of the classes as data files write them, in the order of their indices; empty where a number or span is asked for.
    pub fn labels(&self) -> Vec<&str> {
        self.classes().iter().map(|class| class.name.as_str()).collect()
    }

    /// The names of the classes as people read them, in the same order.
    pub fn class_words(&self) -> Vec<&str> {
        self.classes().iter().map(|class| class.word.as_str()).collect()
    }

    pub(super) fn classes(&self) -> &[ClassName] {
        self.spec().classes()
    }

    /// The numbers that are asked for, of a regression.
    pub fn range(&self) -> Option<&RangeInclusive<f64>> {
        if let Answer::Number(range) = &self.spec().answer { Some(range) } else { None }
    }

    /// The output layer of the task.
    pub fn head(&self) -> Head {
        head(&self.spec().answer)
    }

    /// Whether an example is a pair of texts.
    pub fn is_pair(&self) -> bool {
        self.spec().texts.len() == 2
    }

    /// The names of its metrics.
    pub fn metric_names(&self) -> Vec<&'static str> {
        self.spec().metrics.iter().map(|metric| metric.name()).collect()
    }

    /// What [`super::Scores::primary`] is: `accuracy`, `matthews`, `mean of accuracy and f1`.
    pub fn best_metric(&self) -> String {
        match (self.spec().headline, &self.spec().metrics[..]) {
            (Some(metric), _) | (None, &[metric]) => metric.name().to_owned(),
            (None, _) => format!("mean of {}", self.metric_names().join(" and ")),
        }
    }

    /// Whether examples with one label each train and score it, as classes and numbers do.
    ///
    /// # Errors
    /// They do not; the message says what would.
    pub fn check_trainable(&self) -> Result<()> {
        match self.head() {
            Head::Classification { .. } | Head::Regression => Ok(()),
            Head::MultiLabel { .. } => Err(Error::Invalid(format!(
                "{self}: a task with any number of labels per example cannot be trained or scored yet"
            ))),
            Head::Spans => Err(Error::Invalid(format!("{self}: spans are trained and scored on windows of the text"))),
        }
    }

    /// Whether the labels of examples are of this task.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check_labels<'a>(&self, labels: impl IntoIterator<Item = &'a Label>) -> Result<()> {
        let fits = |label: &&Label| match (label, self.head()) {
            (Label::Class(class), Head::Classification { classes }) => *class < classes,
            (Label::Score(score), Head::Regression) => score.is_finite(),
            _ => false,
        };
        match labels.into_iter().find(|label| !fits(label)) {
            Some(label) => Err(Error::Invalid(format!("{self}: {label:?} is no label of this task"))),
            None => Ok(()),
        }
    }
}

/// A name without what writers of names differ in: case, `-` and `_`.
pub(super) fn plain_name(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '-' | '_')).collect::<String>().to_ascii_lowercase()
}

impl TaskKind {
    /// The task, as everything takes it that is not about GLUE's files.
    pub fn task(self) -> &'static Task {
        &BUILT_IN[self as usize]
    }
}

impl SquadVersion {
    /// The task, as everything takes it that is not about SQuAD's files.
    pub fn task(self) -> &'static Task {
        &BUILT_IN[TABLE.len() + self as usize]
    }

    fn spec(self) -> TaskSpec {
        let title = if self == Self::V1 { "SQuAD v1.1" } else { "SQuAD v2.0" };
        TaskSpec {
            title: title.to_owned(),
            folder: "squad".to_owned(),
            splits: vec![Split::Train, Split::Dev],
            ..TaskSpec::new(self.name(), &["question", "context"], Answer::Span)
        }
    }
}

impl From<TaskKind> for Task {
    fn from(kind: TaskKind) -> Self {
        kind.task().clone()
    }
}

impl From<SquadVersion> for Task {
    fn from(version: SquadVersion) -> Self {
        version.task().clone()
    }
}

impl From<&Task> for Task {
    fn from(task: &Task) -> Self {
        task.clone()
    }
}

impl PartialEq for Task {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Task {}

impl PartialOrd for Task {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Task {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name().cmp(other.name())
    }
}

impl Hash for Task {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task({})", self.name())
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Task {
    type Err = Error;

    /// A task that is built in, by any of its names.
    fn from_str(given: &str) -> Result<Self> {
        let found = BUILT_IN.iter().find(|task| task.is_called(given));
        found.cloned().ok_or_else(|| {
            let known = BUILT_IN.iter().map(Self::name).collect::<Vec<_>>().join(", ");
            Error::UnknownTask { given: excerpt(given), known }
        })
    }
}

impl Serialize for Task {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Task {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic() -> TaskSpec {
        TaskSpec::new("topic", &["text"], Answer::Class(["world", "sports", "science"].map(Into::into).to_vec()))
    }

    #[test]
    fn every_task_that_is_built_in_has_a_sound_description_and_is_found_by_its_names() {
        assert_eq!(Task::built_in().len(), 13);
        for task in Task::built_in() {
            task.spec().check().unwrap();
            for name in [task.name(), &task.name().to_uppercase().replace('-', "_")] {
                assert_eq!(name.parse::<Task>().unwrap().name(), task.name());
            }
            assert_eq!(task.head(), task.trained_as().head(), "{task}: the head of {} answers it", task.trained_as());
            let json = serde_json::to_string(task).unwrap();
            assert_eq!(
                (json.as_str(), serde_json::from_str::<Task>(&json).unwrap().name()),
                (&*format!("\"{task}\""), task.name())
            );
        }
        for kind in TaskKind::ALL {
            assert_eq!((kind.task().glue(), kind.task().name()), (Some(kind), kind.name()));
        }
        for version in SquadVersion::ALL {
            assert_eq!((version.task().squad(), version.task().name()), (Some(version), version.name()));
        }
        let message = "squadd".parse::<Task>().unwrap_err().to_string();
        assert!(
            message.contains("`squadd`") && message.contains("sst-2, mrpc") && message.contains("squad-v2"),
            "{message}"
        );
    }

    #[test]
    fn heads_follow_from_what_is_asked() {
        assert_eq!(TaskKind::Mnli.task().head(), Head::Classification { classes: 3 });
        assert_eq!(TaskKind::Stsb.task().head().outputs(), 1);
        assert_eq!(SquadVersion::V1.task().head(), Head::Spans);
        assert!(TaskKind::Rte.task().is_pair() && !TaskKind::Cola.task().is_pair());
        assert_eq!(TaskKind::Mrpc.task().best_metric(), "mean of accuracy and f1");
        assert_eq!(TaskKind::Ax.task().best_metric(), "matthews");
    }

    #[test]
    fn a_description_that_contradicts_itself_is_refused() {
        assert!(Task::new(topic()).is_ok());
        let classes = |names: &[&str]| Answer::Class(names.iter().map(|name| (*name).into()).collect());
        for (spec, part) in [
            (TaskSpec { name: "my task".into(), ..topic() }, "letters, digits"),
            (TaskSpec { name: "../up".into(), ..topic() }, "letters, digits"),
            (TaskSpec { name: "SST2".into(), ..topic() }, "sst-2 is built in"),
            (TaskSpec { texts: Vec::new(), ..topic() }, "0 text columns"),
            (TaskSpec { texts: vec!["a".into(), "a".into()], ..topic() }, "called `a`"),
            (TaskSpec { answer: classes(&["one"]), ..topic() }, "at least two"),
            (TaskSpec { answer: classes(&["one", "one"]), ..topic() }, "two classes are called `one`"),
            (TaskSpec { answer: classes(&["one", " "]), ..topic() }, "no name"),
            (TaskSpec { answer: Answer::Number(1.0..=1.0), ..topic() }, "no number lies between 1 and 1"),
            (TaskSpec { answer: Answer::Span, ..topic() }, "1 text columns"),
            (TaskSpec { metrics: vec![Metric::F1], ..topic() }, "there are 3"),
            (TaskSpec { metrics: vec![Metric::Pearson], ..topic() }, "`pearson` does not fit"),
            (TaskSpec { metrics: vec![Metric::Accuracy; 2], ..topic() }, "comes twice"),
            (TaskSpec { headline: Some(Metric::Matthews), ..topic() }, "none of its metrics"),
            (TaskSpec { splits: Vec::new(), ..topic() }, "one split"),
            (TaskSpec { trained_as: Some(TaskKind::Rte.into()), ..topic() }, "the head of rte"),
        ] {
            let message = Task::new(spec).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn what_cannot_be_trained_is_said_and_labels_of_another_task_are_refused() {
        let labels = Answer::Labels(["a", "b"].map(Into::into).to_vec());
        let tags = Task::new(TaskSpec::new("tags", &["text"], labels)).unwrap();
        assert!(tags.check_trainable().unwrap_err().to_string().contains("cannot be trained or scored yet"));
        assert!(SquadVersion::V1.task().check_trainable().unwrap_err().to_string().contains("windows"));
        let topic = Task::new(topic()).unwrap();
        topic.check_trainable().unwrap();
        topic.check_labels(&[Label::Class(2), Label::Class(0)]).unwrap();
        for wrong in [Label::Class(3), Label::Score(1.0)] {
            assert!(topic.check_labels(&[wrong]).unwrap_err().to_string().contains("topic: "));
        }
    }
}
