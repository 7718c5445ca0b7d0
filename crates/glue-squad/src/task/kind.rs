//! Which tasks there are.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, excerpt};

/// A task of the GLUE benchmark (Wang et al. 2019). Written and read as its [`TaskKind::name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
#[non_exhaustive]
pub enum TaskKind {
    /// Stanford Sentiment Treebank: one sentence, 0 = negative, 1 = positive.
    Sst2,
    /// Corpus of Linguistic Acceptability: one sentence, 0 = unacceptable, 1 = acceptable.
    Cola,
    /// Microsoft Research Paraphrase Corpus: a pair, 1 = paraphrase.
    Mrpc,
    /// Semantic Textual Similarity Benchmark: a pair and a score from 0 to 5.
    Stsb,
    /// Recognising Textual Entailment: a pair, entailment or not.
    Rte,
    /// Multi-genre Natural Language Inference: a pair; the matched development and test sets.
    Mnli,
    /// MNLI's mismatched development and test sets: genres that its training set does not have. Answered by MNLI's head.
    MnliMm,
    /// Quora Question Pairs: a pair of questions, 1 = duplicate.
    Qqp,
    /// Question Natural Language Inference, made of SQuAD: a question and a sentence that holds its answer or not.
    Qnli,
    /// Winograd Natural Language Inference: a pair, 1 = entailment.
    Wnli,
    /// GLUE's diagnostic set: a test set in MNLI's classes, answered by MNLI's head.
    Ax,
}

/// What a model puts on top of the encoder for a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// One logit per class.
    Classification {
        /// How many classes.
        classes: usize,
    },
    /// One real number.
    Regression,
}

impl Head {
    /// The width of the output layer: the classes, or 1.
    pub fn outputs(self) -> usize {
        match self {
            Self::Classification { classes } => classes,
            Self::Regression => 1,
        }
    }
}

/// A part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// `train.tsv`.
    Train,
    /// `dev.tsv`; `validation` on the Hugging Face hub.
    Dev,
    /// `test.tsv`; without labels in GLUE.
    Test,
}

/// The gold answer of an example.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// Index into [`TaskKind::labels`].
    Class(usize),
    /// A score, 0 to 5 for STS-B.
    Score(f64),
}

/// One row of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// Position of the row in its file, from 0; the index of the official prediction files.
    pub id: usize,
    /// The sentence, or the first of the pair.
    pub text_a: String,
    /// The second of the pair.
    pub text_b: Option<String>,
    /// The answer; `None` in an unlabelled test set.
    pub label: Option<Label>,
}

impl TaskKind {
    /// Everything that GLUE scores, in the order of its tables: the nine tasks, MNLI's mismatched set behind MNLI, and AX.
    pub const ALL: [Self; 11] = [
        Self::Cola,
        Self::Sst2,
        Self::Mrpc,
        Self::Stsb,
        Self::Qqp,
        Self::Mnli,
        Self::MnliMm,
        Self::Qnli,
        Self::Rte,
        Self::Wnli,
        Self::Ax,
    ];

