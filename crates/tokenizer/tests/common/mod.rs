//! Helpers of the behavior tests.
#![allow(dead_code, unused_imports)]

pub use test_support::shared;

/// A folder with a small BERT vocabulary, one token per line.
pub fn tiny_model() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let words = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nriver\nlake\nis\ndeep\n##er\n.\n?\na\nb\nc\nd\ne\nf\n";
    std::fs::write(dir.path().join("vocab.txt"), words).expect("a vocabulary");
    dir
}
