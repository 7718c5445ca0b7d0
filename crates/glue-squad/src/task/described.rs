//! A described task as everything takes it, and those that are built in.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::RangeInclusive;
#[cfg(feature = "tables")]
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[cfg(feature = "tables")]
use super::own::{Home, OwnTask};
use super::spec::{self, Answer, ClassName, Head, TaskSpec};
use super::table::TABLE;
use super::{Label, LabelSet, Scale, Split, TaskKind};
use crate::entities::TagSet;
use crate::error::{Error, Result, excerpt};
use crate::squad::SquadVersion;

/// A checked [`TaskSpec`]; clones share it. Two tasks are equal if they have one name. Written and read as the name.
#[derive(Clone)]
pub struct Task(Arc<Inner>);

struct Inner {
    spec: TaskSpec,
    format: Format,
}

/// Whose files the task has.
enum Format {
    Glue(TaskKind),
    Squad(SquadVersion),
    /// None that this crate reads: its examples come from memory.
    Memory,
    /// Tables that its description names.
    #[cfg(feature = "tables")]
    Own(Box<Home>),
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
        Self::of_format(spec, Format::Memory)
    }

    /// A task whose examples come from tables.
    #[cfg(feature = "tables")]
    pub(super) fn own(spec: TaskSpec, home: Home) -> Result<Self> {
        Self::of_format(spec, Format::Own(Box::new(home)))
    }

    fn of_format(spec: TaskSpec, format: Format) -> Result<Self> {
        spec.check()?;
        if let Some(known) = BUILT_IN.iter().find(|task| task.is_called(&spec.name)) {
            return Err(Error::Invalid(format!("task `{}`: {known} is built in; choose another name", spec.name)));
        }
        Ok(Self(Arc::new(Inner { spec, format })))
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
        if let Format::Glue(kind) = &self.0.format { Some(*kind) } else { None }
    }

    /// Which SQuAD it is, whose files and official predictions it has.
    pub fn squad(&self) -> Option<SquadVersion> {
        if let Format::Squad(version) = &self.0.format { Some(*version) } else { None }
    }

    /// The description of a task of one's own and the folder that its paths start from.
    #[cfg(feature = "tables")]
    pub fn described_by(&self) -> Option<(&OwnTask, &Path)> {
        if let Format::Own(home) = &self.0.format { Some((&home.own, &home.folder)) } else { None }
    }

    /// The same task; of one's own without the places of its files, which may be moved.
    #[must_use]
    pub fn without_files(&self) -> Self {
        #[cfg(feature = "tables")]
        if let Format::Own(home) = &self.0.format {
            let home = Home { own: home.own.without_files(), folder: home.folder.clone() };
            return Self(Arc::new(Inner { spec: self.0.spec.clone(), format: Format::Own(Box::new(home)) }));
        }
        self.clone()
    }

    /// Whether it is a task of one's own that a description names the files of.
    pub fn is_described(&self) -> bool {
        #[cfg(feature = "tables")]
        if self.described_by().is_some() {
            return true;
        }
        false
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
        if let Format::Squad(version) = &self.0.format {
            return given.parse().is_ok_and(|named: SquadVersion| named == *version);
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

    /// What its tags mark; `None` where other things than tags are asked for.
    pub fn tag_set(&self) -> Option<TagSet> {
        if let Answer::Tags(tags) = &self.spec().answer { Some(spec::tag_set(tags)) } else { None }
    }

    /// The numbers that are asked for, of a regression.
    pub fn range(&self) -> Option<&RangeInclusive<f64>> {
        if let Answer::Number(range) = &self.spec().answer { Some(range) } else { None }
    }

    /// How its numbers are scaled for training; `None`: they are not.
    pub fn scale(&self) -> Option<Scale> {
        #[cfg(feature = "tables")]
        if let Some((own, _)) = self.described_by() {
            return own.scale.filter(|scale| *scale != Scale::NONE);
        }
        None
    }

    /// By what the loss of an example of each class is multiplied in training; `None`: by nothing.
    pub fn class_weights(&self) -> Option<&[f32]> {
        #[cfg(feature = "tables")]
        if let Some((OwnTask { class_weights: Some(super::ClassWeights::Given(weights)), .. }, _)) = self.described_by()
        {
            return Some(weights);
        }
        None
    }

    /// The output layer of the task.
    pub fn head(&self) -> Head {
        spec::head(&self.spec().answer)
    }

    /// Whether an example is a pair of texts.
    pub fn is_pair(&self) -> bool {
        self.spec().texts.len() == 2
    }

    /// The names of its metrics.
    pub fn metric_names(&self) -> Vec<&'static str> {
        self.spec().metrics.iter().map(|metric| metric.name()).collect()
    }

    /// Whether labeled examples train and score it, as classes, numbers, sets of labels and tags do.
    ///
    /// # Errors
    /// They do not; the message says what would.
    pub fn check_trainable(&self) -> Result<()> {
        match self.head() {
            Head::MultiLabel { labels } if labels > LabelSet::MOST => {
                Err(Error::Invalid(format!("{self}: {labels} labels; at most {} can be trained", LabelSet::MOST)))
            }
            Head::Classification { .. }
            | Head::Regression
            | Head::MultiLabel { .. }
            | Head::Tags { .. }
            | Head::Embedding => Ok(()),
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
            (Label::Score(score), Head::Embedding) => {
                score.is_finite() && matches!(self.spec().answer, Answer::Similarity)
            }
            (Label::Match(_), Head::Embedding) => matches!(self.spec().answer, Answer::Retrieval),
            (Label::Set(set), Head::MultiLabel { labels }) => set.iter().all(|label| label < labels),
            (Label::Tags(of), Head::Tags { tags }) => {
                of.tags.len() == of.keys.len() && of.tags.iter().all(|tag| usize::from(*tag) < tags)
            }
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
    /// The name; of a task of one's own its description.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[cfg(feature = "tables")]
        if let Some((own, _)) = self.described_by() {
            return own.serialize(serializer);
        }
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Task {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameOrDescription)
    }
}

/// Reads the name of a task that is built in, or the description of another one, whose paths start from the folder of the data.
struct NameOrDescription;

impl<'de> Visitor<'de> for NameOrDescription {
    type Value = Task;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a task, or a table that describes one")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Task, E> {
        name.parse().map_err(E::custom)
    }

    #[cfg(feature = "tables")]
    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Task, A::Error> {
        let own = OwnTask::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
        own.task("".as_ref()).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }

    #[test]
    fn what_cannot_be_trained_is_said_and_labels_of_another_task_are_refused() {
        let labels = Answer::Labels(["a", "b"].map(Into::into).to_vec());
        let tags = Task::new(TaskSpec::new("tags", &["text"], labels)).unwrap();
        tags.check_trainable().unwrap();
        tags.check_labels(&[Label::Set([0, 1].into_iter().collect()), Label::Set(LabelSet::default())]).unwrap();
        assert!(tags.check_labels(&[Label::Set([2].into_iter().collect())]).is_err());
        let many = Answer::Labels((0..=LabelSet::MOST).map(|n| format!("l{n}").as_str().into()).collect());
        let many = Task::new(TaskSpec::new("many", &["text"], many)).unwrap();
        assert!(many.check_trainable().unwrap_err().to_string().contains("at most 256 can be trained"));
        assert!(SquadVersion::V1.task().check_trainable().unwrap_err().to_string().contains("windows"));
        let classes = Answer::Class(["world", "sports", "science"].map(Into::into).to_vec());
        let topic = Task::new(TaskSpec::new("topic", &["text"], classes)).unwrap();
        topic.check_trainable().unwrap();
        topic.check_labels(&[Label::Class(2), Label::Class(0)]).unwrap();
        for wrong in [Label::Class(3), Label::Score(1.0)] {
            assert!(topic.check_labels(&[wrong]).unwrap_err().to_string().contains("topic: "));
        }
    }
}
