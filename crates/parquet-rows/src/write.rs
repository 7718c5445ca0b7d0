//! A small table as a Parquet file: flat columns that may have gaps, plain values, no compression, one row group.
//!
//! What it writes is the least that the format asks for (`parquet-format` 2.x, data pages of version 1), which every reader knows. It is
//! for tables of some thousand rows that other programs go on with; whoever has more wants a library that compresses.

use crate::thrift::kind;

/// The values of a column, `None` where there is none.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Whole numbers, `INT64`.
    Whole(Vec<Option<i64>>),
    /// Numbers, `DOUBLE`.
    Number(Vec<Option<f64>>),
    /// Texts in UTF-8, `BYTE_ARRAY`.
    Text(Vec<Option<String>>),
}

/// Numbers of the format.
const OPTIONAL: i32 = 1;
const PLAIN: i32 = 0;
const RLE: i32 = 3;
const UNCOMPRESSED: i32 = 0;
const DATA_PAGE: i32 = 0;
const UTF8: i32 = 0;
/// The file's version: 1 is what data pages of version 1 need.
const VERSION: i32 = 1;
const MAGIC: &[u8; 4] = b"PAR1";

impl Values {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Whole(values) => values.len(),
            Self::Number(values) => values.len(),
            Self::Text(values) => values.len(),
        }
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The physical type.
    fn physical(&self) -> i32 {
        match self {
            Self::Whole(_) => 2,
            Self::Number(_) => 5,
            Self::Text(_) => 6,
        }
    }

    /// Which rows have a value.
    fn presence(&self) -> Vec<bool> {
        match self {
            Self::Whole(values) => values.iter().map(Option::is_some).collect(),
            Self::Number(values) => values.iter().map(Option::is_some).collect(),
            Self::Text(values) => values.iter().map(Option::is_some).collect(),
        }
    }

    /// The values that are there, one after another.
    fn plain(&self) -> Vec<u8> {
        match self {
            Self::Whole(values) => values.iter().flatten().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Number(values) => values.iter().flatten().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Text(values) => {
                let mut bytes = Vec::new();
                for text in values.iter().flatten() {
                    bytes.extend((text.len() as u32).to_le_bytes());
                    bytes.extend(text.as_bytes());
                }
                bytes
            }
        }
    }
}

/// Why columns are no table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// There are no columns.
    #[error("a table without columns cannot be a Parquet file")]
    NoColumns,
    /// One is longer than another.
    #[error("column `{name}` has {found} rows, the first column {expected}")]
    Rows {
        /// The column.
        name: String,
        /// Its rows.
        found: usize,
        /// Those of the first.
        expected: usize,
    },
    /// The format counts the bytes of a page in 31 bits.
    #[error("column `{name}` has {bytes} bytes; a page holds less than 2 GiB")]
    TooLarge {
        /// The column.
        name: String,
        /// Its bytes.
        bytes: usize,
    },
}

/// The bytes of a file with these columns, of as many rows each; `created_by` says which program made it.
///
/// # Errors
/// [`WriteError`]: no columns, rows that are not equally many, 2 GiB in a column.
pub fn write(columns: &[(String, Values)], created_by: &str) -> Result<Vec<u8>, WriteError> {
    let rows = columns.first().ok_or(WriteError::NoColumns)?.1.len();
    let mut file = MAGIC.to_vec();
    let mut chunks = Vec::new();
    for (name, values) in columns {
        // Without rows there are no pages, only names and types.
        if values.len() != rows {
            return Err(WriteError::Rows { name: name.clone(), found: values.len(), expected: rows });
        }
        if rows == 0 {
            continue;
        }
        let page = page(values);
        let size =
            i32::try_from(page.len()).map_err(|_| WriteError::TooLarge { name: name.clone(), bytes: page.len() })?;
        let offset = file.len();
        let mut header = Thrift::default();
        header.i32(1, DATA_PAGE);
        header.i32(2, size);
        header.i32(3, size);
        header.structure(5, |page| {
            page.i32(1, rows as i32);
            page.i32(2, PLAIN);
            page.i32(3, RLE);
            page.i32(4, RLE);
        });
        file.extend(header.end());
        file.extend(page);
        chunks.push((offset, file.len() - offset));
    }
    let footer = footer(columns, rows, &chunks, created_by);
    file.extend(&footer);
    file.extend((footer.len() as u32).to_le_bytes());
    file.extend(MAGIC);
    Ok(file)
}

