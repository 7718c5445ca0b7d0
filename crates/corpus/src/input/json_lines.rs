//! One JSON object per line.

use std::io::BufRead;
use std::path::Path;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::pending::Records;
use super::record_lines::RecordLines;
use crate::error::Result;

/// The text field of every line. Blank lines are passed over, and so are lines whose text is null.
pub(super) struct JsonLines<R> {
    lines: RecordLines<R>,
    field: String,
}

impl<R: BufRead> JsonLines<R> {
    pub fn new(input: R, path: &Path, field: &str) -> Self {
        Self { lines: RecordLines::new(input, path), field: field.to_owned() }
    }
}

impl<R: BufRead + Send> Records for JsonLines<R> {
    fn next_text(&mut self) -> Result<Option<String>> {
        while self.lines.advance("; one object per line is expected")? {
            let mut line = self.lines.buffer.as_slice();
            if self.lines.number == 1 {
                line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            let mut json = serde_json::Deserializer::from_slice(line);
            let found = Field(&self.field).deserialize(&mut json).and_then(|found| json.end().map(|()| found));
            match found {
                Ok(Found::Text(text)) => return Ok(Some(text)),
                Ok(Found::Null) => {}
                Ok(Found::Missing(keys)) => {
                    let keys = if keys.is_empty() { "none".to_owned() } else { keys.join(", ") };
                    let reason = format!("the object has no `{}`; its keys: {keys}; name the right one", self.field);
                    return Err(self.lines.bad(self.lines.number, reason));
                }
                Err(e) => {
                    // The library counts lines of this one-line text; only the column tells something.
                    let message = e.to_string();
                    let what = message.split(" at line ").next().unwrap_or_default();
                    let reason = format!("byte {}: {what}; one JSON object with the text is expected", e.column());
                    return Err(self.lines.bad(self.lines.number, reason));
                }
            }
        }
        Ok(None)
    }
}

/// Reads one field of an object and skips the others without keeping them.
struct Field<'a>(&'a str);

enum Found {
    Text(String),
    Null,
    /// Some of the keys that are there instead.
    Missing(Vec<String>),
}

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Found, D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "an object with a text field `{}`", self.0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        const SHOWN: usize = 12;
        let (mut found, mut keys) = (None, Vec::new());
        while let Some(key) = map.next_key::<String>()? {
            if key == self.0 {
                found = Some(map.next_value_seed(Text(self.0))?);
            } else {
                map.next_value::<IgnoredAny>()?;
                if keys.len() < SHOWN {
                    keys.push(key.chars().take(40).collect());
                }
            }
        }
        Ok(found.unwrap_or(Found::Missing(keys)))
    }
}

struct Text<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Text<'_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Found, D::Error> {
        let text = Option::<String>::deserialize(input);
        let text = text.map_err(|e| serde::de::Error::custom(format!("field `{}`: {e}", self.0)))?;
        Ok(text.map_or(Found::Null, Found::Text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::pending::RecordDocuments;
    use crate::input::{MAX_RECORD_BYTES, all};

    fn read(text: &str, field: &str) -> Result<Vec<String>> {
        all(RecordDocuments::new(JsonLines::new(text.as_bytes(), Path::new("x.jsonl"), field)))
    }

    #[test]
    fn the_text_field_of_every_line_is_a_document() {
        let text = "\u{feff}{\"id\": [1, {\"text\": 2}], \"text\": \"One.\\nTwo.\"}\r\n\n{\"text\": null}\n{\"text\": \"\"}\n{\"text\": \"Thr\\u00e9e\", \"x\": 1}";
        assert_eq!(read(text, "text").unwrap(), ["One.\nTwo.\n", "Thrée\n"]);
        assert_eq!(read("{\"body\": \"b\"}", "body").unwrap(), ["b\n"]);
    }

    #[test]
    fn what_is_wrong_is_named_with_line_and_byte() {
        let message = |text: &str| read(text, "text").unwrap_err().to_string();
        let missing = message("{\"text\": \"a\"}\n{\"body\": 1, \"id\": 2}");
        assert!(missing.starts_with("x.jsonl, line 2: the object has no `text`; its keys: body, id"), "{missing}");
        let cut = message("{\"text\": \"a");
        assert!(cut.starts_with("x.jsonl, line 1: byte 11"), "{cut}");
        assert!(message("{\"text\": 5}").contains("field `text`"));
        assert!(message("[1]").contains("an object with a text field"));
        assert!(message("{\"text\": \"a\"} x").contains("line 1"));
        let long = format!("{{\"text\": \"{}\"}}", "a".repeat(MAX_RECORD_BYTES));
        assert!(message(&long).contains("longer than"));
    }
}
