//! JSON files with bounds and positions, and maps that keep the order of their file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use indexmap::IndexMap;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result, excerpt};

/// The largest JSON file that is read, in bytes; SQuAD v2.0's training set has 42 MB. With it the parsed form stays below 1 GiB
/// whatever the file holds.
pub const MAX_JSON_BYTES: u64 = 128 << 20;

/// Reads a JSON file as `T`; an error names file, line, column and the place inside the structure.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    let mut bytes = Vec::new();
    file.take(MAX_JSON_BYTES + 1).read_to_end(&mut bytes).map_err(|e| Error::io(path, e))?;
    parse(&bytes, path)
}

/// Parses the bytes of a file as `T`, see [`read`]. A byte-order mark is skipped.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8], path: &Path) -> Result<T> {
    if bytes.len() as u64 > MAX_JSON_BYTES {
        return Err(Error::Invalid(format!(
            "{}: larger than {MAX_JSON_BYTES} bytes; split the file by articles",
            path.display()
        )));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Error::EmptyFile { path: path.to_owned(), hint: "a JSON object is expected".to_owned() });
    }
    let fail = |inside: String, cause: &serde_json::Error| {
        // The library appends the position, which the message has already.
        let reason = cause.to_string();
        let reason = reason.rsplit_once(" at line ").map_or(reason.as_str(), |(reason, _)| reason);
        let reason = reason.replace("expected a map", "expected an object with one entry per question id");
        let reason: String = reason.chars().take(200).flat_map(char::escape_debug).collect();
        Error::Json { path: path.to_owned(), line: cause.line(), column: cause.column(), inside, reason }
    };
    let mut input = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut input).map_err(|e| {
        let place = e.path().to_string();
        let inside = if place == "." { "the whole file".to_owned() } else { excerpt_path(&place) };
        fail(inside, e.inner())
    })?;
    input.end().map_err(|e| fail("the end of the file".to_owned(), &e))?;
    Ok(value)
}

/// A path of a damaged file can hold any key.
fn excerpt_path(place: &str) -> String {
    if place.len() <= 120 && !place.chars().any(char::is_control) { place.to_owned() } else { excerpt(place) }
}

/// Values by name (most often the id of a question) in the order in which they were put in or stand in their file. A name that
/// comes again keeps its place and takes the new value, as in Python's `json.load`, which the official scripts use.
pub type OrderedMap<T> = IndexMap<String, T>;

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> Result<OrderedMap<f64>> {
        parse(text.as_bytes(), Path::new("odds.json"))
    }

    #[test]
    fn a_map_keeps_its_order_and_a_repeated_id_keeps_its_place() {
        let read = map("\u{feff}{\"b\": 1, \"a\": 2.5, \"b\": 3}").unwrap();
        assert_eq!(
            read.iter().map(|(id, v)| (id.to_owned(), *v)).collect::<Vec<_>>(),
            [("b".into(), 3.0), ("a".into(), 2.5)]
        );
        assert_eq!((read.get("a"), read.get("c"), read.len()), (Some(&2.5), None, 2));
        assert_eq!(serde_json::to_string(&read).unwrap(), r#"{"b":3.0,"a":2.5}"#);
    }

    #[test]
    fn errors_name_file_position_and_place() {
        let check = |text: &str, wanted: &[&str]| {
            let message = map(text).unwrap_err().to_string();
            assert!(wanted.iter().all(|part| message.contains(part)), "{message} lacks one of {wanted:?}");
        };
        check("{\"q1\": 1,\n \"q2\": \"x\"}", &["odds.json:2:", "q2", "invalid type: string"]);
        check("{\"q1\": 1", &["odds.json:1:", "EOF"]);
        check("{\"q1\": NaN}", &["odds.json:1:", "q1"]);
        check("[1]", &["odds.json:1:", "the whole file", "an object with one entry per question id"]);
        check("{} {}", &["odds.json:1:", "the end of the file", "trailing characters"]);
        check(" \n", &["odds.json", "empty"]);
        assert!(
            parse::<OrderedMap<f64>>(b"{\"a\xff\": 1}", Path::new("odds.json"))
                .unwrap_err()
                .to_string()
                .contains("odds.json:1:")
        );
    }
}