/// A page: which rows have a value, then the values.
fn page(values: &Values) -> Vec<u8> {
    // Runs of equal levels; a level of 1 is a value that is there.
    let mut levels = Vec::new();
    for run in values.presence().chunk_by(|a, b| a == b) {
        varint(&mut levels, (run.len() as u64) << 1);
        levels.push(u8::from(run[0]));
    }
    let mut page = (levels.len() as u32).to_le_bytes().to_vec();
    page.extend(levels);
    page.extend(values.plain());
    page
}

fn footer(columns: &[(String, Values)], rows: usize, chunks: &[(usize, usize)], created_by: &str) -> Vec<u8> {
    let mut file = Thrift::default();
    file.i32(1, VERSION);
    let mut schema = vec![{
        let mut root = Thrift::default();
        root.text(4, "schema");
        root.i32(5, columns.len() as i32);
        root.end()
    }];
    schema.extend(columns.iter().map(|(name, values)| {
        let mut column = Thrift::default();
        column.i32(1, values.physical());
        column.i32(3, OPTIONAL);
        column.text(4, name);
        if matches!(values, Values::Text(_)) {
            column.i32(6, UTF8);
            // The newer way to say it: the first choice of a union, a structure without fields.
            column.structure(10, |logical| logical.structure(1, |_| {}));
        }
        column.end()
    }));
    file.list(2, kind::STRUCT, &schema);
    file.i64(3, rows as i64);
    let total: usize = chunks.iter().map(|(_, size)| size).sum();
    let chunk = |((name, values), &(offset, size)): (&(String, Values), &(usize, usize))| {
        let mut chunk = Thrift::default();
        chunk.i64(2, offset as i64);
        chunk.structure(3, |about| {
            about.i32(1, values.physical());
            about.list(2, kind::I32, &[zigzag(PLAIN.into()), zigzag(RLE.into())]);
            about.list(3, kind::BINARY, &[binary(name)]);
            about.i32(4, UNCOMPRESSED);
            about.i64(5, rows as i64);
            about.i64(6, size as i64);
            about.i64(7, size as i64);
            about.i64(9, offset as i64);
        });
        chunk.end()
    };
    let chunks: Vec<Vec<u8>> = columns.iter().zip(chunks).map(chunk).collect();
    let mut groups = Vec::new();
    if rows > 0 {
        let mut group = Thrift::default();
        group.list(1, kind::STRUCT, &chunks);
        group.i64(2, total as i64);
        group.i64(3, rows as i64);
        groups.push(group.end());
    }
    file.list(4, kind::STRUCT, &groups);
    file.text(6, created_by);
    file.end()
}

/// A structure in Thrift's compact protocol, its fields by ascending number.
#[derive(Default)]
struct Thrift {
    bytes: Vec<u8>,
    last: u8,
}

impl Thrift {
    fn field(&mut self, number: u8, kind: u8) {
        self.bytes.push((number - self.last) << 4 | kind);
        self.last = number;
    }

    fn i32(&mut self, number: u8, value: i32) {
        self.field(number, kind::I32);
        self.bytes.extend(zigzag(value.into()));
    }

    fn i64(&mut self, number: u8, value: i64) {
        self.field(number, kind::I64);
        self.bytes.extend(zigzag(value));
    }

    fn text(&mut self, number: u8, text: &str) {
        self.field(number, kind::BINARY);
        self.bytes.extend(binary(text));
    }

    fn structure(&mut self, number: u8, fill: impl FnOnce(&mut Self)) {
        self.field(number, kind::STRUCT);
        let mut inner = Self::default();
        fill(&mut inner);
        self.bytes.extend(inner.end());
    }

    /// A list of elements that are encoded already.
    fn list(&mut self, number: u8, kind: u8, elements: &[Vec<u8>]) {
        self.field(number, super::thrift::kind::LIST);
        match elements.len() {
            few @ 0..15 => self.bytes.push((few as u8) << 4 | kind),
            many => {
                self.bytes.push(0xf0 | kind);
                varint(&mut self.bytes, many as u64);
            }
        }
        self.bytes.extend(elements.concat());
    }

    fn end(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }
}

fn binary(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    varint(&mut bytes, text.len() as u64);
    bytes.extend(text.as_bytes());
    bytes
}

fn zigzag(value: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    varint(&mut bytes, ((value << 1) ^ (value >> 63)) as u64);
    bytes
}

fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Cursor, Write};

    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;
    use proptest::prelude::*;

    use super::*;
    use crate::{Rows, Value};

    fn read(bytes: Vec<u8>) -> (Vec<String>, Vec<Vec<Value>>) {
        let mut rows = Rows::over(Box::new(Cursor::new(bytes)), "written.parquet").expect("metadata");
        let names: Vec<String> = rows.columns().into_iter().map(str::to_owned).collect();
        rows.select(&names.iter().map(String::as_str).collect::<Vec<_>>()).expect("the columns are there");
        let mut found = Vec::new();
        while let Some(row) = rows.next_row().expect("a row") {
            found.push(row);
        }
        (names, found)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            rows in prop::collection::vec((any::<Option<i64>>(), any::<Option<f64>>(), any::<Option<String>>()), 1..300),
            more in 0..20_usize,
        ) {
            let numbers: Vec<Option<f64>> = rows.iter().map(|row| row.1.filter(|value| value.is_finite())).collect();
            let mut columns = vec![
                ("whole".to_owned(), Values::Whole(rows.iter().map(|row| row.0).collect())),
                ("number".to_owned(), Values::Number(numbers.clone())),
                ("text".to_owned(), Values::Text(rows.iter().map(|row| row.2.clone()).collect())),
            ];
            // More than 14 elements are counted in another way.
            columns.extend((0..more).map(|i| (format!("more {i}"), Values::Whole(vec![None; rows.len()]))));
            let (names, found) = read(write(&columns, "test").unwrap());
            prop_assert_eq!(names, columns.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
            prop_assert_eq!(found.len(), rows.len());
            for ((row, number), read) in rows.iter().zip(&numbers).zip(&found) {
                prop_assert_eq!(&read[0], &row.0.map_or(Value::Null, Value::Int));
                prop_assert_eq!(&read[1], &number.map_or(Value::Null, Value::Float));
                prop_assert_eq!(&read[2], &row.2.clone().map_or(Value::Null, Value::Text));
            }
        }
    }

    /// What the crate `parquet` makes of a file.
    fn reader(bytes: &[u8]) -> SerializedFileReader<File> {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(bytes).expect("room for it");
        SerializedFileReader::new(file).expect("a Parquet file")
    }

    #[test]
    fn the_crate_parquet_reads_what_is_written() {
        let columns = [
            ("number".to_owned(), Values::Whole(vec![Some(i64::MIN), None, Some(7)])),
            ("fitness".to_owned(), Values::Number(vec![None, Some(0.1 + 0.2), Some(-0.0)])),
            ("text".to_owned(), Values::Text(vec![Some("ä, \"b\"\n".to_owned()), Some(String::new()), None])),
        ];
        let found = reader(&write(&columns, "test").unwrap());
        let about = found.metadata().file_metadata();
        assert_eq!((about.num_rows(), about.created_by()), (3, Some("test")));
        let rows: Vec<Vec<(String, Field)>> =
            found.get_row_iter(None).unwrap().map(|row| row.unwrap().into_columns()).collect();
        let of = |name: &str, row: usize| rows[row].iter().find(|(of, _)| of == name).unwrap().1.clone();
        assert_eq!(
            [of("number", 0), of("number", 1), of("number", 2)],
            [Field::Long(i64::MIN), Field::Null, Field::Long(7)]
        );
        assert_eq!([of("fitness", 0), of("fitness", 1)], [Field::Null, Field::Double(0.1 + 0.2)]);
        let text = |text: &str| Field::Str(text.to_owned());
        assert_eq!([of("text", 0), of("text", 1), of("text", 2)], [text("ä, \"b\"\n"), text(""), Field::Null]);
        let empty = write(&[("number".to_owned(), Values::Whole(Vec::new()))], "test").unwrap();
        let found = reader(&empty);
        assert_eq!((found.metadata().file_metadata().num_rows(), found.metadata().num_row_groups()), (0, 0));
        assert_eq!(read(empty), (vec!["number".to_owned()], Vec::new()));
    }

    #[test]
    fn columns_that_are_no_table_are_refused() {
        assert_eq!(write(&[], "test"), Err(WriteError::NoColumns));
        let columns = [("a".to_owned(), Values::Whole(vec![None])), ("b".to_owned(), Values::Whole(Vec::new()))];
        let said = write(&columns, "test").unwrap_err().to_string();
        assert_eq!(said, "column `b` has 0 rows, the first column 1");
    }
}
