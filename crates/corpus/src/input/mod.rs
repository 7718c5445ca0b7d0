//! Texts in the forms in which corpora come.
//!
//! | form | told by | a document is |
//! |---|---|---|
//! | plain text | any other name | what stands between blank lines; a line is a paragraph |
//! | WikiText | `*.tokens` | an article, from its ` = Title = ` on |
//! | JSON Lines | `*.jsonl`, `*.ndjson`, `*.json`, or a first line that is an object | the text field of one line |
//! | Parquet | `*.parquet`, or the magic bytes | one row of the text column |
//! | wikiextractor | a first `<doc ` | one `<doc>`, without its title |
//! | MediaWiki XML | a first `<mediawiki` or `<page` | one page of the main namespace, redirects left out, markup stripped |
//!
//! All but Parquet may be packed with gzip, zstd or bzip2, which is seen from the first bytes; the name is then looked at without its
//! last extension. Documents longer than 1 MiB come in several, cut between lines or words.

mod extract;
mod folder;
mod json_lines;
mod markup;
mod mediawiki;
mod parquet;
mod pending;
mod record_lines;

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use serde::{Deserialize, Serialize};
use table_rows::compressed;
pub use table_rows::compressed::Compression;

use self::pending::RecordDocuments;
use crate::error::{Error, Result};
use crate::text::{Layout, TextDocuments};

pub use folder::inputs_of;
pub use markup::strip_markup;

/// The largest record (a JSON line, the text of a page) that is read, in bytes; more is refused with the place.
pub const MAX_RECORD_BYTES: usize = 32 << 20;

/// The field or column that holds the text unless another is named.
pub const DEFAULT_FIELD: &str = "text";

/// How a file holds documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Format {
    /// One paragraph per line, a blank line between documents.
    Plain,
    /// The tokenized text of WikiText-2 and WikiText-103.
    WikiText,
    /// One JSON object per line.
    JsonLines {
        /// The key of the text.
        field: String,
    },
    /// A Parquet file with a text column.
    Parquet {
        /// The name of the column.
        field: String,
    },
    /// What wikiextractor writes: `<doc id= url= title=>` with plain text inside.
    WikiExtractor,
    /// A dump of MediaWiki: `<page>` with `<text>` in wiki markup.
    MediaWiki,
}

/// A file of a corpus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Where it is.
    pub path: PathBuf,
    /// How it is listed in the manifest, which holds no path of one machine.
    pub name: String,
    /// How it holds documents.
    pub format: Format,
}

impl Input {
    /// Looks at the name and the first bytes; `field` is the key or column of the text in JSON Lines and Parquet.
    ///
    /// # Errors
    /// The file cannot be read or unpacked.
    pub fn detect(path: &Path, field: &str) -> Result<Self> {
        let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        let format = folder::detect(path, field)?;
        Ok(Self { path: path.to_owned(), name, format })
    }
}

/// Documents of one input, in their order.
pub(crate) trait Documents: Send {
    /// Appends the lines of the next document to `text`; false at the end.
    fn next_document(&mut self, text: &mut String) -> Result<bool>;
}

/// Every document, for the tests of the formats.
#[cfg(test)]
pub(crate) fn all(mut documents: impl Documents) -> Result<Vec<String>> {
    let (mut all, mut text) = (Vec::new(), String::new());
    while documents.next_document(&mut text)? {
        all.push(std::mem::take(&mut text));
    }
    Ok(all)
}

impl<R: BufRead + Send> Documents for TextDocuments<R> {
    fn next_document(&mut self, text: &mut String) -> Result<bool> {
        Self::next_document(self, text)
    }
}

/// Opens an input; `read` counts the bytes of the file that were consumed.
pub(crate) fn open(input: &Input, read: &Arc<AtomicU64>) -> Result<Box<dyn Documents>> {
    let path = input.path.as_path();
    if let Format::Parquet { field } = &input.format {
        return Ok(Box::new(RecordDocuments::new(parquet::ParquetTexts::open(path, field, Arc::clone(read))?)));
    }
    let text = compressed::open_counted(path, Arc::clone(read)).map_err(|e| Error::io(path, e))?;
    Ok(match &input.format {
        Format::Plain => Box::new(TextDocuments::new(text, path.to_owned(), Layout::BlankLine)),
        Format::WikiText => Box::new(TextDocuments::new(text, path.to_owned(), Layout::WikiText)),
        Format::JsonLines { field } => Box::new(RecordDocuments::new(json_lines::JsonLines::new(text, path, field))),
        Format::WikiExtractor => Box::new(RecordDocuments::new(extract::Extract::new(text, path))),
        Format::MediaWiki | Format::Parquet { .. } => Box::new(RecordDocuments::new(mediawiki::Dump::new(text, path))),
    })
}
