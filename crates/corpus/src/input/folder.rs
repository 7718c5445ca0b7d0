//! What a path holds.

use std::io::Read;
use std::path::Path;

use table_rows::compressed;

use super::{Format, Input};
use crate::error::{Error, Result};

/// Unpacked bytes that are looked at to tell a format.
const SNIFF_BYTES: u64 = 4096;
/// Folders within folders; more is taken for a loop of links.
const MAX_DEPTH: usize = 16;
/// Extensions of packed files, taken off before the name is looked at.
const PACKED: [&str; 4] = ["gz", "zst", "bz2", "zstd"];

/// The inputs under a path: the file itself, or all files below a folder in the order of their names, hidden ones left out.
/// Names of inputs are relative to the folder. `field` is the key or column of the text in JSON Lines and Parquet.
///
/// # Errors
/// Nothing there, an empty folder, or a file that cannot be read.
pub fn inputs_of(path: &Path, field: &str) -> Result<Vec<Input>> {
    if path.is_file() {
        return Ok(vec![Input::detect(path, field)?]);
    }
    let mut found = Vec::new();
    walk(path, "", 0, &mut |path, name| {
        found.push(Input { path: path.to_owned(), name, format: detect(path, field)? });
        Ok(())
    })?;
    if found.is_empty() {
        return Err(Error::input(path, "the folder", "no file in it; a corpus needs at least one"));
    }
    Ok(found)
}

fn walk(folder: &Path, prefix: &str, depth: usize, found: &mut dyn FnMut(&Path, String) -> Result<()>) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(Error::input(folder, "the folder", "folders are nested too deeply; is there a loop of links?"));
    }
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let entry = entry.map_err(|e| Error::io(folder, e))?;
        entries.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    entries.sort();
    for (name, path) in entries.into_iter().filter(|(name, _)| !name.starts_with('.')) {
        if path.is_dir() {
            walk(&path, &format!("{prefix}{name}/"), depth + 1, found)?;
        } else {
            found(&path, format!("{prefix}{name}"))?;
        }
    }
    Ok(())
}

/// The format of a file by its name and first bytes.
pub(super) fn detect(path: &Path, field: &str) -> Result<Format> {
    let mut first = Vec::new();
    let head = compressed::open(path).map_err(|e| Error::io(path, e))?;
    head.take(SNIFF_BYTES).read_to_end(&mut first).map_err(|e| Error::io(path, e))?;
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().to_lowercase());
    let bare = PACKED.iter().find_map(|ext| name.strip_suffix(ext)?.strip_suffix('.')).unwrap_or(&name);
    let extension = bare.rsplit_once('.').map_or("", |(_, extension)| extension);
    let field = field.to_owned();
    if first.starts_with(b"PAR1") || extension == "parquet" {
        return Ok(Format::Parquet { field });
    }
    let text = first.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&first).trim_ascii_start();
    let contains = |needle: &[u8]| text.windows(needle.len()).any(|w| w == needle);
    Ok(match extension {
        "jsonl" | "ndjson" | "json" => Format::JsonLines { field },
        "tokens" => Format::WikiText,
        _ if text.starts_with(b"<doc ") => Format::WikiExtractor,
        _ if text.starts_with(b"<mediawiki") || text.starts_with(b"<page") => Format::MediaWiki,
        _ if text.starts_with(b"<?xml") && (contains(b"<mediawiki") || contains(b"<page")) => Format::MediaWiki,
        "txt" => Format::Plain,
        _ if text.starts_with(b"{\"") => Format::JsonLines { field },
        _ => Format::Plain,
    })
}

#[cfg(test)]
mod tests {
    use table_rows::compressed::Compression;

    use super::*;

    #[test]
    fn formats_are_told_by_name_and_first_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let text = || "text".to_owned();
        for (name, bytes, wanted) in [
            ("a.txt", "Some text.", Format::Plain),
            ("b", "Some text.", Format::Plain),
            ("wiki_00", "<doc id=\"1\" title=\"A\">\n", Format::WikiExtractor),
            ("x.xml", "\u{feff}<?xml version=\"1.0\"?>\n<mediawiki xml:lang=\"en\">", Format::MediaWiki),
            ("pages", "<page><title>", Format::MediaWiki),
            ("a.jsonl", "[1]", Format::JsonLines { field: text() }),
            ("lines", "{\"text\": \"a\"}", Format::JsonLines { field: text() }),
            ("wiki.train.tokens", " = A = ", Format::WikiText),
            ("a.parquet", "PAR1", Format::Parquet { field: text() }),
            ("noname", "PAR1....", Format::Parquet { field: text() }),
        ] {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(detect(&path, "text").unwrap(), wanted, "{name}");
        }
        let packed = ruzstd::encoding::compress_to_vec(&b"{}"[..], ruzstd::encoding::CompressionLevel::Fastest);
        let path = dir.path().join("c.jsonl.zst");
        std::fs::write(&path, packed).unwrap();
        assert_eq!(detect(&path, "body").unwrap(), Format::JsonLines { field: "body".to_owned() });
        assert_eq!(Compression::of_file(&path).unwrap(), Compression::Zstd);
    }

    #[test]
    fn a_folder_gives_its_files_in_order_and_an_empty_one_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(inputs_of(dir.path(), "text").unwrap_err().to_string().contains("no file"));
        std::fs::create_dir(dir.path().join("AA")).unwrap();
        for name in ["b.txt", "AA/wiki_01", "AA/wiki_00", ".hidden"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        let names: Vec<String> = inputs_of(dir.path(), "text").unwrap().into_iter().map(|i| i.name).collect();
        assert_eq!(names, ["AA/wiki_00", "AA/wiki_01", "b.txt"]);
        assert_eq!(inputs_of(&dir.path().join("b.txt"), "text").unwrap()[0].name, "b.txt");
        assert!(inputs_of(&dir.path().join("gone"), "text").unwrap_err().to_string().contains("gone"));
    }
}
