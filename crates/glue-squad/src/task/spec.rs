//! What a task is, as data: everything that training, scoring and reports need to know of one.

use std::cmp::Ordering;
use std::ops::RangeInclusive;

use super::{Split, Tags, Task};
use crate::entities::{Scheme, TagSet};
use crate::error::{Error, Result, excerpt};
use crate::metrics::Metric;

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
/// assert_eq!((topic.name(), topic.labels().len(), topic.metric_names()), ("topic", 3, vec!["accuracy"]));
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
    /// Any number of these labels.
    Labels(Vec<ClassName>),
    /// A number in this range.
    Number(RangeInclusive<f64>),
    /// A span of the second text.
    Span,
    /// One of these tags for each word.
    Tags(Vec<ClassName>),
    /// How alike the two texts are, as a number: the nearer their vectors, the higher it should be.
    Similarity,
    /// Which text answers the first: the second, among all answers.
    Retrieval,
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
    /// One logit per tag for every token, of which those of a word's first token count.
    Tags {
        /// How many tags.
        tags: usize,
    },
    /// A vector for each text, read alone.
    Embedding,
}

impl Head {
    /// The width of the output layer; 0 of vectors, whose width is the model's.
    pub fn outputs(self) -> usize {
        match self {
            Self::Classification { classes: outputs }
            | Self::MultiLabel { labels: outputs }
            | Self::Tags { tags: outputs } => outputs,
            Self::Regression => 1,
            Self::Spans => 2,
            Self::Embedding => 0,
        }
    }
}

impl TaskSpec {
    /// A task whose title and folder are its name, with the usual metrics of its kind: accuracy; micro and macro F1 of labels; Pearson and Spearman correlation;
    /// exact match and F1 of spans; F1, precision and recall of entities and accuracy of tags; correlations of similarities, of which
    /// Spearman's decides; mean reciprocal rank, which decides, and recall of answers.
    pub fn new(name: &str, texts: &[&str], answer: Answer) -> Self {
        let metrics = match &answer {
            Answer::Class(_) => vec![Metric::Accuracy],
            Answer::Labels(_) => vec![Metric::MicroF1, Metric::MacroF1],
            Answer::Number(_) | Answer::Similarity => vec![Metric::Pearson, Metric::Spearman],
            Answer::Retrieval => vec![Metric::Mrr, Metric::RecallAt1, Metric::RecallAt10],
            Answer::Span => vec![Metric::Exact, Metric::F1],
            Answer::Tags(tags) => tag_metrics(tags),
        };
        let headline = match &answer {
            Answer::Similarity => Some(Metric::Spearman),
            Answer::Retrieval => Some(Metric::Mrr),
            _ => metrics.contains(&Metric::EntityF1).then_some(Metric::EntityF1),
        };
        Self {
            name: name.to_owned(),
            title: name.to_owned(),
            folder: name.to_owned(),
            aliases: Vec::new(),
            texts: texts.iter().map(|text| (*text).to_owned()).collect(),
            answer,
            metrics,
            headline,
            splits: vec![Split::Train, Split::Dev, Split::Test],
            trained_as: None,
        }
    }

    pub(super) fn classes(&self) -> &[ClassName] {
        match &self.answer {
            Answer::Class(classes) | Answer::Labels(classes) | Answer::Tags(classes) => classes,
            Answer::Number(_) | Answer::Span | Answer::Similarity | Answer::Retrieval => &[],
        }
    }

    pub(super) fn check(&self) -> Result<()> {
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
            (Answer::Span | Answer::Similarity | Answer::Retrieval, 2)
                | (Answer::Class(_) | Answer::Labels(_) | Answer::Number(_), 1 | 2)
                | (Answer::Tags(_), 1)
        ) {
            return refuse(format!(
                "{texts} text columns; one or two are needed, two where a span, similarity or an answer is asked for, one of words where tags are"
            ));
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
            Answer::Tags(tags) if !(2..=Tags::MOST).contains(&tags.len()) => {
                return refuse(format!("{} tags; 2 to {} are possible", tags.len(), Tags::MOST));
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
                (
                    Answer::Class(_),
                    Metric::Accuracy | Metric::F1 | Metric::Matthews | Metric::MicroF1 | Metric::MacroF1,
                ) => true,
                (Answer::Labels(_), Metric::Accuracy | Metric::MicroF1 | Metric::MacroF1) => true,
                (Answer::Number(_) | Answer::Similarity, Metric::Pearson | Metric::Spearman) => true,
                (Answer::Retrieval, Metric::Mrr | Metric::RecallAt1 | Metric::RecallAt5 | Metric::RecallAt10) => true,
                (Answer::Span, Metric::Exact | Metric::F1) => true,
                (Answer::Tags(_), Metric::Accuracy) => true,
                (
                    Answer::Tags(tags),
                    Metric::EntityF1 | Metric::EntityPrecision | Metric::EntityRecall | Metric::StrictEntityF1,
                ) => tag_set(tags).scheme() != Scheme::Plain,
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
            return refuse("the deciding metric is not one of its metrics".into());
        }
        if let Some(other) = &self.trained_as
            && other.head() != head(&self.answer)
        {
            return refuse(format!("cannot be answered by the head of {other}, which has another form"));
        }
        Ok(())
    }
}

/// What the names of tags say.
pub(super) fn tag_set(tags: &[ClassName]) -> TagSet {
    TagSet::of(&tags.iter().map(|tag| tag.name.as_str()).collect::<Vec<_>>())
}

/// The usual metrics of these tags: those of entities, where they mark any, and accuracy.
fn tag_metrics(tags: &[ClassName]) -> Vec<Metric> {
    let entities = [Metric::EntityF1, Metric::EntityPrecision, Metric::EntityRecall];
    match tag_set(tags).scheme() {
        Scheme::Plain => vec![Metric::Accuracy],
        Scheme::Iob2 | Scheme::Bioes => [&entities[..], &[Metric::StrictEntityF1, Metric::Accuracy]].concat(),
        Scheme::Io | Scheme::Iob1 => [&entities[..], &[Metric::Accuracy]].concat(),
    }
}

fn repeated<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    names.clone().enumerate().find(|(at, name)| names.clone().take(*at).any(|before| before == *name)).map(|(_, n)| n)
}

pub(super) fn head(answer: &Answer) -> Head {
    match answer {
        Answer::Class(classes) => Head::Classification { classes: classes.len() },
        Answer::Labels(labels) => Head::MultiLabel { labels: labels.len() },
        Answer::Number(_) => Head::Regression,
        Answer::Span => Head::Spans,
        Answer::Tags(tags) => Head::Tags { tags: tags.len() },
        Answer::Similarity | Answer::Retrieval => Head::Embedding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::TaskKind;

    fn topic() -> TaskSpec {
        TaskSpec::new("topic", &["text"], Answer::Class(["world", "sports", "science"].map(Into::into).to_vec()))
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
            (TaskSpec { headline: Some(Metric::Matthews), ..topic() }, "not one of its metrics"),
            (TaskSpec { splits: Vec::new(), ..topic() }, "one split"),
            (TaskSpec { trained_as: Some(TaskKind::Rte.into()), ..topic() }, "the head of rte"),
        ] {
            let message = Task::new(spec).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
