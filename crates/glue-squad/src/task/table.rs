//! The tasks of GLUE: for each one table of all that is particular to it.

use super::layout::{HEADERLESS_COLA, HEADERLESS_STSB, Headerless};
use super::read::MSR_TRAIN;
use super::spec::{Answer, ClassName, TaskSpec};
use super::write::Column;
use super::write::Column::{Index, Label as Gold, Other, TextA, TextB};
use super::{Split, Task, TaskKind};
use crate::metrics::Metric;

/// A task of GLUE. Arrays by split are in the order train, dev, test.
pub(super) struct Entry {
    pub kind: TaskKind,
    pub name: &'static str,
    pub title: &'static str,
    pub folder: &'static str,
    pub aliases: &'static [&'static str],
    pub trained_as: Option<TaskKind>,
    /// Of every class the name in GLUE's files, the word of the Hugging Face hub, and more that heads call it; empty for STS-B. The
    /// order is that of the class numbers on the hub.
    pub classes: &'static [(&'static str, &'static str, &'static [&'static str])],
    pub metrics: &'static [Metric],
    /// Rows of the official files, 0 where there is none. QQP's training set is counted without its broken rows.
    pub rows: [usize; 3],
    /// GLUE's own files.
    pub files: [&'static str; 3],
    /// Further names of those.
    pub more_files: &'static [&'static str],
    /// The files that GLUE's own are made of.
    pub sources: [&'static [&'static str]; 3],
    /// What splits are called on the hub.
    pub hub: [&'static [&'static str]; 3],
    /// The same in a folder that holds both sets of MNLI.
    pub hub_in_mnli: [&'static [&'static str]; 3],
    /// Columns of GLUE's files, and of others behind them: the first that a header has is taken.
    pub text_a: &'static [&'static str],
    pub text_b: Option<&'static [&'static str]>,
    pub label: &'static [&'static str],
    /// The text columns on the hub; the label is `label`, the row's number `idx`.
    pub hub_texts: (&'static str, Option<&'static str>),
    pub headerless: Option<Headerless>,
    /// Whether rows with too few columns are passed over and counted, outside the test set.
    pub has_broken_rows: bool,
    /// Columns of the official training file; MNLI's for the sets that it answers.
    pub train_columns: &'static [Column],
}

const FILES: [&str; 3] = ["train.tsv", "dev.tsv", "test.tsv"];
const HUB: [&[&str]; 3] = [&["train"], &["validation", "dev"], &["test"]];
const NO_SOURCES: [&[&str]; 3] = [&[], &[], &[]];
const SENTENCES: (&str, Option<&str>) = ("sentence1", Some("sentence2"));

/// A pair task with two classes in GLUE's plain layout, for the rest of a table.
const PLAIN: Entry = Entry {
    kind: TaskKind::Rte,
    name: "",
    title: "",
    folder: "",
    aliases: &[],
    trained_as: None,
    classes: &[],
    metrics: &[Metric::Accuracy],
    rows: [0; 3],
    files: FILES,
    more_files: &[],
    sources: NO_SOURCES,
    hub: HUB,
    hub_in_mnli: HUB,
    text_a: &["sentence1"],
    text_b: Some(&["sentence2"]),
    label: &["label"],
    hub_texts: SENTENCES,
    headerless: None,
    has_broken_rows: false,
    train_columns: &[Index("index"), TextA("sentence1"), TextB("sentence2"), Gold("label")],
};

const MNLI_CLASSES: &[(&str, &str, &[&str])] = &[
    ("entailment", "entailment", &["entail", "entails", "entailed"]),
    ("neutral", "neutral", &[]),
    ("contradiction", "contradiction", &["contradict", "contradicts", "contradictory"]),
];
const ENTAILMENT_FIRST: &[(&str, &str, &[&str])] = &[
    ("entailment", "entailment", &["entails", "entailed"]),
    ("not_entailment", "not_entailment", &["noentailment", "notentailed"]),
];

