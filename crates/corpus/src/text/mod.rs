//! Documents and sentences out of plain text. Files hold one paragraph per line; a blank line ends a document.

mod documents;
mod long_lines;
mod sentences;

pub use documents::corpus_files;
pub(crate) use documents::{Documents, Layout, TextDocuments};
pub use sentences::split_sentences;
