//! One JSON object per line.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use run_store::shown::excerpt;
use serde_json::{Map, Value};

use crate::table::Source;
use crate::{Cell, Error, MAX_ROW_BYTES, Place, Result, Row, compressed};

/// The rows of a JSON Lines file.
pub(crate) struct JsonLines {
    input: Box<dyn BufRead>,
    path: PathBuf,
    buffer: Vec<u8>,
    line: u64,
    /// The first object, until it is asked for.
    first: Option<(Map<String, Value>, Place)>,
    columns: Vec<String>,
    chosen: Vec<String>,
}

impl JsonLines {
    pub fn open(path: &Path) -> Result<Self> {
        let input = Box::new(compressed::open(path).map_err(|e| Error::io(path, e))?);
        let (path, buffer) = (path.to_owned(), Vec::new());
        let mut table = Self { input, path, buffer, line: 0, first: None, columns: Vec::new(), chosen: Vec::new() };
        let Some((object, place)) = table.next_object()? else {
            return Err(Error::Empty { path: table.path, hint: "one JSON object per line is expected" });
        };
        table.columns = object.keys().cloned().collect();
        table.first = Some((object, place));
        Ok(table)
    }

    fn next_object(&mut self) -> Result<Option<(Map<String, Value>, Place)>> {
        loop {
            self.buffer.clear();
            let bounded = (&mut self.input).take(MAX_ROW_BYTES + 1).read_until(b'\n', &mut self.buffer);
            if bounded.map_err(|e| Error::io(&self.path, e))? == 0 {
                return Ok(None);
            }
            self.line += 1;
            let place = Place::Line(self.line);
            let bad = |reason: String| Error::row(&self.path, place, reason);
            if self.buffer.len() as u64 > MAX_ROW_BYTES {
                return Err(bad(format!(
                    "the line is longer than {MAX_ROW_BYTES} bytes; one JSON object per line is expected"
                )));
            }
            let mut line = self.buffer.as_slice();
            if self.line == 1 {
                line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            let object = serde_json::from_slice(line).map_err(|e| {
                bad(match line.trim_ascii_start().first() {
                    Some(b'[') => {
                        "a JSON list; one object per line is expected (pandas: `orient=\"records\", lines=True`)"
                            .to_owned()
                    }
                    _ => format!("byte {}: one JSON object per line is expected: {e}", e.column()),
                })
            })?;
            return Ok(Some((object, place)));
        }
    }
}

impl Source for JsonLines {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn select(&mut self, columns: &[usize]) -> Result<()> {
        self.chosen = columns.iter().map(|&at| self.columns[at].clone()).collect();
        Ok(())
    }

    fn next_row(&mut self) -> Result<Option<Row>> {
        let next = match self.first.take() {
            Some(first) => Some(first),
            None => self.next_object()?,
        };
        let Some((mut object, place)) = next else { return Ok(None) };
        let cells = self.chosen.iter().map(|name| match object.remove(name) {
            // A key that only some objects have is most often misspelled.
            None => {
                let keys = object.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                let reason = format!("there is no key `{}`; the keys are: {}", excerpt(name), excerpt(&keys));
                Err(Error::row(&self.path, place, reason))
            }
            Some(value) => Ok(cell(value)),
        });
        Ok(Some(Row { cells: cells.collect::<Result<_>>()?, place }))
    }
}

fn cell(value: Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::Bool(value) => Cell::Bool(value),
        Value::String(text) => Cell::Text(text),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Cell::Int(whole),
            (None, Some(float)) => Cell::Float(float),
            (None, None) => Cell::Other(number.to_string()),
        },
        Value::Array(values) => Cell::List(values.into_iter().map(cell).collect()),
        other @ Value::Object(_) => Cell::Other(other.to_string()),
    }
}
