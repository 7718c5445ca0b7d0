//! Texts of words with a tag for each word.

use std::collections::BTreeMap;
use std::path::Path;

use table_rows::{Cell, Format, Place, Table};

use super::cell::row_place;
use super::file::{Kind, OwnTask};
use crate::entities::{Scheme, StartCounts, TagSet};
use crate::error::{Error, Result, RowPlace, excerpt};
use crate::task::{Example, Label, Split, SplitData, Tags, Task, join_words, words_of};

/// Why rows are passed over.
const NO_WORDS: &str = "no words in it";
/// Tags that a message shows.
const SHOWN: usize = 12;

/// A row of a file of tags.
struct TaggedRow {
    words: Vec<String>,
    /// `None` in a test file without tags.
    tags: Option<Vec<String>>,
    place: Place,
}

/// The rows of a file, read one after another.
struct TaggedRows<'a> {
    own: &'a OwnTask,
    table: Table,
    is_conll: bool,
    labeled: bool,
}

impl<'a> TaggedRows<'a> {
    fn open(own: &'a OwnTask, path: &Path, may_lack_tags: bool) -> Result<Self> {
        let mut table = Table::open(path, &own.layout())?;
        let labeled = !may_lack_tags || own.label.iter().all(|column| table.columns().contains(column));
        let columns = own.text.iter().chain(own.label.iter().filter(|_| labeled));
        table.select(&columns.map(String::as_str).collect::<Vec<_>>())?;
        Ok(Self { own, table, is_conll: own.is_conll(), labeled })
    }

    fn next_row(&mut self) -> Result<Option<TaggedRow>> {
        let Some(row) = self.table.next_row()? else { return Ok(None) };
        let (own, path, place) = (self.own, self.table.path(), row.place);
        let mut cells = row.cells.into_iter();
        let mut entries = |column: &str, what: &str| {
            list(cells.next().unwrap_or(Cell::Null)).map_err(|given| {
                Error::field(
                    path,
                    row_place(place),
                    column,
                    &given,
                    &format!("a list of {what}, or a text that white space divides"),
                )
            })
        };
        let words = entries(&own.text[0], "words")?;
        let tags = if self.labeled { Some(entries(&own.label[0], "tags")?) } else { None };
        if let Some(tags) = tags.as_ref().filter(|tags| tags.len() != words.len()) {
            let reason =
                format!("{} words in `{}` and {} tags in `{}`", words.len(), own.text[0], tags.len(), own.label[0]);
            return Err(Error::BadRow { path: path.to_owned(), place: row_place(place), reason });
        }
        Ok(Some(TaggedRow { words, tags, place }))
    }

    /// Where word `at` of a row is: in a file with a line for each word that line.
    fn word_place(&self, place: Place, at: usize) -> RowPlace {
        match (place, self.is_conll) {
            (Place::Line(line), true) => RowPlace::Line(line + at as u64),
            _ => row_place(place),
        }
    }
}

/// The entries of a cell.
fn list(cell: Cell) -> Result<Vec<String>, String> {
    match cell {
        Cell::Null => Ok(Vec::new()),
        Cell::List(cells) => cells.into_iter().map(Cell::into_text).collect(),
        Cell::Text(whole) => Ok(whole.split_whitespace().map(str::to_owned).collect()),
        other => Err(other.into_text()?),
    }
}

/// The index of a tag: by its name, or as a whole number where `classes` name the numbers.
fn index(classes: &[String], tag: &str) -> Option<u16> {
    let named = classes.iter().position(|class| class == tag);
    let at = named.or_else(|| tag.parse().ok().filter(|at: &usize| *at < classes.len()))?;
    u16::try_from(at).ok()
}

impl OwnTask {
    /// Whether its files have a word on each line.
    pub fn is_conll(&self) -> bool {
        let named = || self.files().next().and_then(Format::of_name);
        self.format.or_else(named) == Some(Format::Conll)
    }

