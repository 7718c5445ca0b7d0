//! Rows of GLUE's TSV files, streamed. A quote character is a character like any other: the official files are not quoted.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::layout::Layout;
use super::{Example, Head, Label, Split, TaskKind};
use crate::error::{Error, Result, excerpt};
use crate::lines::Lines;

/// A split in memory and the file that it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct SplitData {
    /// The file; not `train.tsv` where a subset stood in for it.
    pub path: PathBuf,
    /// Its rows in their order.
    pub examples: Vec<Example>,
}

/// An iterator over the rows of one file. It ends after the first error.
pub struct ExampleReader<R = BufReader<File>> {
    lines: Lines<R>,
    task: TaskKind,
    split: Split,
    columns: Option<Columns>,
    rows: usize,
    blank: Option<u64>,
    finished: bool,
}

/// Positions of the fields, known after the header.
struct Columns {
    names: Vec<String>,
    text_a: usize,
    text_b: Option<usize>,
    label: Option<usize>,
}

impl TaskKind {
    /// Reads a split from the GLUE folder or the task's own folder; the file is that of [`TaskKind::find`].
    ///
    /// # Errors
    /// The first thing that is wrong, with file, line and field.
    pub fn read(self, dir: &Path, split: Split) -> Result<Vec<Example>> {
        Ok(self.read_split(dir, split)?.examples)
    }

    /// [`TaskKind::read`], which also says which file was used.
    ///
    /// # Errors
    /// As [`TaskKind::read`].
    pub fn read_split(self, dir: &Path, split: Split) -> Result<SplitData> {
        let path = self.find(dir, split)?;
        let examples = self.open(&path, split)?.collect::<Result<Vec<_>>>()?;
        Ok(SplitData { path, examples })
    }

    /// Streams one file in the layout of this task and split.
    ///
    /// # Errors
    /// The file cannot be opened. What is wrong inside comes out of the iterator.
    pub fn open(self, path: &Path, split: Split) -> Result<ExampleReader> {
        Ok(ExampleReader::over(Lines::open(path)?, self, split))
    }

    /// Streams any bytes in the layout of this task and split; `name` stands for the file in errors.
    pub fn parse<R: BufRead>(self, input: R, name: impl Into<PathBuf>, split: Split) -> ExampleReader<R> {
        ExampleReader::over(Lines::new(input, name.into()), self, split)
    }
}

impl<R: BufRead> ExampleReader<R> {
    fn over(lines: Lines<R>, task: TaskKind, split: Split) -> Self {
        Self { lines, task, split, columns: None, rows: 0, blank: None, finished: false }
    }

    fn advance(&mut self) -> Result<Option<Example>> {
        let layout = self.task.layout(self.split);
        loop {
            let path = self.lines.path().to_owned();
            let Some((line, text)) = self.lines.next_line()? else {
                if self.rows > 0 {
                    return Ok(None);
                }
                let hint = if layout.fixed.is_some() {
                    "one row per line is expected"
                } else {
                    "a header and one row per line are expected"
                };
                return Err(Error::EmptyFile { path, hint: hint.to_owned() });
            };
            // Blank lines are harmless at the end of a file only; in the middle a row has been lost.
            if text.is_empty() {
                self.blank.get_or_insert(line);
                continue;
            }
            let columns = match &self.columns {
                Some(columns) => columns,
                None => {
                    let columns = match layout.fixed {
                        Some(names) => Columns::find(
                            names.iter().map(ToString::to_string).collect(),
                            &layout,
                            self.split,
                            &path,
                            line,
                        )?,
                        None => Columns::find(
                            text.split('\t').map(str::to_owned).collect(),
                            &layout,
                            self.split,
                            &path,
                            line,
                        )?,
                    };
                    let columns = self.columns.insert(columns);
                    if layout.fixed.is_none() {
                        continue;
                    }
                    columns
                }
            };
            let wrong_count = |line, found| Error::ColumnCount {
                path: path.clone(),
                line,
                expected: columns.names.len(),
                found,
                columns: excerpt(&columns.names.join(" ")),
            };
            if let Some(blank) = self.blank {
                return Err(wrong_count(blank, 0));
            }
            let fields: Vec<&str> = text.split('\t').collect();
            if fields.len() != columns.names.len() {
                return Err(wrong_count(line, fields.len()));
            }
            let label = match columns.label {
                Some(column) => Some(parse_label(self.task, fields[column], layout.label, &path, line)?),
                None => None,
            };
            let example = Example {
                id: self.rows,
                text_a: fields[columns.text_a].to_owned(),
                text_b: columns.text_b.map(|column| fields[column].to_owned()),
                label,
            };
            self.rows += 1;
            return Ok(Some(example));
        }
    }
}

impl Columns {
    fn find(names: Vec<String>, layout: &Layout, split: Split, path: &Path, line: u64) -> Result<Self> {
        let missing =
            |field| Error::MissingColumn { path: path.to_owned(), line, field, header: excerpt(&names.join(", ")) };
        let position = |field: &'static str| names.iter().position(|name| name == field).ok_or_else(|| missing(field));
        let text_a = position(layout.text_a)?;
        let text_b = layout.text_b.map(position).transpose()?;
        let label = match (position(layout.label), split) {
            (Ok(column), _) => Some(column),
            (Err(_), Split::Test) => None,
            (Err(error), _) => return Err(error),
        };
        Ok(Self { text_a, text_b, label, names })
    }
}

/// The largest STS-B score.
pub(crate) const MAX_SIMILARITY: f64 = 5.0;

/// Reads a label as it stands in a data or prediction file.
pub(crate) fn parse_label(task: TaskKind, given: &str, field: &'static str, path: &Path, line: u64) -> Result<Label> {
    let wrong =
        |allowed: String| Error::WrongField { path: path.to_owned(), line, field, given: excerpt(given), allowed };
    match task.head() {
        Head::Classification { .. } => {
            let class = task.labels().iter().position(|name| *name == given);
            class.map(Label::Class).ok_or_else(|| wrong(task.labels().join(", ")))
        }
        Head::Regression => match given.trim().parse::<f64>() {
            Ok(score) if (0.0..=MAX_SIMILARITY).contains(&score) => Ok(Label::Score(score)),
            _ => Err(wrong("a number from 0 to 5".to_owned())),
        },
    }
}

impl<R: BufRead> Iterator for ExampleReader<R> {
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
