//! What a description leaves open, found in the training file.

use std::collections::BTreeMap;
use std::path::Path;

use table_rows::{Cell, Table};

use super::cell::{names, number, row_place, unlabeled};
use super::class_weights::ClassWeights;
use super::file::{Kind, OwnTask};
use crate::error::{Error, Result, excerpt};
use crate::task::{LabelSet, Scale};

/// More different whole numbers than this are taken for numbers, not for classes.
const MOST_NUMBERED_CLASSES: usize = 20;
/// More different labels than this are no classes: the column holds something else.
const MOST_CLASSES: usize = 1000;
/// Names that a message shows.
const SHOWN: usize = 8;

/// A description without gaps, and what a person should know of it.
#[derive(Debug, Clone)]
pub struct Described {
    /// The description.
    pub own: OwnTask,
    /// Rows of the training file.
    pub rows: u64,
    /// What was found, in words for people, the assumptions first.
    pub notes: Vec<String>,
}

/// What the labels of a file are like.
#[derive(Default)]
struct Found {
    rows: u64,
    counts: BTreeMap<String, u64>,
    too_many: bool,
    lists: bool,
    numbers: bool,
    whole: bool,
    mean: f64,
    squares: f64,
}

impl OwnTask {
    /// Fills in kind, classes and scale from the training file in `folder`. Whole numbers of at most 20 different values are classes, other
    /// numbers a regression, texts are classes, and lists are labels, or tags where the texts are lists too. Classes stand in the order of numbers, or else of their bytes.
    ///
    /// # Errors
    /// The file cannot be read, lacks a column, or has labels that are none.
    pub fn described(mut self, folder: &Path) -> Result<Described> {
        self = self.with_usual_columns(folder)?;
        self.check()?;
        let file = self.train.clone().ok_or_else(|| {
            Error::Invalid(format!("task `{}`: there is no training file to find the labels in", excerpt(&self.name)))
        })?;
        if self.label.len() > 1 {
            self.kind = Some(Kind::Labels);
            self.classes.clone_from(&self.label);
        }
        let path = folder.join(file);
        if self.kind == Some(Kind::Retrieval) {
            let rows = self.count_pairs(&path)?;
            return Ok(Described { own: self, rows, notes: Vec::new() });
        }
        if self.is_tagged() || (self.kind.is_none() && self.has_words(&path)?) {
            self.kind = Some(Kind::Tags);
            let (rows, notes) = self.describe_tags(&path)?;
            return Ok(Described { own: self, rows, notes });
        }
        let found = self.scan(&path)?;
        let columns = self.label.join("`, `");
        let refuse =
            |reason: String| Error::WrongEntry { path: path.clone(), inside: format!("column `{columns}`"), reason };
        let is_open = self.kind.is_none();
        let kind = match self.kind {
            Some(kind) => kind,
            None if found.lists => Kind::Labels,
            None if found.numbers
                && !(found.whole && found.counts.len() <= MOST_NUMBERED_CLASSES && !found.too_many) =>
            {
                Kind::Number
            }
            None => Kind::Class,
        };
        self.kind = Some(kind);
        let mut notes = Vec::new();
        if matches!(kind, Kind::Number | Kind::Similarity) {
            let deviation = (found.squares / found.rows as f64).sqrt();
            if deviation <= 0.0 {
                return Err(refuse(format!("all {} labels are the number {}", found.rows, found.mean)));
            }
            if kind == Kind::Similarity {
                return Ok(Described { own: self, rows: found.rows, notes });
            }
            self.scale.get_or_insert(Scale::of(found.mean, deviation));
            if is_open {
                notes.push(format!(
                    "`{columns}` is taken for a number, with a mean of {:.4} and a deviation of {deviation:.4}",
                    found.mean
                ));
            }
        } else if self.classes.is_empty() {
            self.classes = found.classes().map_err(refuse)?;
        }
        if kind == Kind::Labels && self.classes.len() > LabelSet::MOST {
            return Err(refuse(format!(
                "{} different labels; at most {} can be learned",
                self.classes.len(),
                LabelSet::MOST
            )));
        }
        if let Some(ClassWeights::Named(_)) = self.class_weights {
            let rows = self.classes.iter().map(|class| found.counts.get(class).copied().unwrap_or(0));
            self.class_weights = Some(ClassWeights::balanced(&rows.collect::<Vec<_>>()));
        }
        self.check()?;
        if (is_open || self.label.len() > 1) && kind != Kind::Number {
            notes.push(self.assumption(kind, &columns));
        }
        if kind != Kind::Number {
            let rare: Vec<&String> =
                self.classes.iter().filter(|class| found.counts.get(*class).is_none_or(|count| *count < 2)).collect();
            if let Some(first) = rare.first() {
                let more = match rare.len() {
                    1 => String::new(),
                    count => format!(", and {} more labels have 1 or none", count - 1),
                };
                let count = found.counts.get(*first).copied().unwrap_or(0);
                notes.push(format!(
                    "the label `{}` has {count} training rows{more}; too few to learn from",
                    excerpt(first)
                ));
            }
        }
        Ok(Described { own: self, rows: found.rows, notes })
    }

