//! Which columns the files of a task have, in GLUE's own layout and on the Hugging Face hub.

use super::{Split, TaskKind};

/// Columns of the TSV files of a task. Where names are lists, the first that the header has is taken.
pub(super) struct Layout {
    /// The columns of a file without a header; `None` where line 1 names them.
    pub fixed: Option<&'static [&'static str]>,
    pub text_a: &'static [&'static str],
    pub text_b: Option<&'static [&'static str]>,
    pub label: &'static [&'static str],
    /// Columns that number the rows of a test set.
    pub index: &'static [&'static str],
    /// Whether rows with too few columns are passed over and counted.
    pub has_broken_rows: bool,
}

/// CoLA's labelled files have no header: source, label, the linguist's mark, sentence.
const COLA: &[&str] = &["source", "label", "star", "sentence"];
/// STS-B as its authors released it has no header either, and licence notes in more columns behind these.
const STSB: &[&str] = &["genre", "filename", "year", "old_index", "score", "sentence1", "sentence2"];

impl TaskKind {
    /// The layout of a file whose first line is `first`.
    pub(super) fn layout(self, split: Split, first: &str) -> Layout {
        // Behind GLUE's own names stand those of the Hugging Face hub, whose data are saved as TSV files too.
        let sentences: (&[&str], Option<&[&str]>) = (&["sentence1"], Some(&["sentence2"]));
        let (text_a, text_b): (&[&str], Option<&[&str]>) = match self {
            Self::Sst2 | Self::Cola => (&["sentence"], None),
            Self::Mrpc => (&["#1 String", "sentence1"], Some(&["#2 String", "sentence2"])),
            Self::Stsb | Self::Rte | Self::Wnli => sentences,
            Self::Mnli | Self::MnliMm => (&["sentence1", "premise"], Some(&["sentence2", "hypothesis"])),
            Self::Qqp => (&["question1"], Some(&["question2"])),
            Self::Qnli => (&["question"], Some(&["sentence"])),
            // The labelled file that GLUE's authors published later calls them so.
            Self::Ax => (&["sentence1", "Premise", "premise"], Some(&["sentence2", "Hypothesis", "hypothesis"])),
        };
        let label: &[&str] = match self {
            Self::Mrpc => &["Quality", "label"],
            Self::Stsb => &["score", "label"],
            Self::Mnli | Self::MnliMm => &["gold_label", "label"],
            Self::Qqp => &["is_duplicate", "label"],
            Self::Ax => &["label", "Label"],
            Self::Sst2 | Self::Cola | Self::Rte | Self::Wnli | Self::Qnli => &["label"],
        };
        let fields = || first.split('\t');
        let fixed = match (self, split) {
            (Self::Cola, Split::Train | Split::Dev) if !fields().any(|name| name == "sentence") => Some(COLA),
            (Self::Stsb, _) if !fields().any(|name| name == "sentence1") && has_score_fifth(first) => Some(STSB),
            _ => None,
        };
        let has_broken_rows = self == Self::Qqp && split != Split::Test;
        Layout { fixed, text_a, text_b, label, index: &["index", "id", "idx"], has_broken_rows }
    }

    /// The columns of the Hugging Face copies: the texts. The label is `label`, the row's number `idx`.
    pub(super) fn hub_texts(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Sst2 | Self::Cola => ("sentence", None),
            Self::Mrpc | Self::Stsb | Self::Rte | Self::Wnli => ("sentence1", Some("sentence2")),
            Self::Mnli | Self::MnliMm | Self::Ax => ("premise", Some("hypothesis")),
            Self::Qqp => ("question1", Some("question2")),
            Self::Qnli => ("question", Some("sentence")),
        }
    }
}

fn has_score_fifth(line: &str) -> bool {
    let fields: Vec<&str> = line.split('\t').collect();
    fields.len() >= STSB.len() && fields[4].parse::<f64>().is_ok()
}
