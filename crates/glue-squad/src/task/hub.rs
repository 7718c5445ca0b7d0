//! Rows of the Hugging Face copies: Parquet and JSONL with the same columns. Classes are numbers, -1 stands for no label.

use std::io::BufRead;
use std::path::Path;

use serde_json::{Map, Value as Json};

use super::label::{Given, allowed_here};
use super::read::Row;
use super::{Split, TaskKind};
use crate::error::{Error, Result, excerpt};
use crate::lines::Lines;
use parquet_rows::{Rows, Value};

const LABEL: &str = "label";
const INDEX: &str = "idx";

/// The rows of a JSONL file.
pub(super) struct JsonRows<R> {
    lines: Lines<R>,
    task: TaskKind,
    split: Split,
    rows: u64,
}

/// The rows of a Parquet file.
pub(super) struct ParquetRows {
    rows: Rows,
    task: TaskKind,
    split: Split,
    has_label: bool,
    has_index: bool,
    row: u64,
}

impl<R: BufRead> JsonRows<R> {
    pub fn new(lines: Lines<R>, task: TaskKind, split: Split) -> Self {
        Self { lines, task, split, rows: 0 }
    }

    pub fn path(&self) -> &Path {
        self.lines.path()
    }

    /// The next row; `None` at the end of a file that has any.
    pub fn next_row(&mut self) -> Result<Option<Row>> {
        let path = self.lines.path().to_owned();
        loop {
            let Some((line, text)) = self.lines.next_line()? else {
                let hint = "one JSON object per line is expected".to_owned();
                return if self.rows > 0 { Ok(None) } else { Err(Error::EmptyFile { path, hint }) };
            };
            if text.trim().is_empty() {
                continue;
            }
            let object: Map<String, Json> = serde_json::from_str(text).map_err(|e| Error::JsonLine {
                path: path.clone(),
                line,
                reason: match text.trim_start().starts_with('[') {
                    true => "a JSON list; one object per line is expected (pandas: `lines=True`)".to_owned(),
                    false => format!("character {}: one JSON object per line is expected: {e}", e.column()),
                },
            })?;
            self.rows += 1;
            return self.row(&object, line, &path).map(Some);
        }
    }

    fn row(&self, object: &Map<String, Json>, line: u64, path: &Path) -> Result<Row> {
        let wrong = |field, given: String, allowed: String| Error::WrongField {
            path: path.to_owned(),
            line,
            field,
            given: excerpt(&given),
            allowed,
        };
        let text = |name: &'static str| match object.get(name) {
            Some(Json::String(text)) => Ok(text.clone()),
            Some(other) => Err(wrong(name, other.to_string(), "a text".to_owned())),
            None => {
                let keys = object.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                Err(Error::MissingColumn { path: path.to_owned(), line, field: name, header: excerpt(&keys) })
            }
        };
        let (a, b) = self.task.hub_texts();
        let given = match object.get(LABEL) {
            None | Some(Json::Null) => Given::Nothing,
            Some(Json::String(word)) => Given::text(self.task, word),
            Some(Json::Number(number)) => Given::number(self.task, number.as_f64()),
            Some(other) => Given::Wrong(other.to_string()),
        };
        let label = match (given, self.split) {
            (Given::Label(label), _) => Some(label),
            (Given::Nothing, Split::Test) => None,
            (Given::Nothing, _) => return Err(wrong(LABEL, "nothing or -1".to_owned(), allowed_here(self.task))),
            (Given::Wrong(given), _) => return Err(wrong(LABEL, given, allowed_here(self.task))),
        };
        let index = object.get(INDEX).and_then(Json::as_i64).map(|index| (index, INDEX));
        Ok(Row { text_a: text(a)?, text_b: b.map(text).transpose()?, label, index, place: line })
    }
}

impl ParquetRows {
    pub fn new(mut rows: Rows, task: TaskKind, split: Split) -> Result<Self> {
        let (has_label, has_index) = (rows.columns().contains(&LABEL), rows.columns().contains(&INDEX));
        let (a, b) = task.hub_texts();
        let mut names = vec![a];
        names.extend(b);
        // Without a label nothing but a test set is of use; choosing the column then says that it is missing.
        if has_label || split != Split::Test {
            names.push(LABEL);
        }
        if has_index {
            names.push(INDEX);
        }
        rows.select(&names)?;
        Ok(Self { rows, task, split, has_label, has_index, row: 0 })
    }

    pub fn path(&self) -> &Path {
        self.rows.path()
    }

    /// The next row; `None` at the end of a file that has any.
    pub fn next_row(&mut self) -> Result<Option<Row>> {
        let Some(cells) = self.rows.next_row()? else {
            let hint = "a Parquet file with rows is expected".to_owned();
            return match self.row {
                0 => Err(Error::EmptyFile { path: self.rows.path().to_owned(), hint }),
                _ => Ok(None),
            };
        };
        self.row += 1;
        let row = self.row;
        let path = self.rows.path();
        let wrong = |field, given: &Value, allowed: String| Error::WrongCell {
            path: path.to_owned(),
            row,
            field,
            given: excerpt(&shown(given)),
            allowed,
        };
        let mut cells = cells.into_iter();
        let mut cell = || cells.next().unwrap_or(Value::Null);
        let text = |name: &'static str, value: Value| match value {
            Value::Text(text) => Ok(text),
            other => Err(wrong(name, &other, "a text".to_owned())),
        };
        let (a, b) = self.task.hub_texts();
        let text_a = text(a, cell())?;
        let text_b = b.map(|name| text(name, cell())).transpose()?;
        let value = if self.has_label { cell() } else { Value::Null };
        let given = match &value {
            Value::Null => Given::Nothing,
            Value::Text(word) => Given::text(self.task, word),
            Value::Int(number) => Given::number(self.task, Some(*number as f64)),
            Value::Float(number) => Given::number(self.task, Some(*number)),
        };
        let label = match (given, self.split) {
            (Given::Label(label), _) => Some(label),
            (Given::Nothing, Split::Test) => None,
            (Given::Nothing | Given::Wrong(_), _) => return Err(wrong(LABEL, &value, allowed_here(self.task))),
        };
        let index = if self.has_index { cell() } else { Value::Null };
        let index = if let Value::Int(index) = index { Some((index, INDEX)) } else { None };
        Ok(Some(Row { text_a, text_b, label, index, place: row }))
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Text(text) => text.clone(),
    }
}
