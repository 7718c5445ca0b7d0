//! Which tasks GLUE has, and the rows of a task.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::table::{Entry, TABLE};
use super::{LabelSet, Match, Tags};

/// A task of the GLUE benchmark (Wang et al. 2019): the key to its files and official predictions. What it asks and how it is scored
/// is its [`TaskKind::task`], which is also what names are read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TaskKind {
    /// Corpus of Linguistic Acceptability: one sentence, 0 = unacceptable, 1 = acceptable.
    Cola,
    /// Stanford Sentiment Treebank: one sentence, 0 = negative, 1 = positive.
    Sst2,
    /// Microsoft Research Paraphrase Corpus: a pair, 1 = paraphrase.
    Mrpc,
    /// Semantic Textual Similarity Benchmark: a pair and a score from 0 to 5.
    Stsb,
    /// Quora Question Pairs: a pair of questions, 1 = duplicate.
    Qqp,
    /// Multi-genre Natural Language Inference: a pair; the matched development and test sets.
    Mnli,
    /// MNLI's mismatched development and test sets: genres that its training set does not have. Answered by MNLI's head.
    MnliMm,
    /// Question Natural Language Inference, made of SQuAD: a question and a sentence that holds its answer or not.
    Qnli,
    /// Recognizing Textual Entailment: a pair, entailment or not.
    Rte,
    /// Winograd Natural Language Inference: a pair, 1 = entailment.
    Wnli,
    /// GLUE's diagnostic set: a test set in MNLI's classes, answered by MNLI's head.
    Ax,
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// Index into [`super::Task::labels`].
    Class(usize),
    /// A score, 0 to 5 for STS-B. Of a task of one's own it is [scaled](super::Scale).
    Score(f64),
    /// Any number of labels.
    Set(LabelSet),
    /// A tag for each word.
    Tags(Tags),
    /// The second text answers the first.
    Match(Match),
}

/// One row of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// Position of the row in its file, from 0; the index of the official prediction files.
    pub id: usize,
    /// The sentence, or the first of the pair; of a task of tags its words, as [`super::join_words`] joins them.
    pub text_a: String,
    /// The second of the pair.
    pub text_b: Option<String>,
    /// The answer; `None` in an unlabeled test set.
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

    pub(super) fn entry(self) -> &'static Entry {
        &TABLE[self as usize]
    }

    /// The name used in commands and files: `sst-2`, `cola`, `mrpc`, `sts-b`, `qqp`, `mnli`, `mnli-mm`, `qnli`, `rte`, `wnli`, `ax`.
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// The folder in GLUE's own layout.
    pub fn folder(self) -> &'static str {
        self.entry().folder
    }

    /// The rows of the official files; `None` where there is no such file (MNLI-mm and AX have no training set, AX has only a
    /// test set). QQP's training set is counted without its broken rows, as every reference reader does.
    pub fn official_rows(self, split: Split) -> Option<usize> {
        Some(self.entry().rows[split as usize]).filter(|rows| *rows > 0)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Task;

    #[test]
    fn the_tables_stand_in_the_order_of_the_tasks() {
        for (place, kind) in TaskKind::ALL.into_iter().enumerate() {
            assert_eq!((kind as usize, kind.entry().kind), (place, kind));
        }
    }

    #[test]
    fn names_are_read_in_every_usual_spelling() {
        for task in TaskKind::ALL {
            assert_eq!(task.name().parse::<Task>().unwrap().glue(), Some(task));
            assert_eq!(task.task().title().parse::<Task>().unwrap().glue(), Some(task));
        }
        assert_eq!("sst2".parse::<Task>().unwrap().glue(), Some(TaskKind::Sst2));
        assert_eq!("mnli_mismatched".parse::<Task>().unwrap().glue(), Some(TaskKind::MnliMm));
        assert_eq!("MNLI".parse::<Task>().unwrap().glue(), Some(TaskKind::Mnli));
        let message = "squadd".parse::<Task>().unwrap_err().to_string();
        assert!(message.contains("squadd") && message.contains("sst-2") && message.contains("mnli"), "{message}");
    }
}