    /// The rows of a file that have both texts.
    fn count_pairs(&self, path: &Path) -> Result<u64> {
        let mut table = Table::open(path, &self.layout())?;
        table.select(&self.text.iter().map(String::as_str).collect::<Vec<_>>())?;
        let mut rows = 0;
        while let Some(row) = table.next_row()? {
            let is_text = |cell: Cell| cell.into_text().is_ok_and(|text| !text.trim().is_empty());
            rows += u64::from(row.cells.into_iter().all(is_text));
        }
        match rows {
            0 => Err(Error::EmptyFile { path: path.to_owned(), hint: "rows with both texts are expected".to_owned() }),
            rows => Ok(rows),
        }
    }

    fn assumption(&self, kind: Kind, columns: &str) -> String {
        let shown: Vec<String> = self.classes.iter().take(SHOWN).map(|name| excerpt(name)).collect();
        let more = if self.classes.len() > SHOWN { ", ..." } else { "" };
        let (count, shown) = (self.classes.len(), shown.join(", "));
        let what = if kind == Kind::Labels { "any number of" } else { "one of" };
        let names = if kind == Kind::Labels { "labels" } else { "classes" };
        format!("`{columns}` is taken for {what} {count} {names}: {shown}{more}")
    }

    /// Looks at every label, and at the texts only as far as their columns are there.
    fn scan(&self, path: &Path) -> Result<Found> {
        let mut table = Table::open(path, &self.layout())?;
        let columns: Vec<&str> = self.label.iter().chain(&self.text).map(String::as_str).collect();
        table.select(&columns)?;
        let mut found = Found { numbers: true, whole: true, ..Found::default() };
        while let Some(mut row) = table.next_row()? {
            let texts = row.cells.split_off(self.label.len());
            // Rows without text are passed over, as when they are read.
            if texts.into_iter().all(|text| text.into_text().is_ok_and(|text| text.trim().is_empty())) {
                continue;
            }
            found.lists |= matches!(row.cells[..], [Cell::List(_)]);
            let kind = if found.lists { Some(Kind::Labels) } else { self.kind };
            let place = row.place;
            let allowed = if self.label.len() > 1 { "0 or 1" } else { "a label" };
            let labels = names(self, kind, row.cells)
                .map_err(|given| Error::field(path, row_place(place), &self.label.join(", "), &given, allowed))?;
            if labels.is_empty() && kind != Some(Kind::Labels) {
                return Err(unlabeled(path, place, &self.label[0]));
            }
            if matches!(self.kind, Some(Kind::Number | Kind::Similarity))
                && let Some(other) = labels.iter().find(|label| number(label).is_none())
            {
                return Err(Error::field(path, row_place(place), &self.label[0], other, "a finite number"));
            }
            found.add(labels);
        }
        if found.rows == 0 {
            return Err(Error::EmptyFile {
                path: path.to_owned(),
                hint: "rows below the header are expected".to_owned(),
            });
        }
        Ok(found)
    }
}

impl Found {
    fn add(&mut self, labels: Vec<String>) {
        self.rows += 1;
        for label in labels {
            match number(&label) {
                Some(number) => {
                    self.whole &= number.fract() == 0.0 && number.abs() < 1e15;
                    // Welford's mean and sum of squares.
                    let before = number - self.mean;
                    self.mean += before / self.rows as f64;
                    self.squares += before * (number - self.mean);
                }
                None => self.numbers = false,
            }
            if self.counts.len() > MOST_CLASSES && !self.counts.contains_key(&label) {
                self.too_many = true;
            } else {
                *self.counts.entry(label).or_default() += 1;
            }
        }
    }

    /// The names of the classes in their order.
    fn classes(&self) -> Result<Vec<String>, String> {
        if self.too_many || self.counts.len() > MOST_CLASSES {
            return Err(format!("more than {MOST_CLASSES} different labels; is this the column of the label?"));
        }
        let mut names: Vec<String> = self.counts.keys().cloned().collect();
        if let ([only], false) = (names.as_slice(), self.lists) {
            return Err(format!(
                "all {} rows have the label `{}`; at least two labels are needed",
                self.rows,
                excerpt(only)
            ));
        }
        if self.numbers {
            let value = |name: &String| number(name).unwrap_or(f64::INFINITY);
            names.sort_by(|a, b| value(a).total_cmp(&value(b)));
        }
        Ok(names)
    }
}
