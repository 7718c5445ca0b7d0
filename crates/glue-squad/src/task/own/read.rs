//! The examples of a split of a task of one's own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use table_rows::{Cell, Place, Table};

use super::cell::{label, places, row_place, unlabeled};
use super::file::{Kind, OwnTask};
use super::part::held_out;
use crate::error::{Error, Result, folder_listing};
use crate::task::{Example, Label, Match, Split, SplitData};

/// Why rows are passed over.
const NO_TEXT: &str = "no text in it";

impl OwnTask {
    /// The file of a split.
    ///
    /// # Errors
    /// The description names none, or it is not there.
    pub(in crate::task) fn find(&self, folder: &Path, split: Split) -> Result<Vec<PathBuf>> {
        let Some(file) = self.file(split) else {
            let key = if split == Split::Test { "test" } else { "train" };
            return Err(Error::Invalid(format!("task `{}`: no {key} file is named", self.name)));
        };
        let path = folder.join(file);
        if path.is_file() {
            return Ok(vec![path]);
        }
        let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
        let wanted = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match folder.is_dir() {
            true => Err(Error::FileMissing { found: folder_listing(&folder), folder, wanted }),
            false => Err(Error::FolderMissing { path: folder, hint: format!("{wanted} should be in it") }),
        }
    }

    /// Reads a split. Rows without text are passed over but in a test set, where every row is to be answered. Without a dev file the dev
    /// split is a part of the training file, and the training split the rest.
    ///
    /// # Errors
    /// The first thing that is wrong, with file, row and column.
    pub(in crate::task) fn read_split(&self, folder: &Path, split: Split) -> Result<SplitData> {
        let path = self.find(folder, split)?.remove(0);
        let mut data = self.read_file(&path, split)?;
        if self.dev.is_none() && split != Split::Test {
            let held = held_out(&data.examples, self.dev_part, self.dev_seed);
            let mut rows = held.into_iter();
            data.examples.retain(|_| rows.next() == Some(split == Split::Dev));
        }
        if data.examples.is_empty() {
            let reason = format!("no row with text is left for {split}; give more rows, or name a file of its own");
            return Err(Error::WrongEntry { path, inside: "all rows".to_owned(), reason });
        }
        Ok(data)
    }

    fn read_file(&self, path: &Path, split: Split) -> Result<SplitData> {
        if self.is_tagged() {
            return self.read_tagged(path, split);
        }
        let mut table = Table::open(path, &self.layout())?;
        // A test set may lack labels; with one of several columns there it needs all of them.
        let has = |column: &String| table.columns().contains(column);
        let labeled = split != Split::Test || self.label.iter().any(has);
        let columns = self.text.iter().chain(self.label.iter().filter(|_| labeled));
        let columns: Vec<&str> = columns.map(String::as_str).collect();
        table.select(&columns)?;
        let (mut examples, mut skipped, mut id) = (Vec::new(), Vec::new(), 0);
        let classes = places(self);
        while let Some(mut row) = table.next_row()? {
            let place = row.place;
            let labels = row.cells.split_off(self.text.len());
            let mut texts = Vec::new();
            for (column, cell) in self.text.iter().zip(row.cells) {
                let wrong = |given: String| Error::field(path, row_place(place), column, &given, "a text");
                texts.push(cell.into_text().map_err(wrong)?);
            }
            let is_empty = |text: &String| text.trim().is_empty();
            // Of two texts that are compared, one is nothing.
            let is_passed_over =
                if self.makes_vectors() { texts.iter().any(is_empty) } else { texts.iter().all(is_empty) };
            if split != Split::Test && is_passed_over {
                skipped.push(match place {
                    Place::Line(number) | Place::Row(number) => number,
                });
                id += 1;
                continue;
            }
            let label = match (self.kind, texts.as_slice()) {
                (Some(Kind::Retrieval), [query, answer]) => Some(Label::Match(Match::of(query, answer))),
                _ if labeled => self.label_of(path, place, &classes, labels)?,
                _ => None,
            };
            if label.is_none() && split != Split::Test {
                return Err(unlabeled(path, place, &self.label[0]));
            }
            let mut texts = texts.into_iter();
            let text_a = texts.next().unwrap_or_default();
            examples.push(Example { id, text_a, text_b: texts.next(), label });
            id += 1;
        }
        Ok(SplitData { path: path.to_owned(), examples, skipped, why: NO_TEXT })
    }

    fn label_of(
        &self,
        path: &Path,
        place: Place,
        classes: &HashMap<&str, usize>,
        cells: Vec<Cell>,
    ) -> Result<Option<Label>> {
        let column = self.label.join(", ");
        let wrong = |[given, allowed]: [String; 2]| Error::field(path, row_place(place), &column, &given, &allowed);
        label(self, classes, cells).map_err(wrong)
    }
}
