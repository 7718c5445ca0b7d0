//! Rows of the Hugging Face copies in JSONL. Classes are numbers, -1 stands for no label.

use std::io::BufRead;
use std::path::Path;

use serde_json::{Map, Value as Json};

use super::label::{LabelField, allowed_here};
use super::read::{Row, Rows};
use super::{Split, TaskKind};
use crate::error::{Error, Result, RowPlace};
use crate::lines::Lines;

pub(super) const LABEL: &str = "label";
pub(super) const INDEX: &str = "idx";

/// The rows of a JSONL file.
pub(super) struct JsonRows<R> {
    lines: Lines<R>,
    task: TaskKind,
    split: Split,
    rows: u64,
}

impl<R: BufRead> JsonRows<R> {
    pub fn new(lines: Lines<R>, task: TaskKind, split: Split) -> Self {
        Self { lines, task, split, rows: 0 }
    }
}

impl<R: BufRead> Rows for JsonRows<R> {
    fn next_row(&mut self) -> Result<Option<Row>> {
        let path = self.lines.path().to_owned();
        loop {
            let Some((line, text)) = self.lines.next_line()? else {
                let hint = "one JSON object per line is expected".to_owned();
                return if self.rows > 0 { Ok(None) } else { Err(Error::EmptyFile { path, hint }) };
            };
            if text.trim().is_empty() {
                continue;
            }
            let object: Map<String, Json> = serde_json::from_str(text).map_err(|e| {
                let reason = match text.trim_start().starts_with('[') {
                    true => "a JSON list; one object per line is expected (pandas: `lines=True`)".to_owned(),
                    false => format!("character {}: one JSON object per line is expected: {e}", e.column()),
                };
                Error::line(&path, line, reason)
            })?;
            self.rows += 1;
            return self.row(&object, line, &path).map(Some);
        }
    }
}

impl<R> JsonRows<R> {
    fn row(&self, object: &Map<String, Json>, line: u64, path: &Path) -> Result<Row> {
        let place = RowPlace::Line(line);
        let text = |name: &'static str| match object.get(name) {
            Some(Json::String(text)) => Ok(text.clone()),
            Some(other) => Err(Error::field(path, place, name, &other.to_string(), "a text")),
            None => {
                let keys = object.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                Err(Error::missing_column(path, line, name, &keys))
            }
        };
        let (a, b) = self.task.entry().hub_texts;
        let given = match object.get(LABEL) {
            None | Some(Json::Null) => LabelField::Nothing,
            Some(Json::String(word)) => LabelField::text(self.task.task(), word),
            Some(Json::Number(number)) => LabelField::number(self.task.task(), number.as_f64()),
            Some(other) => LabelField::Wrong(other.to_string()),
        };
        let label = given
            .in_split(self.task.task(), self.split, allowed_here)
            .map_err(|[given, allowed]| Error::field(path, place, LABEL, &given, &allowed))?;
        let index = object.get(INDEX).and_then(Json::as_i64).map(|index| (index, INDEX));
        Ok(Row { text_a: text(a)?, text_b: b.map(text).transpose()?, label, index, place })
    }
}
