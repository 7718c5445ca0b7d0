//! One reader over every layout.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::hub::JsonRows;
#[cfg(feature = "parquet")]
use super::parquet::ParquetRows;
use super::tsv::{Selection, TsvRows, read_dev_ids};
use super::{Example, Label, Split, Task, TaskKind};
use crate::error::{Error, Result, RowPlace, folder_listing};
use crate::lines::Lines;

/// A split in memory and the files that it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct SplitData {
    /// The file, the first of several; not `train.tsv` where a subset stood in for it.
    pub path: PathBuf,
    /// Its rows in their order.
    pub examples: Vec<Example>,
    /// Lines or rows that were passed over: in GLUE as every reader does rows of QQP's training set that are torn apart, in tables rows without text.
    pub skipped: Vec<u64>,
    /// Why, in words for people.
    pub why: &'static str,
}

/// Why rows of GLUE's files are passed over.
const TORN: &str = "torn apart by a line break in a question, as in the official file";

impl SplitData {
    /// What was passed over and why, in words for people; `None` where every row was read.
    pub fn passed_over(&self) -> Option<String> {
        let (first, path) = (self.skipped.first()?, self.path.display());
        let what = match self.skipped.len() {
            1 => format!("line {first} is skipped"),
            count => format!("{count} lines are skipped, the first is line {first}"),
        };
        Some(format!("{path}: {what}: {}", self.why))
    }
}

/// An iterator over the rows of one file. It ends after the first error.
pub struct ExampleReader<'a> {
    source: Box<dyn Rows + 'a>,
    path: PathBuf,
    split: Split,
    rows: usize,
    finished: bool,
}

/// The rows of a file in one of the layouts.
pub(super) trait Rows {
    /// The next row; `None` at the end of a file that has any.
    fn next_row(&mut self) -> Result<Option<Row>>;

    /// The lines that were passed over because they are broken in the official file too.
    fn skipped(&self) -> &[u64] {
        &[]
    }
}

/// What every layout gives for a row.
pub(super) struct Row {
    pub text_a: String,
    pub text_b: Option<String>,
    pub label: Option<Label>,
    /// The row's own number and the column that has it.
    pub index: Option<(i64, &'static str)>,
    pub place: RowPlace,
}

/// Microsoft's file, of which GLUE makes MRPC's training and development sets, and the list that divides it.
pub(super) const MSR_TRAIN: &str = "msr_paraphrase_train.txt";
pub(super) const MSR_DEV_IDS: &str = "dev_ids.tsv";

impl Task {
    /// Whose files this task's are.
    fn reader(&self) -> Result<TaskKind> {
        self.glue().ok_or_else(|| match self.squad() {
            Some(_) => Error::Invalid(format!("{self}: is read by `squad::Dataset`")),
            None if self.is_described() => Error::Invalid(format!("{self}: its files are read whole, by `read_split`")),
            None => Error::Invalid(format!("{self}: its description names no files; its examples come from memory")),
        })
    }

    /// The files of a split below `dir`.
    ///
    /// # Errors
    /// As [`TaskKind::find_all`]; a task that is none of GLUE's and not described by a file.
    pub fn find_all(&self, dir: &Path, split: Split) -> Result<Vec<PathBuf>> {
        #[cfg(feature = "tables")]
        if let Some((own, _)) = self.described_by() {
            return own.find(dir, split);
        }
        self.reader()?.find_all(dir, split)
    }

    /// Streams one file of a split.
    ///
    /// # Errors
    /// As [`TaskKind::open`]; a task that is none of GLUE's and not described by a file.
    pub fn open(&self, path: &Path, split: Split) -> Result<ExampleReader<'static>> {
        self.reader()?.open(path, split)
    }

