//! `data make-pocket`.

use serde_json::json;

use crate::support::{folder, run, snapshot};

#[test]
fn the_pocket_data_set_is_written_once_and_then_found_unchanged() {
    let dir = folder();
    let make = |args: &[&str]| run(dir.path(), &[&["data", "make-pocket"], args].concat());
    let first = make(&[]).json();
    assert_eq!(first["written"], first["files"]);
    let written = snapshot(&dir.path().join("datasets/pocket"));
    for name in ["SST-2/train.tsv", "RTE/dev.tsv", "STS-B/dev.tsv", "corpus.txt", "tokenizer.json"] {
        assert!(written.contains_key(std::path::Path::new(name)), "{name}");
    }
    assert_eq!(make(&[]).json()["written"], json!(0));
    assert_eq!(snapshot(&dir.path().join("datasets/pocket")), written);
}

#[test]
fn files_that_differ_are_replaced_only_by_force() {
    let dir = folder();
    let make = |args: &[&str]| run(dir.path(), &[&["data", "make-pocket", "--out", "p", "--seed", "5"], args].concat());
    make(&[]).json();
    let made = snapshot(dir.path());
    std::fs::write(dir.path().join("p/corpus.txt"), "mine\n").unwrap();
    std::fs::remove_file(dir.path().join("p/RTE/dev.tsv")).unwrap();
    let mine = snapshot(dir.path());
    make(&[]).fails_with(1, &["p: other contents stand in corpus.txt", "nothing was written; --force"]);
    assert_eq!(snapshot(dir.path()), mine);
    assert_eq!(make(&["--force"]).json()["written"], json!(2));
    assert_eq!(snapshot(dir.path()), made);
}

#[test]
fn a_file_in_the_way_is_an_error() {
    let dir = folder();
    std::fs::write(dir.path().join("p"), "a file").unwrap();
    run(dir.path(), &["data", "make-pocket", "--out", "p"]).fails_with(1, &["p"]);
    assert_eq!(std::fs::read(dir.path().join("p")).unwrap(), b"a file");
}
