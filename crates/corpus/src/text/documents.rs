//! Documents out of text files, streamed.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use run_store::shown::folder_listing;

use super::long_lines::LongLines;
use super::sentences::split_sentences;
use crate::error::{Error, Result};

/// A document longer than this many bytes is cut into several, so that a file without blank lines needs no more memory.
const MAX_DOCUMENT_BYTES: usize = 1 << 20;

/// How a text file marks documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One paragraph per line, a blank line between documents.
    BlankLine,
    /// WikiText: ` = Title = ` opens a document, other headings are dropped, blank lines mean nothing, `@-@` is `-`, `<unk>` is `[UNK]`.
    WikiText,
}

impl Layout {
    /// The layout of a file by its name: WikiText for `*.tokens`, else blank lines.
    pub fn of(path: &Path) -> Self {
        if path.extension().is_some_and(|e| e == "tokens") { Self::WikiText } else { Self::BlankLine }
    }
}

/// The text files of a corpus: the file itself, or the `.txt` files of a folder in the order of names (not its subfolders).
///
/// # Errors
/// Nothing there, or a folder without `.txt` files (the error lists what it holds).
pub fn corpus_files(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    if !path.is_dir() {
        return Err(Error::FolderMissing { path: path.to_owned() });
    }
    let entries = std::fs::read_dir(path).map_err(|e| Error::io(path, e))?;
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.map_err(|e| Error::io(path, e))?.path();
        if file.is_file() && file.extension().is_some_and(|e| e == "txt") {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Error::FileMissing { folder: path.to_owned(), found: folder_listing(path) });
    }
    Ok(files)
}

/// The documents of a text, streamed.
pub(crate) struct TextDocuments<R> {
    lines: LongLines<R>,
    layout: Layout,
}

impl TextDocuments<BufReader<File>> {
    /// Opens a file; its name decides the layout.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        Ok(Self::new(BufReader::with_capacity(64 * 1024, file), path.to_owned(), Layout::of(path)))
    }
}

impl<R: BufRead> TextDocuments<R> {
    /// Reads `input`; `path` appears in errors.
    pub fn new(input: R, path: PathBuf, layout: Layout) -> Self {
        Self { lines: LongLines::new(input, path), layout }
    }

    /// Appends the paragraphs of the next document to `text`, a line break after each; false at the end of the text.
    ///
    /// A document of more than 1 MiB comes in several, and a line of more than 1 MiB is cut after white space, so that a text without
    /// any mark needs no more memory.
    ///
    /// # Errors
    /// A byte that is not UTF-8, with line and place, or the system's refusal to read.
    pub fn next_document(&mut self, text: &mut String) -> Result<bool> {
        let start = text.len();
        while text.len() - start < MAX_DOCUMENT_BYTES {
            let Some(piece) = self.lines.next_piece()? else { return Ok(text.len() > start) };
            let line = piece.text.trim();
            let ends = match self.layout {
                Layout::BlankLine => line.is_empty() && piece.ends_line,
                Layout::WikiText => is_title(line),
            };
            if ends && text.len() > start {
                return Ok(true);
            }
            match self.layout {
                Layout::BlankLine => text.push_str(line),
                Layout::WikiText if line.starts_with("= ") && line.ends_with(" =") => continue,
                Layout::WikiText => text.push_str(
                    &line.replace(" @-@ ", "-").replace(" @,@ ", ",").replace(" @.@ ", ".").replace("<unk>", "[UNK]"),
                ),
            }
            if !line.is_empty() {
                text.push('\n');
            }
        }
        Ok(true)
    }
}

/// The documents of one file, each a list of sentences.
pub(crate) struct Documents {
    paragraphs: TextDocuments<BufReader<File>>,
    text: String,
}

impl Documents {
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self { paragraphs: TextDocuments::open(path)?, text: String::new() })
    }

    /// The sentences of the next document; `None` at the end of the file.
    pub fn next_document(&mut self) -> Result<Option<Vec<String>>> {
        self.text.clear();
        if !self.paragraphs.next_document(&mut self.text)? {
            return Ok(None);
        }
        Ok(Some(self.text.lines().flat_map(split_sentences).map(str::to_owned).collect()))
    }
}

/// `= Title =`, but not `= = Section = =`.
fn is_title(text: &str) -> bool {
    text.len() > 4 && text.starts_with("= ") && text.ends_with(" =") && !text.starts_with("= =")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(name: &str, text: &str) -> Vec<Vec<String>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let mut reader = Documents::open(&path).unwrap();
        std::iter::from_fn(|| reader.next_document().unwrap()).collect()
    }

    #[test]
    fn blank_lines_end_documents_and_lines_are_paragraphs() {
        let found = documents("a.txt", "\n\nOne. Two.\nThree.\r\n\n \nFour");
        assert_eq!(found, [vec!["One.", "Two.", "Three."], vec!["Four"]]);
        assert!(documents("a.txt", "\n \n").is_empty());
    }

    #[test]
    fn wikitext_titles_open_documents() {
        let found = documents(
            "wiki.tokens",
            " \n = A b = \n \n Up 3 @,@ 000 . <unk> fell . \n \n = = Part = = \n \n More . \n = C = \n Last . \n",
        );
        assert_eq!(found, [vec!["Up 3,000 .", "[UNK] fell .", "More ."], vec!["Last ."]]);
    }

    #[test]
    fn a_document_without_end_is_cut() {
        let paragraph = format!("{}\n", "Ab cd. ".repeat(2000));
        let found = documents("a.txt", &paragraph.repeat(200));
        let one_line = documents("a.txt", &"Ab cd. ".repeat(400_000)).concat();
        assert_eq!(one_line.join(" "), "Ab cd. ".repeat(400_000).trim_end());
        assert!(found.len() >= 2, "{}", found.len());
        assert_eq!(found.iter().map(Vec::len).sum::<usize>(), 2000 * 200);
    }

    #[test]
    fn a_folder_gives_its_text_files_in_order_and_an_empty_one_says_what_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("readme.md"), "x").unwrap();
        let message = corpus_files(dir.path()).unwrap_err().to_string();
        assert!(message.contains(".txt") && message.contains("readme.md"), "{message}");
        for name in ["b.txt", "a.txt"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        let files = corpus_files(dir.path()).unwrap();
        assert_eq!(files, [dir.path().join("a.txt"), dir.path().join("b.txt")]);
        assert_eq!(corpus_files(&files[0]).unwrap(), [files[0].clone()]);
        assert!(corpus_files(&dir.path().join("none")).is_err());
    }
}