    /// Reads a whole split below `dir`.
    ///
    /// # Errors
    /// As [`TaskKind::read_split`]; a task that is none of GLUE's and not described by a file.
    pub fn read_split(&self, dir: &Path, split: Split) -> Result<SplitData> {
        #[cfg(feature = "tables")]
        if let Some((own, _)) = self.described_by() {
            return own.read_split(dir, split);
        }
        self.reader()?.read_split(dir, split)
    }

    /// The labels of a split in the order of its files; examples without one are left out.
    ///
    /// # Errors
    /// As [`Task::read_split`].
    pub fn split_labels(&self, dir: &Path, split: Split) -> Result<Vec<Label>> {
        #[cfg(feature = "tables")]
        if let Some((own, _)) = self.described_by() {
            return Ok(own.read_split(dir, split)?.examples.into_iter().filter_map(|example| example.label).collect());
        }
        let kind = self.reader()?;
        let paths = kind.find_all(dir, split)?;
        kind.stream(&paths, split).filter_map(|example| example.map(|e| e.label).transpose()).collect()
    }
}

impl TaskKind {
    /// Reads a split from the GLUE folder or the task's own folder; the files are those of [`TaskKind::find_all`].
    ///
    /// # Errors
    /// The first thing that is wrong, with file, line and field.
    pub fn read_split(self, dir: &Path, split: Split) -> Result<SplitData> {
        let paths = self.find_all(dir, split)?;
        let (mut examples, mut skipped) = (Vec::new(), Vec::new());
        for path in data_files(&paths) {
            let mut reader = self.open(path, split)?;
            reader.rows = examples.len();
            for example in reader.by_ref() {
                examples.push(example?);
            }
            skipped.extend(reader.skipped());
        }
        let path = paths.into_iter().next().unwrap_or_else(|| dir.to_owned());
        Ok(SplitData { path, examples, skipped, why: TORN })
    }

    /// Streams one file of this task and split. Its content decides the layout: Parquet by its first bytes, JSONL by an opening
    /// brace, else TSV. Rows of MRPC's `msr_paraphrase_train.txt` are divided by `dev_ids.tsv` beside it.
    ///
    /// # Errors
    /// The file cannot be opened, or is no Parquet file in spite of its name. What is wrong inside comes out of the iterator.
    pub fn open(self, path: &Path, split: Split) -> Result<ExampleReader<'static>> {
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        let mut input = BufReader::with_capacity(64 * 1024, file);
        let start = input.fill_buf().map_err(|e| Error::io(path, e))?;
        if start.starts_with(b"PAR1") || path.extension().is_some_and(|e| e == "parquet") {
            return self.open_parquet(path, split);
        }
        if self.entry().sources[split as usize].contains(&MSR_TRAIN) && is_named(path, MSR_TRAIN) {
            let ids = path.with_file_name(MSR_DEV_IDS);
            if !ids.is_file() {
                let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
                let wanted = format!("{MSR_DEV_IDS} (it says which rows of {MSR_TRAIN} are the development set)");
                return Err(Error::FileMissing { found: folder_listing(&folder), folder, wanted });
            }
            let only = Selection { dev_ids: read_dev_ids(&ids)?, dev: split == Split::Dev };
            let rows = TsvRows::new(Lines::new(input, path.to_owned()), self, split, Some(only));
            return Ok(ExampleReader::over(rows, path, split));
        }
        let is_json = begins_object(input.fill_buf().map_err(|e| Error::io(path, e))?)
            || path.extension().is_some_and(|e| e == "jsonl" || e == "json");
        Ok(self.text(input, path, split, is_json))
    }

    /// Streams the rows of the files that [`TaskKind::find_all`] gives, one file after the other, and ends after the first error.
    pub fn stream<'p>(self, paths: &'p [PathBuf], split: Split) -> impl Iterator<Item = Result<Example>> + use<'p> {
        let (mut files, mut reader, mut rows) = (data_files(paths), None, 0);
        std::iter::from_fn(move || {
            loop {
                let Some(open) = &mut reader else {
                    match self.open(files.next()?, split) {
                        Ok(mut opened) => {
                            opened.rows = rows;
                            reader = Some(opened);
                            continue;
                        }
                        Err(error) => {
                            files = data_files(&[]);
                            return Some(Err(error));
                        }
                    }
                };
                match open.next() {
                    Some(Ok(example)) => {
                        rows += 1;
                        return Some(Ok(example));
                    }
                    Some(Err(error)) => {
                        (files, reader) = (data_files(&[]), None);
                        return Some(Err(error));
                    }
                    None => reader = None,
                }
            }
        })
    }

    /// Streams any bytes in a TSV or JSONL layout of this task and split; `name` stands for the file in errors.
    pub fn parse<'a>(self, mut input: impl BufRead + 'a, name: impl AsRef<Path>, split: Split) -> ExampleReader<'a> {
        // An error of reading comes again with the first line.
        let is_json = input.fill_buf().is_ok_and(begins_object);
        self.text(input, name.as_ref(), split, is_json)
    }

    #[cfg(feature = "parquet")]
    fn open_parquet(self, path: &Path, split: Split) -> Result<ExampleReader<'static>> {
        let rows = ParquetRows::new(parquet_rows::Rows::open(path)?, self, split)?;
        Ok(ExampleReader::over(rows, path, split))
    }

    #[cfg(not(feature = "parquet"))]
    fn open_parquet(self, path: &Path, _: Split) -> Result<ExampleReader<'static>> {
        Err(Error::Invalid(format!(
            "{}: a Parquet file, which this build of {} does not read: turn on its feature `parquet`",
            path.display(),
            env!("CARGO_PKG_NAME")
        )))
    }

    fn text<'a>(self, input: impl BufRead + 'a, path: &Path, split: Split, is_json: bool) -> ExampleReader<'a> {
        let lines = Lines::new(input, path.to_owned());
        match is_json {
            true => ExampleReader::over(JsonRows::new(lines, self, split), path, split),
            false => ExampleReader::over(TsvRows::new(lines, self, split, None), path, split),
        }
    }
}

