//! The examples of a split of a task of one's own.

use std::path::{Path, PathBuf};

use table_rows::{Cell, Table};

use super::cell::{label, row_place, text, unlabeled};
use super::file::{Kind, OwnTask};
use super::part::held_out;
use crate::error::{Error, Result, folder_listing};
use crate::task::{Example, Split, SplitData};

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
            return Err(Error::EmptyFile { path, hint: format!("no row is left for {split}") });
        }
        Ok(data)
    }

    fn read_file(&self, path: &Path, split: Split) -> Result<SplitData> {
        let mut table = Table::open(path, &self.layout())?;
        // A test set may lack labels; with some of several columns missing it has them in another way.
        let has = |column: &String| table.columns().contains(column);
        let labeled = split != Split::Test || self.label.iter().any(has);
        let columns = self.text.iter().chain(self.label.iter().filter(|_| labeled));
        let columns: Vec<&str> = columns.map(String::as_str).collect();
        table.select(&columns)?;
        let (mut examples, mut skipped, mut id) = (Vec::new(), Vec::new(), 0);
        while let Some(mut row) = table.next_row()? {
            let place = row.place;
            let labels = row.cells.split_off(self.text.len());
            let mut texts = Vec::new();
            for (column, cell) in self.text.iter().zip(row.cells) {
                let wrong = |given: String| Error::field(path, row_place(place), column, &given, "a text");
                texts.push(text(cell).map_err(wrong)?);
            }
            if split != Split::Test && texts.iter().all(|text| text.trim().is_empty()) {
                skipped.push(match place {
                    table_rows::Place::Line(number) | table_rows::Place::Row(number) => number,
                });
                id += 1;
                continue;
            }
            let label = self.label_of(path, place, labels, labeled)?;
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
        place: table_rows::Place,
        cells: Vec<Cell>,
        labeled: bool,
    ) -> Result<Option<crate::task::Label>> {
        if !labeled {
            return Ok(None);
        }
        let column = if self.kind == Some(Kind::Labels) { self.label.join(", ") } else { self.label[0].clone() };
        label(self, cells).map_err(|[given, allowed]| Error::field(path, row_place(place), &column, &given, &allowed))
    }
}
