//! Rows of GLUE's TSV files, streamed. A quote character is a character like any other: the official files are not quoted. Files that
//! were saved from the Hugging Face hub are, by the programs that save them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::BufRead;
use std::path::Path;

use super::label::{LabelField, allowed};
use super::layout::Layout;
use super::read::{Row, Rows};
use super::{Split, TaskKind};
use crate::error::{Error, Result, RowPlace, excerpt};
use crate::lines::Lines;

/// QQP's training set has some two dozen rows torn apart by line breaks in questions. More of them are damage.
const MAX_BROKEN_ROWS: usize = 64;

/// The rows of one file.
pub(super) struct TsvRows<R> {
    lines: Lines<R>,
    task: TaskKind,
    split: Split,
    layout: Option<Layout>,
    columns: Option<Columns>,
    rows: usize,
    blank: Option<u64>,
    skipped: Vec<u64>,
    only: Option<Selection>,
}

/// Which rows of Microsoft's MRPC training file belong to the split: GLUE's development set is the list of pairs in `dev_ids.tsv`.
pub(super) struct Selection {
    pub dev_ids: HashSet<(String, String)>,
    pub dev: bool,
}

/// Positions of the fields, known after the header.
struct Columns {
    names: Vec<String>,
    text_a: usize,
    text_b: Option<usize>,
    label: Option<(usize, &'static str)>,
    index: Option<(usize, &'static str)>,
    ids: Option<[usize; 2]>,
    /// Whether rows may have more columns than there are names.
    open_ended: bool,
    /// Whether the columns are the hub's, so that fields may be quoted.
    quoted: bool,
}

impl<R: BufRead> TsvRows<R> {
    pub fn new(lines: Lines<R>, task: TaskKind, split: Split, only: Option<Selection>) -> Self {
        Self { lines, task, split, layout: None, columns: None, rows: 0, blank: None, skipped: Vec::new(), only }
    }

    fn no_rows(&self) -> Error {
        let headerless = self.task.entry().headerless.as_ref();
        let hint = if headerless.is_some_and(|file| file.usual && (file.is_one)(self.split, "")) {
            "one row per line is expected"
        } else {
            "a header and one row per line are expected"
        };
        Error::EmptyFile { path: self.lines.path().to_owned(), hint: hint.to_owned() }
    }
}

impl<R: BufRead> Rows for TsvRows<R> {
    fn skipped(&self) -> &[u64] {
        &self.skipped
    }

    fn next_row(&mut self) -> Result<Option<Row>> {
        loop {
            let path = self.lines.path().to_owned();
            let Some((line, text)) = self.lines.next_line()? else {
                return if self.rows > 0 { Ok(None) } else { Err(self.no_rows()) };
            };
            // Blank lines are harmless at the end of a file only; in the middle a row has been lost.
            if text.is_empty() {
                self.blank.get_or_insert(line);
                continue;
            }
            let layout = self.layout.get_or_insert_with(|| self.task.layout(self.split, text));
            let columns = match &self.columns {
                Some(columns) => columns,
                None => {
                    let names = layout.fixed.map_or_else(
                        || text.split('\t').map(str::to_owned).collect(),
                        |fixed| fixed.iter().map(ToString::to_string).collect(),
                    );
                    let columns = Columns::find(names, layout, self.split, &path, line, self.only.is_some())?;
                    let columns = self.columns.insert(columns);
                    if layout.fixed.is_none() {
                        continue;
                    }
                    columns
                }
            };
            let expected = columns.names.len();
            let wrong_count =
                |line, found| Error::column_count(&path, line, found, expected, &excerpt(&columns.names.join(" ")));
            let fields: Vec<&str> = text.split('\t').collect();
            if layout.has_broken_rows {
                if let Some(blank) = self.blank.take() {
                    self.skipped.push(blank);
                }
                if fields.len() < expected {
                    self.skipped.push(line);
                }
                if self.skipped.len() > MAX_BROKEN_ROWS {
                    return Err(wrong_count(line, fields.len()));
                }
                if fields.len() < expected {
                    continue;
                }
            }
            if let Some(blank) = self.blank {
                return Err(wrong_count(blank, 0));
            }
            if fields.len() < expected || (fields.len() > expected && !columns.open_ended) {
                return Err(wrong_count(line, fields.len()));
            }
            if let (Some(only), Some([a, b])) = (&self.only, columns.ids)
                && only.dev_ids.contains(&(fields[a].to_owned(), fields[b].to_owned())) != only.dev
            {
                continue;
            }
            let field = |column: usize| match columns.quoted {
                true => unquoted(fields[column]),
                false => Cow::Borrowed(fields[column]),
            };
            let label = columns.label.map(|(column, name)| {
                let given = LabelField::text(self.task.task(), &field(column));
                let wrong =
                    |[given, allowed]: [String; 2]| Error::field(&path, RowPlace::Line(line), name, &given, &allowed);
                given.in_split(self.task.task(), self.split, allowed).map_err(wrong)
            });
            let label = label.transpose()?.flatten();
            // GLUE's own script, which makes its MRPC files of Microsoft's, trims the lines.
            let text_of = |column: usize| match self.only {
                Some(_) if column + 1 == expected => fields[column].trim_end().to_owned(),
                _ => field(column).into_owned(),
            };
            let index = columns.index.and_then(|(column, name)| Some((fields[column].parse().ok()?, name)));
            let row = Row {
                text_a: text_of(columns.text_a),
                text_b: columns.text_b.map(text_of),
                label,
                index,
                place: RowPlace::Line(line),
            };
            self.rows += 1;
            return Ok(Some(row));
        }
    }
}

impl Columns {
    fn find(names: Vec<String>, layout: &Layout, split: Split, path: &Path, line: u64, with_ids: bool) -> Result<Self> {
        let place = |wanted: &'static str| names.iter().position(|name| name == wanted);
        let missing = |field| Error::missing_column(path, line, field, &names.join(", "));
        let first = |wanted: &'static [&'static str]| wanted.iter().find_map(|name| Some((place(name)?, *name)));
        let needed = |wanted: &'static [&'static str]| first(wanted).ok_or_else(|| missing(wanted[0]));
        let (text_a, name) = needed(layout.text_a)?;
        // GLUE's own name stands first, and only the hub numbers rows by `idx`.
        let quoted = name != layout.text_a[0] || place("idx").is_some();
        let text_b = layout.text_b.map(needed).transpose()?.map(|(column, _)| column);
        let label = match first(layout.label) {
            None if split != Split::Test => return Err(missing(layout.label[0])),
            found => found,
        };
        let id = |name: &'static str| place(name).ok_or_else(|| missing(name));
        let ids = if with_ids { Some([id("#1 ID")?, id("#2 ID")?]) } else { None };
        let open_ended = layout.fixed.is_some_and(|fixed| fixed.contains(&"old_index"));
        Ok(Self { text_a, text_b, label, index: first(layout.index), ids, open_ended, quoted, names })
    }
}

/// A field without the quotes that writers of CSV put around one with quotes in it, which they double.
fn unquoted(field: &str) -> Cow<'_, str> {
    let inner = field.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inner.map(|inner| inner.replace("\"\"", "\0")) {
        Some(inner) if !inner.contains('"') => Cow::Owned(inner.replace('\0', "\"")),
        _ => Cow::Borrowed(field),
    }
}

/// Reads `dev_ids.tsv`: the two sentence numbers of every pair of MRPC's development set.
pub(super) fn read_dev_ids(path: &Path) -> Result<HashSet<(String, String)>> {
    let mut lines = Lines::open(path)?;
    let mut ids = HashSet::new();
    while let Some((line, text)) = lines.next_line()? {
        if text.is_empty() {
            continue;
        }
        let Some((a, b)) = text.split_once('\t') else {
            return Err(Error::column_count(path, line, 1, 2, "two sentence numbers"));
        };
        ids.insert((a.trim().to_owned(), b.trim().to_owned()));
    }
    match ids.is_empty() {
        false => Ok(ids),
        true => {
            Err(Error::EmptyFile { path: path.to_owned(), hint: "two sentence numbers per line are expected".into() })
        }
    }
}
