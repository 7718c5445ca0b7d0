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
    /// Multi-genre Natural Language Inference: a pair; the matched development set.
    Mnli,
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
    /// `dev.tsv`; the matched set of MNLI.
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
    /// Every task, in the order of GLUE's tables.
    pub const ALL: [Self; 6] = [Self::Cola, Self::Sst2, Self::Mrpc, Self::Stsb, Self::Mnli, Self::Rte];

    /// The name used in commands and files: `sst-2`, `cola`, `mrpc`, `sts-b`, `rte`, `mnli`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sst2 => "sst-2",
            Self::Cola => "cola",
            Self::Mrpc => "mrpc",
            Self::Stsb => "sts-b",
            Self::Rte => "rte",
            Self::Mnli => "mnli",
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
            Self::Mnli => "MNLI",
        }
    }

    /// The class names as they stand in the files, in the order of the class indices; empty for STS-B.
    /// MNLI is entailment, neutral, contradiction, the order of GLUE's public copies.
    pub fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Sst2 | Self::Cola | Self::Mrpc => &["0", "1"],
            Self::Rte => &["entailment", "not_entailment"],
            Self::Mnli => &["entailment", "neutral", "contradiction"],
            Self::Stsb => &[],
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

    /// Case and the characters `-` and `_` do not matter: `SST-2`, `sst2` and `sst_2` are one task.
    fn from_str(given: &str) -> Result<Self> {
        let plain = |s: &str| s.chars().filter(|c| !matches!(c, '-' | '_')).collect::<String>().to_ascii_lowercase();
        let wanted = plain(given);
        Self::ALL
            .into_iter()
            .find(|task| plain(task.name()) == wanted)
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
            assert_eq!(task.folder().parse::<TaskKind>().unwrap(), task);
            let json = serde_json::to_string(&task).unwrap();
            assert_eq!(serde_json::from_str::<TaskKind>(&json).unwrap(), task);
        }
        assert_eq!("sst2".parse::<TaskKind>().unwrap(), TaskKind::Sst2);
        let message = "squadd".parse::<TaskKind>().unwrap_err().to_string();
        assert!(message.contains("squadd") && message.contains("sst-2") && message.contains("mnli"), "{message}");
    }

    #[test]
    fn heads_fit_the_labels() {
        assert_eq!(TaskKind::Mnli.head(), Head::Classification { classes: 3 });
        assert_eq!(TaskKind::Stsb.head().outputs(), 1);
        assert!(TaskKind::Rte.is_pair() && !TaskKind::Cola.is_pair());
    }
}
