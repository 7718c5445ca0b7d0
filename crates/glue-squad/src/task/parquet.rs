//! Rows of the Hugging Face copies in Parquet, with the columns of those in JSONL.

use parquet_rows::Value;

use super::hub::{INDEX, LABEL};
use super::label::{LabelField, allowed_here};
use super::read::{Row, Rows};
use super::{Split, TaskKind};
use crate::error::{Error, Result, RowPlace};

/// The rows of a Parquet file.
pub(super) struct ParquetRows {
    rows: parquet_rows::Rows,
    task: TaskKind,
    split: Split,
    has_label: bool,
    has_index: bool,
    row: u64,
}

impl ParquetRows {
    pub fn new(mut rows: parquet_rows::Rows, task: TaskKind, split: Split) -> Result<Self> {
        let (has_label, has_index) = (rows.columns().contains(&LABEL), rows.columns().contains(&INDEX));
        let (a, b) = task.entry().hub_texts;
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
}

impl Rows for ParquetRows {
    fn next_row(&mut self) -> Result<Option<Row>> {
        let Some(cells) = self.rows.next_row()? else {
            let hint = "a Parquet file with rows is expected".to_owned();
            return match self.row {
                0 => Err(Error::EmptyFile { path: self.rows.path().to_owned(), hint }),
                _ => Ok(None),
            };
        };
        self.row += 1;
        let (path, place) = (self.rows.path(), RowPlace::Row(self.row));
        let mut cells = cells.into_iter();
        let mut cell = || cells.next().unwrap_or(Value::Null);
        let text = |name: &'static str, value: Value| match value {
            Value::Text(text) => Ok(text),
            other => Err(Error::field(path, place, name, &shown(&other), "a text")),
        };
        let (a, b) = self.task.entry().hub_texts;
        let text_a = text(a, cell())?;
        let text_b = b.map(|name| text(name, cell())).transpose()?;
        let value = if self.has_label { cell() } else { Value::Null };
        let given = match &value {
            Value::Null => LabelField::Nothing,
            Value::Text(word) => LabelField::text(self.task.task(), word),
            Value::Int(number) => LabelField::number(self.task.task(), Some(*number as f64)),
            Value::Float(number) => LabelField::number(self.task.task(), Some(*number)),
        };
        let label = given
            .in_split(self.task.task(), self.split, allowed_here)
            .map_err(|[given, allowed]| Error::field(path, place, LABEL, &given, &allowed))?;
        let index = if self.has_index { cell() } else { Value::Null };
        let index = if let Value::Int(index) = index { Some((index, INDEX)) } else { None };
        Ok(Some(Row { text_a, text_b, label, index, place }))
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