/// The files that have rows.
fn data_files(paths: &[PathBuf]) -> std::slice::Iter<'_, PathBuf> {
    // The list that divides one of them comes last.
    let is_list = paths.last().is_some_and(|path| is_named(path, MSR_DEV_IDS));
    paths[..paths.len() - usize::from(is_list)].iter()
}

fn is_named(path: &Path, name: &str) -> bool {
    path.file_name().is_some_and(|found| found == name)
}

/// Whether text begins with a JSON object.
fn begins_object(start: &[u8]) -> bool {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    start.trim_ascii_start().starts_with(b"{")
}

impl<'a> ExampleReader<'a> {
    fn over(source: impl Rows + 'a, path: &Path, split: Split) -> Self {
        Self { source: Box::new(source), path: path.to_owned(), split, rows: 0, finished: false }
    }

    /// The lines passed over so far, see [`SplitData::skipped`].
    pub fn skipped(&self) -> &[u64] {
        self.source.skipped()
    }

    fn advance(&mut self) -> Result<Option<Example>> {
        let Some(row) = self.source.next_row()? else { return Ok(None) };
        // Prediction files number the rows by position. A shuffled or cut test set would be answered under wrong numbers.
        if self.split == Split::Test
            && row.label.is_none()
            && let Some((given, field)) = row.index
            && usize::try_from(given) != Ok(self.rows)
        {
            let allowed = format!("{} here; a test set is needed whole and in its order", self.rows);
            return Err(Error::field(&self.path, row.place, field, &given.to_string(), &allowed));
        }
        let example = Example { id: self.rows, text_a: row.text_a, text_b: row.text_b, label: row.label };
        self.rows += 1;
        Ok(Some(example))
    }
}

impl Iterator for ExampleReader<'_> {
    type Item = Result<Example>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let item = self.advance().transpose();
        self.finished = !matches!(item, Some(Ok(_)));
        item
    }
}
