//! CSV and TSV.

use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

use crate::table::Source;
use crate::{Cell, Error, MAX_ROW_BYTES, Place, Result, Row, compressed};

/// The rows of a delimited file with a header.
pub(crate) struct Delimited {
    reader: csv::Reader<LineByLine>,
    record: csv::ByteRecord,
    path: PathBuf,
    columns: Vec<String>,
    chosen: Vec<usize>,
}

/// Gives at most one line at a time, so that its count is where the reader of records is: that one counts no lone carriage returns, and
/// no empty lines before a record. It also fails where a row is too long: a record takes as much memory as it needs.
struct LineByLine {
    input: Box<dyn BufRead>,
    line: u64,
    at_start: bool,
    after_return: bool,
    /// The line in which the current row begins, once it has.
    first: Option<u64>,
    row_bytes: u64,
}

impl LineByLine {
    fn new(input: Box<dyn BufRead>) -> Self {
        Self { input, line: 0, at_start: true, after_return: false, first: None, row_bytes: 0 }
    }

    fn begin_row(&mut self) {
        (self.first, self.row_bytes) = (None, 0);
    }

    /// Where the current row is.
    fn place(&self) -> Place {
        Place::Line(self.first.unwrap_or(self.line + 1))
    }
}

impl Read for LineByLine {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.row_bytes > MAX_ROW_BYTES {
            return Err(io::Error::other(RowTooLong));
        }
        let ready = self.input.fill_buf()?;
        let ready = &ready[..ready.len().min(buffer.len())];
        let count = match ready.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            Some(at) if ready[at..].starts_with(b"\r\n") => at + 2,
            Some(at) => at + 1,
            None => ready.len(),
        };
        let piece = &ready[..count];
        buffer[..count].copy_from_slice(piece);
        let rest_of_break = self.after_return && piece == b"\n";
        if self.at_start && !rest_of_break && count > 0 {
            self.line += 1;
        }
        if !piece.iter().all(|byte| matches!(byte, b'\n' | b'\r')) {
            self.first.get_or_insert(self.line);
        }
        self.at_start = rest_of_break || matches!(piece.last(), Some(b'\n' | b'\r'));
        self.after_return = piece.last() == Some(&b'\r');
        self.row_bytes += count as u64;
        self.input.consume(count);
        Ok(count)
    }
}

fn is_too_long(error: &io::Error) -> bool {
    error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<RowTooLong>)
}

#[derive(Debug, thiserror::Error)]
#[error("the row is longer than {MAX_ROW_BYTES} bytes; is a quote never closed?")]
struct RowTooLong;

impl Delimited {
    pub fn csv(path: &Path, separator: u8) -> Result<Self> {
        let mut builder = csv::ReaderBuilder::new();
        builder.delimiter(separator);
        Self::open(path, &mut builder)
    }

    pub fn tsv(path: &Path) -> Result<Self> {
        let mut builder = csv::ReaderBuilder::new();
        builder.delimiter(b'\t').quoting(false);
        Self::open(path, &mut builder)
    }

    fn open(path: &Path, builder: &mut csv::ReaderBuilder) -> Result<Self> {
        let input = LineByLine::new(Box::new(compressed::open(path).map_err(|e| Error::io(path, e))?));
        let reader = builder.has_headers(false).flexible(true).from_reader(input);
        let record = csv::ByteRecord::new();
        let mut table = Self { reader, record, path: path.to_owned(), columns: Vec::new(), chosen: Vec::new() };
        if !table.read()? {
            return Err(Error::Empty {
                path: path.to_owned(),
                hint: "a first line with the names of the columns is expected",
            });
        }
        let place = Place::Line(1);
        if table.record.iter().any(|field| field.starts_with(&[0xff, 0xfe]) || field.starts_with(&[0xfe, 0xff])) {
            return Err(Error::row(path, place, "the file is UTF-16; convert it to UTF-8"));
        }
        let names = 0..table.record.len();
        table.columns =
            names.map(|at| table.text(at, place).map(|name| name.trim().to_owned())).collect::<Result<_>>()?;
        Ok(table)
    }

    /// Reads the next record; `false` at the end of the file.
    fn read(&mut self) -> Result<bool> {
        self.reader.get_mut().begin_row();
        self.reader.read_byte_record(&mut self.record).map_err(|error| {
            let place = self.reader.get_ref().place();
            let reason = error.to_string();
            match error.into_kind() {
                csv::ErrorKind::Io(source) if is_too_long(&source) => Error::row(&self.path, place, source.to_string()),
                csv::ErrorKind::Io(source) => Error::io(&self.path, source),
                _ => Error::row(&self.path, place, reason),
            }
        })
    }

    /// Field `at` of the record as text.
    fn text(&self, at: usize, place: Place) -> Result<&str> {
        let name =
            || self.columns.get(at).map_or_else(|| format!("column {}", at + 1), |name| format!("column `{name}`"));
        let bad = |reason: &str| Error::row(&self.path, place, format!("{}: {reason}", name()));
        let text = std::str::from_utf8(&self.record[at]).map_err(|e| {
            bad(&format!("byte {} of the field is not valid UTF-8; convert the file to UTF-8", e.valid_up_to() + 1))
        })?;
        match text.contains('\0') {
            true => Err(bad("the field holds a NUL character; is this a text file?")),
            false => Ok(text),
        }
    }
}

impl Source for Delimited {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn select(&mut self, columns: &[usize]) -> Result<()> {
        self.chosen = columns.to_vec();
        Ok(())
    }

    fn next_row(&mut self) -> Result<Option<Row>> {
        if !self.read()? {
            return Ok(None);
        }
        let place = self.reader.get_ref().place();
        let (found, expected) = (self.record.len(), self.columns.len());
        if found != expected {
            let why =
                if found < expected { "is the line cut short?" } else { "is a text with a separator not in quotes?" };
            let reason = format!("{found} fields where the header has {expected}; {why}");
            return Err(Error::row(&self.path, place, reason));
        }
        let cells = self.chosen.iter().map(|&at| self.text(at, place).map(|text| Cell::Text(text.to_owned())));
        Ok(Some(Row { cells: cells.collect::<Result<_>>()?, place }))
    }
}
