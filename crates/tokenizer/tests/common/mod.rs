//! Helpers of the behaviour tests.
#![allow(dead_code)]

use std::path::{Path, PathBuf};

/// A path in the folder of real data and models: `EFFICIENTBERT_SHARED`, else `shared` beside the workspace. Says so where it is absent.
pub fn shared(relative: &str) -> Option<PathBuf> {
    let root = std::env::var_os("EFFICIENTBERT_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let path = root.join(relative);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is not there; set EFFICIENTBERT_SHARED to the folder with real data", path.display());
    None
}

/// A folder with a small BERT vocabulary, one token per line.
pub fn tiny_model() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let words = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nriver\nlake\nis\ndeep\n##er\n.\n?\na\nb\nc\nd\ne\nf\n";
    std::fs::write(dir.path().join("vocab.txt"), words).expect("a vocabulary");
    dir
}
