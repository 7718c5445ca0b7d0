//! Sentences with a word on each line, as the shared tasks of CoNLL have them.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use run_store::shown::excerpt;

use crate::table::Source;
use crate::{Cell, Error, MAX_ROW_BYTES, Place, Result, Row, compressed};

/// A line that begins a document, which belongs to no sentence.
const DOCUMENT: &str = "-DOCSTART-";
/// The most columns; a line with more is no word with its tags.
const MOST_COLUMNS: usize = 256;

/// The sentences of a CoNLL file. Each is a row, whose cells are lists with an entry for each word. Columns are called by their numbers,
/// from `1`. Tabs divide them where the first line has one, else white space does.
pub(crate) struct Conll {
    input: Box<dyn BufRead>,
    path: PathBuf,
    buffer: Vec<u8>,
    line: u64,
    tabs: bool,
    columns: Vec<String>,
    chosen: Vec<usize>,
    /// The first word, until its sentence is asked for.
    first: Option<(Vec<String>, u64)>,
}

impl Conll {
    pub fn open(path: &Path) -> Result<Self> {
        let input = Box::new(compressed::open(path).map_err(|e| Error::io(path, e))?);
        let (path, buffer) = (path.to_owned(), Vec::new());
        let mut table =
            Self { input, path, buffer, line: 0, tabs: false, columns: Vec::new(), chosen: Vec::new(), first: None };
        let first = loop {
            match table.next_line()? {
                Some(Line::Word(fields)) => break fields,
                Some(Line::Break) => {}
                None => {
                    return Err(Error::Empty {
                        path: table.path,
                        hint: "a word with its tag on each line is expected",
                    });
                }
            }
        };
        table.columns = (1..=first.len()).map(|number| number.to_string()).collect();
        table.first = Some((first, table.line));
        Ok(table)
    }

    /// The next line; `None` at the end of the file.
    fn next_line(&mut self) -> Result<Option<Line>> {
        self.buffer.clear();
        let bounded = (&mut self.input).take(MAX_ROW_BYTES + 1).read_until(b'\n', &mut self.buffer);
        if bounded.map_err(|e| Error::io(&self.path, e))? == 0 {
            return Ok(None);
        }
        self.line += 1;
        let bad = |reason: String| Error::row(&self.path, Place::Line(self.line), reason);
        if self.buffer.len() as u64 > MAX_ROW_BYTES {
            return Err(bad(format!(
                "the line is longer than {MAX_ROW_BYTES} bytes; one word on each line is expected"
            )));
        }
        let mut line = self.buffer.as_slice();
        if self.line == 1 {
            if line.starts_with(&[0xff, 0xfe]) || line.starts_with(&[0xfe, 0xff]) {
                return Err(bad("the file is UTF-16; convert it to UTF-8".to_owned()));
            }
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        let line = std::str::from_utf8(line).map_err(|e| {
            bad(format!("byte {} of the line is not valid UTF-8; convert the file to UTF-8", e.valid_up_to() + 1))
        })?;
        if line.contains('\0') {
            return Err(bad("the line holds a NUL character; is this a text file?".to_owned()));
        }
        let line = line.trim_end_matches(['\n', '\r']);
        if line.trim().is_empty() || line.starts_with(DOCUMENT) {
            return Ok(Some(Line::Break));
        }
        if self.columns.is_empty() {
            self.tabs = line.contains('\t');
        }
        let fields: Vec<String> = match self.tabs {
            true => line.split('\t').take(MOST_COLUMNS + 1).map(|field| field.trim().to_owned()).collect(),
            // ASCII's white space only: a no-break space can stand in a number.
            false => line.split_ascii_whitespace().take(MOST_COLUMNS + 1).map(str::to_owned).collect(),
        };
        if fields.len() > MOST_COLUMNS {
            return Err(bad(format!(
                "more than {MOST_COLUMNS} columns; one word with its tags is expected on each line"
            )));
        }
        if !self.columns.is_empty() && fields.len() != self.columns.len() {
            let (found, expected) = (fields.len(), self.columns.len());
            let by = if self.tabs { "tabs" } else { "white space" };
            return Err(bad(format!(
                "{found} columns, divided by {by}, instead of the {expected} of the first word: `{}`",
                excerpt(line)
            )));
        }
        Ok(Some(Line::Word(fields)))
    }
}

enum Line {
    Word(Vec<String>),
    /// What ends a sentence.
    Break,
}

impl Source for Conll {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn select(&mut self, columns: &[usize]) -> Result<()> {
        self.chosen = columns.to_vec();
        Ok(())
    }

    fn next_row(&mut self) -> Result<Option<Row>> {
        let mut cells = vec![Vec::new(); self.chosen.len()];
        let (mut place, mut bytes) = (None, 0);
        loop {
            let fields = match self.first.take() {
                Some((fields, line)) => {
                    place = Some(line);
                    fields
                }
                None => match self.next_line()? {
                    Some(Line::Word(fields)) => {
                        place.get_or_insert(self.line);
                        fields
                    }
                    Some(Line::Break) if place.is_none() => continue,
                    Some(Line::Break) | None => break,
                },
            };
            // A sentence takes more memory than its bytes, by what each of its cells costs.
            bytes += fields.iter().map(|field| (field.len() + size_of::<Cell>()) as u64).sum::<u64>();
            if bytes > MAX_ROW_BYTES {
                return Err(Error::row(
                    &self.path,
                    Place::Line(place.unwrap_or(self.line)),
                    format!(
                        "the sentence takes more than {MAX_ROW_BYTES} bytes; an empty line is expected behind each"
                    ),
                ));
            }
            for (cell, column) in cells.iter_mut().zip(&self.chosen) {
                cell.push(Cell::Text(fields[*column].clone()));
            }
        }
        let row = |line| Row { cells: cells.into_iter().map(Cell::List).collect(), place: Place::Line(line) };
        Ok(place.map(row))
    }
}