/// MNLI's columns, for the sets that it answers too.
const MNLI: Entry = Entry {
    kind: TaskKind::Mnli,
    name: "mnli",
    title: "MNLI-m",
    folder: "MNLI",
    aliases: &["mnli-m", "mnli-matched"],
    classes: MNLI_CLASSES,
    rows: [392_702, 9_815, 9_796],
    files: ["train.tsv", "dev_matched.tsv", "test_matched.tsv"],
    hub_in_mnli: [&["train"], &["validation_matched", "dev_matched"], &["test_matched"]],
    text_a: &["sentence1", "premise"],
    text_b: Some(&["sentence2", "hypothesis"]),
    label: &["gold_label", "label"],
    hub_texts: ("premise", Some("hypothesis")),
    train_columns: &[
        Index("index"),
        Other("promptID"),
        Other("pairID"),
        Other("genre"),
        Other("sentence1_binary_parse"),
        Other("sentence2_binary_parse"),
        Other("sentence1_parse"),
        Other("sentence2_parse"),
        TextA("sentence1"),
        TextB("sentence2"),
        Other("label1"),
        Gold("gold_label"),
    ],
    ..PLAIN
};

/// The tables in the order of [`TaskKind::ALL`].
pub(super) static TABLE: [Entry; 11] = [
    Entry {
        kind: TaskKind::Cola,
        name: "cola",
        title: "CoLA",
        folder: "CoLA",
        classes: &[
            ("0", "unacceptable", &["notacceptable", "ungrammatical", "notgrammatical", "incorrect"]),
            ("1", "acceptable", &["grammatical", "correct"]),
        ],
        metrics: &[Metric::Matthews],
        rows: [8_551, 1_043, 1_063],
        text_a: &["sentence"],
        text_b: None,
        hub_texts: ("sentence", None),
        headerless: Some(HEADERLESS_COLA),
        train_columns: &[Other("source"), Gold("label"), Other("star"), TextA("sentence")],
        ..PLAIN
    },
    Entry {
        kind: TaskKind::Sst2,
        name: "sst-2",
        title: "SST-2",
        folder: "SST-2",
        classes: &[("0", "negative", &["neg", "bad"]), ("1", "positive", &["pos", "good"])],
        rows: [67_349, 872, 1_821],
        text_a: &["sentence"],
        text_b: None,
        hub_texts: ("sentence", None),
        train_columns: &[TextA("sentence"), Gold("label")],
        ..PLAIN
    },
    Entry {
        kind: TaskKind::Mrpc,
        name: "mrpc",
        title: "MRPC",
        folder: "MRPC",
        classes: &[
            ("0", "not_equivalent", &["notparaphrase", "notaparaphrase", "noparaphrase", "different", "notduplicate"]),
            ("1", "equivalent", &["paraphrase", "isparaphrase", "same", "duplicate"]),
        ],
        metrics: &[Metric::Accuracy, Metric::F1],
        rows: [3_668, 408, 1_725],
        sources: [&[MSR_TRAIN], &[MSR_TRAIN], &["msr_paraphrase_test.txt"]],
        text_a: &["#1 String", "sentence1"],
        text_b: Some(&["#2 String", "sentence2"]),
        label: &["Quality", "label"],
        train_columns: &[Gold("Quality"), Other("#1 ID"), Other("#2 ID"), TextA("#1 String"), TextB("#2 String")],
        ..PLAIN
    },
    Entry {
        kind: TaskKind::Stsb,
        name: "sts-b",
        title: "STS-B",
        folder: "STS-B",
        metrics: &[Metric::Pearson, Metric::Spearman],
        rows: [5_749, 1_500, 1_379],
        sources: [
            &["sts-train.tsv", "sts-train.csv"],
            &["sts-dev.tsv", "sts-dev.csv"],
            &["sts-test.tsv", "sts-test.csv"],
        ],
        label: &["score", "label"],
        headerless: Some(HEADERLESS_STSB),
        train_columns: &[
            Index("index"),
            Other("genre"),
            Other("filename"),
            Other("year"),
            Other("old_index"),
            Other("source1"),
            Other("source2"),
            TextA("sentence1"),
            TextB("sentence2"),
            Gold("score"),
        ],
        ..PLAIN
    },
    Entry {
        kind: TaskKind::Qqp,
        name: "qqp",
        title: "QQP",
        folder: "QQP",
        classes: &[
            ("0", "not_duplicate", &["notparaphrase", "notaparaphrase", "noparaphrase", "different", "notequivalent"]),
            ("1", "duplicate", &["paraphrase", "isparaphrase", "isduplicate", "same", "equivalent"]),
        ],
        metrics: &[Metric::Accuracy, Metric::F1],
        rows: [363_846, 40_430, 390_965],
        text_a: &["question1"],
        text_b: Some(&["question2"]),
        label: &["is_duplicate", "label"],
        hub_texts: ("question1", Some("question2")),
        has_broken_rows: true,
        train_columns: &[
            Index("id"),
            Other("qid1"),
            Other("qid2"),
            TextA("question1"),
            TextB("question2"),
            Gold("is_duplicate"),
        ],
        ..PLAIN
    },
    MNLI,
    Entry {
        kind: TaskKind::MnliMm,
        name: "mnli-mm",
        title: "MNLI-mm",
        aliases: &["mnli-mismatched"],
        trained_as: Some(TaskKind::Mnli),
        rows: [0, 9_832, 9_847],
        files: ["train.tsv", "dev_mismatched.tsv", "test_mismatched.tsv"],
        hub_in_mnli: [&["train"], &["validation_mismatched", "dev_mismatched"], &["test_mismatched"]],
        ..MNLI
    },
    Entry {
        kind: TaskKind::Qnli,
        name: "qnli",
        title: "QNLI",
        folder: "QNLI",
        classes: ENTAILMENT_FIRST,
        rows: [104_743, 5_463, 5_463],
        text_a: &["question"],
        text_b: Some(&["sentence"]),
        hub_texts: ("question", Some("sentence")),
        train_columns: &[Index("index"), TextA("question"), TextB("sentence"), Gold("label")],
        ..PLAIN
    },
    Entry {
        kind: TaskKind::Rte,
        name: "rte",
        title: "RTE",
        folder: "RTE",
        classes: ENTAILMENT_FIRST,
        rows: [2_490, 277, 3_000],
        ..PLAIN
    },
    Entry {
        kind: TaskKind::Wnli,
        name: "wnli",
        title: "WNLI",
        folder: "WNLI",
        classes: &[
            ("0", "not_entailment", &["noentailment", "notentailed"]),
            ("1", "entailment", &["entails", "entailed"]),
        ],
        rows: [635, 71, 146],
        ..PLAIN
    },
    Entry {
        kind: TaskKind::Ax,
        name: "ax",
        title: "AX",
        folder: "AX",
        aliases: &["diagnostic", "diagnostics"],
        trained_as: Some(TaskKind::Mnli),
        metrics: &[Metric::Matthews],
        rows: [0, 0, 1_104],
        files: ["diagnostic.tsv"; 3],
        more_files: &["AX.tsv", "test.tsv", "diagnostic-full.tsv"],
        hub_in_mnli: HUB,
        // The labelled file that GLUE's authors published later calls them so.
        text_a: &["sentence1", "Premise", "premise"],
        text_b: Some(&["sentence2", "Hypothesis", "hypothesis"]),
        label: &["label", "Label"],
        ..MNLI
    },
];

/// The scores of STS-B.
const SIMILARITY: std::ops::RangeInclusive<f64> = 0.0..=5.0;

impl Entry {
    /// The description of the task.
    pub fn spec(&self, trained_as: Option<Task>) -> TaskSpec {
        let text = |text: &str| text.to_owned();
        let texts = |texts: &[&str]| texts.iter().copied().map(text).collect();
        let class = |(name, word, spellings): &(&str, &str, &[&str])| ClassName {
            name: text(name),
            word: text(word),
            spellings: texts(spellings),
        };
        let splits = [Split::Train, Split::Dev, Split::Test];
        TaskSpec {
            name: text(self.name),
            title: text(self.title),
            folder: text(self.folder),
            aliases: texts(self.aliases),
            texts: [self.text_a[0]].into_iter().chain(self.text_b.map(|columns| columns[0])).map(text).collect(),
            answer: match self.classes {
                [] => Answer::Number(SIMILARITY),
                classes => Answer::Class(classes.iter().map(class).collect()),
            },
            metrics: self.metrics.to_vec(),
            headline: None,
            splits: splits.into_iter().filter(|split| self.rows[*split as usize] > 0).collect(),
            trained_as,
        }
    }
}
