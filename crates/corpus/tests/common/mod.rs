//! Helpers of the behavior tests.
#![allow(dead_code, unused_imports)]

use std::fmt::Write;
use std::ops::ControlFlow;
use std::path::Path;

use corpus::{Input, Manifest, PackSettings, Progress, Result, Sequence, Shards, build};
pub use test_support::shared;
use tokenizer::TextEncoder;

/// A small BERT vocabulary: words, letters and the pieces of numbers.
pub fn encoder() -> TextEncoder {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut words = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nriver\nlake\nis\ndeep\n##er\n.\n?\n".to_owned();
    for letter in 'a'..='z' {
        writeln!(words, "{letter}\n##{letter}").expect("a string");
    }
    for digit in 0..10 {
        writeln!(words, "{digit}\n##{digit}").expect("a string");
    }
    std::fs::write(dir.path().join("vocab.txt"), words).expect("a vocabulary");
    TextEncoder::from_dir(dir.path()).expect("a tokenizer")
}

/// A small RoBERTa vocabulary: a token for every byte of the documents.
pub fn byte_level() -> TextEncoder {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"].map(str::to_owned);
    let bytes = (b'!'..=b'~').map(|byte| char::from(byte).to_string());
    let pieces = special.into_iter().chain(bytes).chain(["Ġ".to_owned(), "Ċ".to_owned()]).enumerate();
    let vocab: serde_json::Map<_, _> = pieces.map(|(id, piece)| (piece, id.into())).collect();
    std::fs::write(dir.path().join("vocab.json"), serde_json::Value::Object(vocab).to_string()).expect("a vocabulary");
    std::fs::write(dir.path().join("merges.txt"), "#version: 0.2\n").expect("a file");
    TextEncoder::from_dir(dir.path()).expect("a tokenizer")
}

/// Documents of several sentences, all of them different.
pub fn documents(from: usize, count: usize) -> Vec<String> {
    let sentence =
        |d: usize, s: usize| format!("The river {d} is deeper, lake {s}{}.", " a".repeat((d * 7 + s * 3) % 9));
    let document = |d: usize| (0..2 + d % 5).map(|s| sentence(d, s)).collect::<Vec<_>>();
    (from..from + count).map(|d| document(d).join(if d % 2 == 0 { " " } else { "\n" })).collect()
}

/// A plain text file of documents.
pub fn write_plain(path: &Path, documents: &[String]) -> Input {
    std::fs::write(path, documents.join("\n\n")).expect("a file");
    Input::detect(path, "text").expect("an input")
}

/// Small blocks and shards, so that a few kilobytes of text have several.
pub fn small(settings: PackSettings) -> PackSettings {
    PackSettings { max_len: 32, shard_text_bytes: 4000, group_bytes: 0, ..settings }
}

/// Packs and does not look at the progress.
pub fn pack(inputs: &[Input], settings: &PackSettings, out: &Path, threads: usize) -> Result<Manifest> {
    build(inputs, &encoder(), settings, out, threads, &|_: Progress| ControlFlow::Continue(()))
}

/// All sequences of a folder.
pub fn sequences(out: &Path) -> Vec<Sequence> {
    let shards = Shards::open(out).expect("shards");
    (0..shards.len()).map(|i| shards.get(i).expect("a sequence")).collect()
}

/// Every file below a folder with its bytes, by relative name.
pub fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for folder in ["", "shards", "parts"] {
        for entry in std::fs::read_dir(dir.join(folder)).expect("a folder").flatten() {
            if entry.path().is_file() {
                let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
                found.push((name, std::fs::read(entry.path()).expect("a file")));
            }
        }
    }
    found.sort();
    found
}

/// A folder with a small BERT vocabulary, one token per line.
pub fn tiny_model() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let words = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nriver\nlake\nis\ndeep\n##er\n.\n?\na\nb\nc\nd\ne\nf\n";
    std::fs::write(dir.path().join("vocab.txt"), words).expect("a vocabulary");
    dir
}
