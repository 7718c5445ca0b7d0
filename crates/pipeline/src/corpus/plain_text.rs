//! Whether files are plain text, as far as their first bytes tell. What only reading shows, packing finds.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use corpus::{Compression, DEFAULT_FIELD, Format, Input};

use crate::error::Problem;

/// Bytes that are looked at.
const HEAD: u64 = 64 * 1024;

/// What speaks against `path` as plain text; `None` where nothing does.
pub(super) fn fault(path: &Path) -> Option<Problem> {
    let shown = path.display();
    let problem = |message: String| Some(Problem { message, usage: false, missing: false });
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    if let Err(e) = read {
        return problem(format!("{shown}: {e}"));
    }
    let pack =
        format!("`efficientbert data pack {shown} --tokenizer TEACHER --out DIR` reads it, and DIR is then the corpus");
    let packed = match Compression::of(&head) {
        Compression::None => None,
        Compression::Gzip => Some("gzip"),
        Compression::Zstd => Some("zstd"),
        Compression::Bzip2 => Some("bzip2"),
    };
    if let Some(name) = packed {
        return problem(format!("{shown}: is compressed with {name}, and plain text is needed; {pack}"));
    }
    let archives: [(&[u8], &str); 3] = [
        (b"\xfd7zXZ\0", "compressed with xz"),
        (b"PK\x03\x04", "a zip archive"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    ];
    if let Some((_, what)) = archives.iter().find(|(magic, _)| head.starts_with(magic)) {
        return problem(format!("{shown}: is {what}, and plain text is needed; unpack it first"));
    }
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return problem(format!("{shown}: is UTF-16 text; convert it to UTF-8"));
    }
    let form = match Input::detect(path, DEFAULT_FIELD) {
        // Whatever the file is called.
        Ok(_) if holds_objects(&head) => Some("JSON Lines"),
        Ok(input) => match input.format {
            Format::Plain | Format::WikiText => None,
            Format::JsonLines { .. } => Some("JSON Lines"),
            Format::Parquet { .. } => Some("Parquet"),
            Format::WikiExtractor => Some("the output of wikiextractor"),
            Format::MediaWiki => Some("a dump of MediaWiki"),
        },
        Err(e) => return problem(e.to_string()),
    };
    if let Some(form) = form {
        return problem(format!("{shown}: is {form}, and plain text is needed; {pack}"));
    }
    let zero = head.iter().position(|byte| *byte == 0)?;
    problem(format!("{shown}: byte {} is 0, so this is no text file in UTF-8", zero + 1))
}

/// Whether the first two lines are JSON objects.
fn holds_objects(head: &[u8]) -> bool {
    let lines: Vec<&[u8]> =
        head.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).take(2).collect();
    let is_object = |line: &&[u8]| {
        line.trim_ascii_start().starts_with(b"{")
            && serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(line).is_ok()
    };
    lines.len() == 2 && lines.iter().all(is_object)
}

/// Endings of files that `data pack` reads and that are no plain text.
const OTHER_FORMS: [&str; 9] = ["gz", "zst", "zstd", "bz2", "jsonl", "ndjson", "json", "parquet", "xml"];

/// What to do with a folder that has no `.txt` file; `None` where nothing in it is of use.
pub(super) fn other_forms(folder: &Path) -> Option<String> {
    let of_use = |path: &Path| path.extension().is_some_and(|e| OTHER_FORMS.iter().any(|form| e == *form));
    let mut files = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    files.any(|path| of_use(&path)).then(|| {
        format!(
            "`efficientbert data pack {} --tokenizer TEACHER --out DIR` reads compressed files and other forms than \
             plain text, and DIR is then the corpus",
            folder.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_plain_text_is_told_by_its_first_bytes_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes, parts) in [
            ("a.txt", &b"\x1f\x8b\x08rest"[..], &["compressed with gzip", "data pack"][..]),
            ("b.txt", b"\x28\xb5\x2f\xfdrest", &["compressed with zstd", "data pack"]),
            ("c.txt", b"BZh91AY", &["compressed with bzip2", "data pack"]),
            ("d.txt", b"\xfd7zXZ\0rest", &["compressed with xz", "unpack it"]),
            ("e.txt", b"PK\x03\x04rest", &["zip", "unpack it"]),
            ("f.txt", b"\xff\xfeA\0", &["UTF-16", "UTF-8"]),
            ("g.txt", b"A\0b\0", &["byte 2 is 0"]),
            ("h.jsonl", b"{\"text\": \"a\"}\n", &["JSON Lines", "data pack"]),
            ("i", b"{\"text\": \"a\"}\n", &["JSON Lines"]),
            ("i.txt", b"{\"text\": \"a\"}\n\n{\"text\": \"b\"}\n{\"te", &["JSON Lines", "data pack"]),
            ("j.bin", b"PAR1...", &["Parquet"]),
            ("k", b"<doc id=\"1\">", &["wikiextractor"]),
            ("l.xml", b"<mediawiki>", &["MediaWiki"]),
        ] {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let message = fault(&path).unwrap_or_else(|| panic!("{name} passes")).message;
            assert!(parts.iter().all(|part| message.contains(part)) && message.contains(name), "{message}");
        }
        for (name, bytes) in
            [("m.txt", &b"One text.\n"[..]), ("n.txt", b""), ("o.tokens", b" = A = \n"), ("p.txt", b"{\"is prose\"")]
        {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(fault(&path), None, "{name}");
        }
        assert!(fault(&dir.path().join("none")).is_some());
    }

    #[test]
    fn a_folder_of_other_forms_is_told_from_one_without_anything() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("readme.md"), "x").unwrap();
        assert_eq!(other_forms(dir.path()), None);
        std::fs::write(dir.path().join("a.txt.gz"), "x").unwrap();
        assert!(other_forms(dir.path()).is_some_and(|said| said.contains("data pack")));
    }
}