    /// Fills in the columns of CoNLL files: the first has the words, the last the tags.
    ///
    /// # Errors
    /// The first file cannot be read.
    pub fn with_usual_columns(mut self, folder: &Path) -> Result<Self> {
        if !self.is_conll() || (!self.text.is_empty() && !self.label.is_empty()) {
            return Ok(self);
        }
        let Some(file) = self.files().next() else { return Ok(self) };
        let table = Table::open(&folder.join(file), &self.layout())?;
        // A test file may have the words alone.
        let last = table.columns().len().max(2);
        if self.text.is_empty() {
            self.text.push("1".to_owned());
        }
        if self.label.is_empty() {
            self.label.push(last.to_string());
        }
        Ok(self)
    }

    /// Whether its rows have lists of words, as the first row tells.
    pub(super) fn has_words(&self, path: &Path) -> Result<bool> {
        if self.is_conll() {
            return Ok(true);
        }
        if self.text.len() != 1 || self.label.len() != 1 {
            return Ok(false);
        }
        let mut table = Table::open(path, &self.layout())?;
        table.select(&[self.text[0].as_str(), self.label[0].as_str()])?;
        Ok(table.next_row()?.is_some_and(|row| row.cells.iter().all(|cell| matches!(cell, Cell::List(_)))))
    }

    /// Finds the tags of the training file, unless `classes` name them, and says what they mark. Returns the number of rows and what a
    /// person should know.
    pub(super) fn describe_tags(&mut self, path: &Path) -> Result<(u64, Vec<String>)> {
        let columns = self.label.join(", ");
        let refuse =
            |reason: String| Error::WrongEntry { path: path.to_owned(), inside: format!("column `{columns}`"), reason };
        let mut counts = BTreeMap::<String, u64>::new();
        let mut rows = TaggedRows::open(self, path, false)?;
        let mut count = 0;
        while let Some(row) = rows.next_row()? {
            count += 1;
            for (at, tag) in row.tags.iter().flatten().enumerate() {
                if tag.is_empty() {
                    let reason = format!("the word `{}` has no tag", excerpt(&row.words[at]));
                    return Err(Error::BadRow { path: path.to_owned(), place: rows.word_place(row.place, at), reason });
                }
                if counts.len() > Tags::MOST {
                    return Err(refuse(format!(
                        "more than {} different tags; is this the column of the tag?",
                        Tags::MOST
                    )));
                }
                *counts.entry(tag.clone()).or_default() += 1;
            }
        }
        if counts.is_empty() {
            let hint = "words with tags are expected".to_owned();
            return Err(Error::EmptyFile { path: path.to_owned(), hint });
        }
        if self.classes.is_empty() {
            if counts.keys().all(|tag| tag.parse::<u64>().is_ok()) {
                return Err(refuse(
                    "the tags are numbers; a description has to name them in their order: classes = [\"O\", \"B-PER\", ...]"
                        .to_owned(),
                ));
            }
            self.classes = counts.into_keys().collect();
            if let [only] = self.classes.as_slice() {
                return Err(refuse(format!("all words have the tag `{}`; at least two are needed", excerpt(only))));
            }
        }
        let set = TagSet::of(&self.classes);
        let mut notes = vec![self.named_tags(&columns)];
        let scheme = self.scheme_of_rows(path, &set, &mut notes)?;
        if scheme == Scheme::Iob1 && self.metrics.is_empty() {
            // By the rules of IOB2 its entities would have no beginning.
            use crate::metrics::Metric::{Accuracy, EntityF1, EntityPrecision, EntityRecall};
            self.metrics = vec![EntityF1, EntityPrecision, EntityRecall, Accuracy];
        }
        Ok((count, notes))
    }

    fn named_tags(&self, columns: &str) -> String {
        let shown: Vec<String> = self.classes.iter().take(SHOWN).map(|name| excerpt(name)).collect();
        let more = if self.classes.len() > SHOWN { ", ..." } else { "" };
        format!("`{columns}` has {} tags: {}{more}", self.classes.len(), shown.join(", "))
    }

