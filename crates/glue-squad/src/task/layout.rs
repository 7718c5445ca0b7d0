//! Which columns the TSV files of a task have.

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

/// Files without a header, where a data set has such.
pub(super) struct Headerless {
    pub columns: &'static [&'static str],
    /// Whether a file of a split is one, by its first line.
    pub is_one: fn(Split, &str) -> bool,
    /// Whether that is GLUE's own layout of the training set.
    pub usual: bool,
}

/// CoLA's labeled files have no header: source, label, the linguist's mark, sentence.
pub(super) const HEADERLESS_COLA: Headerless = Headerless {
    columns: &["source", "label", "star", "sentence"],
    is_one: |split, first| split != Split::Test && !first.split('\t').any(|name| name == "sentence"),
    usual: true,
};

/// STS-B as its authors released it has no header either, and license notes in more columns behind these.
pub(super) const HEADERLESS_STSB: Headerless = Headerless {
    columns: &["genre", "filename", "year", "old_index", "score", "sentence1", "sentence2"],
    is_one: |_, first| {
        let fields: Vec<&str> = first.split('\t').collect();
        !fields.contains(&"sentence1") && fields.len() >= 7 && fields[4].parse::<f64>().is_ok()
    },
    usual: false,
};

impl TaskKind {
    /// The layout of a file whose first line is `first`.
    pub(super) fn layout(self, split: Split, first: &str) -> Layout {
        let entry = self.entry();
        Layout {
            fixed: entry.headerless.as_ref().filter(|file| (file.is_one)(split, first)).map(|file| file.columns),
            text_a: entry.text_a,
            text_b: entry.text_b,
            label: entry.label,
            index: &["index", "id", "idx"],
            has_broken_rows: entry.has_broken_rows && split != Split::Test,
        }
    }
}