    /// The name used in commands and files: `sst-2`, `cola`, `mrpc`, `sts-b`, `qqp`, `mnli`, `mnli-mm`, `qnli`, `rte`, `wnli`, `ax`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sst2 => "sst-2",
            Self::Cola => "cola",
            Self::Mrpc => "mrpc",
            Self::Stsb => "sts-b",
            Self::Rte => "rte",
            Self::Mnli => "mnli",
            Self::MnliMm => "mnli-mm",
            Self::Qqp => "qqp",
            Self::Qnli => "qnli",
            Self::Wnli => "wnli",
            Self::Ax => "ax",
        }
    }

    /// Other names that are understood, without `-` and `_`: those of the Hugging Face hub and of GLUE's result tables.
    pub(super) fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::Mnli => &["mnlim", "mnlimatched"],
            Self::MnliMm => &["mnlimismatched"],
            Self::Ax => &["diagnostic", "diagnostics"],
            _ => &[],
        }
    }

    /// The name in result tables: the folder's, and `MNLI-m`, `MNLI-mm`, `AX`.
    pub fn title(self) -> &'static str {
        match self {
            Self::Mnli => "MNLI-m",
            Self::MnliMm => "MNLI-mm",
            other => other.folder(),
        }
    }

    /// The folder in GLUE's own layout.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Sst2 => "SST-2",
            Self::Cola => "CoLA",
            Self::Mrpc => "MRPC",
            Self::Stsb => "STS-B",
            Self::Rte => "RTE",
            Self::Mnli | Self::MnliMm => "MNLI",
            Self::Qqp => "QQP",
            Self::Qnli => "QNLI",
            Self::Wnli => "WNLI",
            Self::Ax => "AX",
        }
    }

    /// The task whose training set and head serve this one: MNLI for MNLI-mm and AX, else the task itself.
    pub fn trained_as(self) -> Self {
        match self {
            Self::MnliMm | Self::Ax => Self::Mnli,
            other => other,
        }
    }

    /// The class names as they stand in the files, in the order of the class indices; empty for STS-B.
    /// The order is that of the class numbers in the Hugging Face copies: MNLI is entailment, neutral, contradiction.
    pub fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Sst2 | Self::Cola | Self::Mrpc | Self::Qqp | Self::Wnli => &["0", "1"],
            Self::Rte | Self::Qnli => &["entailment", "not_entailment"],
            Self::Mnli | Self::MnliMm | Self::Ax => &["entailment", "neutral", "contradiction"],
            Self::Stsb => &[],
        }
    }

    /// What the classes are called on the Hugging Face hub, in the same order; words for the tasks whose files have numbers.
    pub fn class_words(self) -> &'static [&'static str] {
        match self {
            Self::Sst2 => &["negative", "positive"],
            Self::Cola => &["unacceptable", "acceptable"],
            Self::Mrpc => &["not_equivalent", "equivalent"],
            Self::Qqp => &["not_duplicate", "duplicate"],
            Self::Wnli => &["not_entailment", "entailment"],
            other => other.labels(),
        }
    }

    /// The output layer of the task.
    pub fn head(self) -> Head {
        match self {
            Self::Stsb => Head::Regression,
            _ => Head::Classification { classes: self.labels().len() },
        }
    }

    /// Whether an example is a pair of texts.
    pub fn is_pair(self) -> bool {
        !matches!(self, Self::Sst2 | Self::Cola)
    }

    /// The rows of the official files; `None` where there is no such file (MNLI-mm and AX have no training set, AX has only a
    /// test set). QQP's training set is counted without its broken rows, as every reference reader does.
    pub fn official_rows(self, split: Split) -> Option<usize> {
        let [train, dev, test] = match self {
            Self::Cola => [8_551, 1_043, 1_063],
            Self::Sst2 => [67_349, 872, 1_821],
            Self::Mrpc => [3_668, 408, 1_725],
            Self::Stsb => [5_749, 1_500, 1_379],
            Self::Qqp => [363_846, 40_430, 390_965],
            Self::Mnli => [392_702, 9_815, 9_796],
            Self::MnliMm => [0, 9_832, 9_847],
            Self::Qnli => [104_743, 5_463, 5_463],
            Self::Rte => [2_490, 277, 3_000],
            Self::Wnli => [635, 71, 146],
            Self::Ax => [0, 0, 1_104],
        };
        let rows = match split {
            Split::Train => train,
            Split::Dev => dev,
            Split::Test => test,
        };
        (rows > 0).then_some(rows)
    }
}

/// A name without what writers of names differ in: case, `-` and `_`.
pub(super) fn plain_name(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '-' | '_')).collect::<String>().to_ascii_lowercase()
}

impl Split {
    /// `train`, `dev` or `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Dev => "dev",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for TaskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for TaskKind {
    type Err = Error;

    /// Case and the characters `-` and `_` do not matter: `SST-2`, `sst2` and `sst_2` are one task. `mnli-m`, `mnli_matched`,
    /// `mnli_mismatched` and `diagnostic` are understood too.
    fn from_str(given: &str) -> Result<Self> {
        let wanted = plain_name(given);
        Self::ALL
            .into_iter()
            .find(|task| plain_name(task.name()) == wanted || task.aliases().contains(&wanted.as_str()))
            .ok_or_else(|| Error::UnknownTask { given: excerpt(given), known: Self::ALL.map(Self::name).join(", ") })
    }
}

impl From<TaskKind> for &'static str {
    fn from(task: TaskKind) -> Self {
        task.name()
    }
}

impl TryFrom<String> for TaskKind {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_every_usual_spelling() {
        for task in TaskKind::ALL {
            assert_eq!(task.name().parse::<TaskKind>().unwrap(), task);
            assert_eq!(task.title().parse::<TaskKind>().unwrap(), task);
            let json = serde_json::to_string(&task).unwrap();
            assert_eq!(serde_json::from_str::<TaskKind>(&json).unwrap(), task);
        }
        assert_eq!("sst2".parse::<TaskKind>().unwrap(), TaskKind::Sst2);
        assert_eq!("mnli_mismatched".parse::<TaskKind>().unwrap(), TaskKind::MnliMm);
        assert_eq!("MNLI".parse::<TaskKind>().unwrap(), TaskKind::Mnli);
        let message = "squadd".parse::<TaskKind>().unwrap_err().to_string();
        assert!(message.contains("squadd") && message.contains("sst-2") && message.contains("mnli"), "{message}");
    }

    #[test]
    fn heads_fit_the_labels() {
        assert_eq!(TaskKind::Mnli.head(), Head::Classification { classes: 3 });
        assert_eq!(TaskKind::Stsb.head().outputs(), 1);
        assert!(TaskKind::Rte.is_pair() && !TaskKind::Cola.is_pair());
        for task in TaskKind::ALL {
            assert_eq!(task.head(), task.trained_as().head(), "{task}: the head of {} answers it", task.trained_as());
            assert_eq!(task.labels().len(), task.class_words().len());
        }
    }
}