    /// Reads the file again, for what only a known scheme can say.
    fn scheme_of_rows(&self, path: &Path, set: &TagSet, notes: &mut Vec<String>) -> Result<Scheme> {
        let mut starts = StartCounts::default();
        let mut breaks = [Scheme::Iob2, Scheme::Bioes].map(|scheme| (scheme, 0_u64, None));
        let mut rows = TaggedRows::open(self, path, false)?;
        while let Some(row) = rows.next_row()? {
            let place = row.place;
            let tags = self.tags_of(&rows, &row)?.unwrap_or_default().tags;
            starts.add(set, &tags);
            for (scheme, count, first) in &mut breaks {
                let found = set.breaks(*scheme, &tags);
                *count += found.len() as u64;
                if let (true, Some(at)) = (first.is_none(), found.first()) {
                    *first = Some(rows.word_place(place, (*at).min(tags.len().saturating_sub(1))));
                }
            }
        }
        let scheme = starts.scheme(set.scheme());
        notes.push(match scheme {
            Scheme::Plain => "the tags mark no entities; words are scored one by one".to_owned(),
            scheme => format!("the tags mark entities by the scheme {scheme}"),
        });
        if let Some((_, count, Some(first))) = breaks.iter().find(|(of, ..)| *of == scheme) {
            let first = match first {
                RowPlace::Line(line) => format!("line {line}"),
                RowPlace::Row(row) => format!("row {row}"),
            };
            let places = if *count == 1 { "one word breaks" } else { "words break" };
            let count = if *count == 1 { String::new() } else { format!("{count} ") };
            notes.push(format!(
                "{count}{places} the rules of {scheme}, the first in {first}; they are learned as they are"
            ));
        }
        Ok(scheme)
    }

    /// The tags of a row as numbers.
    fn tags_of(&self, rows: &TaggedRows<'_>, row: &TaggedRow) -> Result<Option<Tags>> {
        let Some(tags) = &row.tags else { return Ok(None) };
        let mut found = Vec::with_capacity(tags.len());
        for (at, tag) in tags.iter().enumerate() {
            let known = || format!("{} (what the training data have)", self.classes.join(", "));
            found.push(index(&self.classes, tag).ok_or_else(|| {
                Error::field(rows.table.path(), rows.word_place(row.place, at), &self.label[0], tag, &known())
            })?);
        }
        Ok(Some(Tags::new(row.words.iter().map(String::as_str), found)))
    }

    /// The rows of a file of tags. Those without words are passed over but in a test set.
    pub(super) fn read_tagged(&self, path: &Path, split: Split) -> Result<SplitData> {
        let is_test = split == Split::Test;
        let mut rows = TaggedRows::open(self, path, is_test)?;
        let (mut examples, mut skipped, mut id) = (Vec::new(), Vec::new(), 0);
        while let Some(row) = rows.next_row()? {
            if row.words.is_empty() && !is_test {
                let (Place::Line(number) | Place::Row(number)) = row.place;
                skipped.push(number);
            } else {
                let label = self.tags_of(&rows, &row)?.map(Label::Tags);
                let text_a = join_words(row.words.iter().map(String::as_str));
                examples.push(Example { id, text_a, text_b: None, label });
            }
            id += 1;
        }
        Ok(SplitData { path: path.to_owned(), examples, skipped, why: NO_WORDS })
    }

    pub(super) fn is_tagged(&self) -> bool {
        self.kind == Some(Kind::Tags)
    }
}

/// Predicted tags as CoNLL columns: a word, a tab and its tag on each line, an empty line behind each text.
///
/// # Errors
/// Tags of other texts, or a tag that the task does not have.
pub fn render_tags(task: &Task, examples: &[Example], predicted: &[Vec<u16>]) -> Result<String> {
    let names = task.labels();
    let mut text = String::new();
    if examples.len() != predicted.len() {
        let (given, wanted) = (predicted.len(), examples.len());
        return Err(Error::Invalid(format!("{task}: tags of {given} texts for {wanted}")));
    }
    for (example, tags) in examples.iter().zip(predicted) {
        let words = words_of(&example.text_a);
        if words.len() != tags.len() {
            let (row, given) = (example.id, tags.len());
            return Err(Error::Invalid(format!("{task}: row {row}: {given} tags for {} words", words.len())));
        }
        for (word, tag) in words.into_iter().zip(tags) {
            let name = names.get(usize::from(*tag)).copied();
            let name =
                name.ok_or_else(|| Error::Invalid(format!("{task}: tag {tag}; the task has {}", names.len())))?;
            text += &format!("{}\t{name}\n", &example.text_a[word]);
        }
        text.push('\n');
    }
    Ok(text)
}
