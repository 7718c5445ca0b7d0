//! A table of any format.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::conll::Conll;
use crate::delimited::Delimited;
use crate::json_lines::JsonLines;
use crate::parquet::Parquet;
use crate::{Error, Place, Result};

/// How a file holds a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma-separated values as in RFC 4180: a header, fields in quotes where they hold a comma, a quote or a line break.
    Csv,
    /// Tab-separated values: a header, and fields as they are; a quote is a character like any other.
    Tsv,
    /// One JSON object per line; its keys are the columns.
    Jsonl,
    /// Parquet with plain columns.
    Parquet,
    /// Sentences as CoNLL's shared tasks have them: a word with its tags on each line, an empty line behind each sentence. A sentence is a
    /// row, whose cells are lists; the columns are called `1`, `2` and so on.
    Conll,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Csv, Self::Tsv, Self::Jsonl, Self::Parquet, Self::Conll];

    /// The name in options and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Jsonl => "jsonl",
            Self::Parquet => "parquet",
            Self::Conll => "conll",
        }
    }

    /// The format that a file's name says, which may end in `.gz`, `.zst` or `.bz2`.
    pub fn of_name(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        let name = [".gz", ".zst", ".zstd", ".bz2"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
        match name.rsplit_once('.')?.1 {
            "csv" => Some(Self::Csv),
            "tsv" | "tab" => Some(Self::Tsv),
            "jsonl" | "ndjson" | "json" => Some(Self::Jsonl),
            "parquet" | "pq" => Some(Self::Parquet),
            "conll" | "bio" | "iob" | "iob2" | "bioes" => Some(Self::Conll),
            _ => None,
        }
    }
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|format| format.name() == given.to_ascii_lowercase());
        found.ok_or_else(|| format!("unknown format `{given}`; it may be one of {}", known()))
    }
}

fn known() -> String {
    Format::ALL.map(Format::name).join(", ")
}

/// What of a file's form is not left to its name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Layout {
    /// The format; `None`: as the name says.
    pub format: Option<Format>,
    /// What stands between two fields of a CSV file; `None`: a comma.
    pub separator: Option<u8>,
}

impl Layout {
    /// A separator of fields.
    ///
    /// # Errors
    /// It is no ASCII character, or a quote or line break.
    pub fn separator_of(given: char) -> Result<u8, String> {
        let byte = u8::try_from(given).ok().filter(|byte| byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r'));
        byte.ok_or_else(|| format!("{given:?} must be one ASCII character, and no quote or line break"))
    }
}

impl Cell {
    /// The cell as text; nothing is an empty text.
    ///
    /// # Errors
    /// What is there, where it is a list or something else.
    pub fn into_text(self) -> Result<String, String> {
        match self {
            Self::Null => Ok(String::new()),
            Self::Text(text) => Ok(text),
            Self::Int(number) => Ok(number.to_string()),
            Self::Float(number) => Ok(number.to_string()),
            Self::Bool(truth) => Ok(truth.to_string()),
            Self::List(_) => Err("a list".to_owned()),
            Self::Other(other) => Err(other),
        }
    }
}

/// What stands in a row under a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing: a null, or a key that an object lacks.
    Null,
    /// A text; in CSV and TSV files everything is one.
    Text(String),
    /// A whole number; of Parquet files truth values too.
    Int(i64),
    /// A number.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// A list, of JSON Lines and CoNLL.
    List(Vec<Cell>),
    /// Something else, as the file writes it.
    Other(String),
}

/// The chosen cells of a row, and where it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// In the order of [`Table::select`].
    pub cells: Vec<Cell>,
    /// Where the row begins.
    pub place: Place,
}

/// What each format does.
pub(crate) trait Source {
    fn columns(&self) -> &[String];
    fn select(&mut self, columns: &[usize]) -> Result<()>;
    fn next_row(&mut self) -> Result<Option<Row>>;
}

/// A file whose rows are read one after another.
pub struct Table {
    source: Box<dyn Source>,
    path: PathBuf,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("path", &self.path).field("columns", &self.columns()).finish_non_exhaustive()
    }
}

impl Table {
    /// Opens a file and reads the names of its columns. The columns of JSON Lines are the keys of the first object.
    ///
    /// # Errors
    /// The file cannot be read, has no rows, or its format is not known.
    pub fn open(path: &Path, layout: &Layout) -> Result<Self> {
        let format = layout.format.or_else(|| Format::of_name(path));
        let source: Box<dyn Source> = match format {
            Some(Format::Csv) => Box::new(Delimited::csv(path, layout.separator.unwrap_or(b','))?),
            Some(Format::Tsv) => Box::new(Delimited::tsv(path)?),
            Some(Format::Jsonl) => Box::new(JsonLines::open(path)?),
            Some(Format::Parquet) => Box::new(Parquet::open(path)?),
            Some(Format::Conll) => Box::new(Conll::open(path)?),
            None => return Err(Error::Format { path: path.to_owned(), known: known() }),
        };
        Ok(Self { source, path: path.to_owned() })
    }

    /// The names of the columns.
    pub fn columns(&self) -> &[String] {
        self.source.columns()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Chooses the columns of [`Table::next_row`], in this order.
    ///
    /// # Errors
    /// A column that is not there, or that occurs twice; the message says which there are.
    pub fn select(&mut self, names: &[&str]) -> Result<()> {
        let columns = self.source.columns();
        let place = |name: &&str| {
            let mut at = columns.iter().enumerate().filter(|(_, column)| column == name).map(|(at, _)| at);
            let found = at.next().ok_or_else(|| Error::no_column(&self.path, name, columns))?;
            match at.next() {
                None => Ok(found),
                Some(_) => {
                    Err(Error::row(&self.path, Place::Line(1), format!("two columns are called `{name}`; rename one")))
                }
            }
        };
        let places = names.iter().map(place).collect::<Result<Vec<usize>>>()?;
        self.source.select(&places)
    }

    /// The chosen cells of the next row; `None` after the last. After an error there is nothing to go on with.
    ///
    /// # Errors
    /// A row that the format does not allow, with its place.
    pub fn next_row(&mut self) -> Result<Option<Row>> {
        self.source.next_row()
    }
}
