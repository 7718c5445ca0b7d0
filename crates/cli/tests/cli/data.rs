//! `data`.

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

/// A manifest with one task whose file the test has at hand; its address leads nowhere.
fn private_manifest(dir: &std::path::Path, train: &str) {
    let manifest = format!(
        r#"
version = 1
[[set]]
id = "reviews"
group = "glue"
title = "Reviews"
folder = "glue/SST-2"
task = "sst-2"
license = "ours"
home = "https://data.invalid"
[[set.source]]
name = "reviews.tsv"
urls = ["https://data.invalid/reviews.tsv"]
bytes = {}
sha256 = "{}"
[[set.file]]
path = "train.tsv"
source = "reviews.tsv"
split = "train"
rows = 2
"#,
        train.len(),
        run_store::hash::bytes(train),
    );
    std::fs::write(dir.join("m.toml"), manifest).unwrap();
}

const REVIEWS: &str = "sentence\tlabel\ngood\t1\nbad\t0\n";

#[test]
fn a_list_names_every_set_and_says_what_is_here() {
    let dir = folder();
    let sets = run(dir.path(), &["data", "list", "--json"]).json();
    let state = |id: &str| sets["sets"].as_array().unwrap().iter().find(|set| set["id"] == id).unwrap().clone();
    assert_eq!(state("mnli")["presence"], json!("absent"));
    assert_eq!(state("mnli")["files"][0]["rows"], json!(392_702));
    assert_eq!(state("bookscorpus")["presence"], json!("unavailable"));
    let text = run(dir.path(), &["data", "list", "wnli"]).stdout;
    assert!(text.contains("CC BY 4.0") && text.contains("glue/WNLI"), "{text}");
    run(dir.path(), &["data", "list", "imdb"]).fails_with(2, &["no data set or group `imdb`", "data list"]);
}

#[test]
fn a_set_is_fetched_from_a_folder_checked_and_then_found() {
    let dir = folder();
    private_manifest(dir.path(), REVIEWS);
    std::fs::write(dir.path().join("reviews.tsv"), REVIEWS).unwrap();
    let data = |command: &str, args: &[&str]| {
        run(dir.path(), &[&["data", command, "reviews", "--manifest", "m.toml", "--json"], args].concat())
    };
    let plan = data("fetch", &["--dry-run"]).json();
    assert_eq!(plan["to_fetch"][0]["id"], json!("reviews"));
    let file = data("fetch", &["--from", "."]).json()["sets"][0]["files"][0].clone();
    assert_eq!((&file["path"], &file["how"]), (&json!("glue/SST-2/train.tsv"), &json!("fetched")));
    assert_eq!((&file["verified"], &file["sha256"]), (&json!(true), &json!(run_store::hash::bytes(REVIEWS))));
    assert_eq!(std::fs::read_to_string(dir.path().join("data/glue/SST-2/train.tsv")).unwrap(), REVIEWS);
    let report = data("check", &[]).json();
    assert_eq!((&report["problems"], &report["sets"][0]["files"][0]["rows"]), (&json!(0), &json!(2)));
    assert_eq!(data("list", &[]).json()["sets"][0]["presence"], json!("complete"));
    assert_eq!(data("fetch", &[]).json()["sets"][0]["files"][0]["how"], json!("present"));

    std::fs::write(dir.path().join("data/glue/SST-2/train.tsv"), "sentence\tlabel\ngood\t1\n").unwrap();
    let outcome = data("check", &[]);
    assert_eq!(outcome.code, Some(1));
    outcome.says(&["problems; results with these files would not count", "--force"]);
}

#[test]
fn without_a_network_a_fetch_says_what_to_do_and_places_nothing() {
    let dir = folder();
    private_manifest(dir.path(), REVIEWS);
    let args = ["data", "fetch", "reviews", "--manifest", "m.toml", "--attempts", "1"];
    let output = crate::support::command(dir.path())
        .args(args)
        .envs(["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"].map(|name| (name, "")))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    for part in ["https://data.invalid/reviews.tsv", "data.invalid could not be resolved", "--from FOLDER"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(!dir.path().join("data/glue").exists());
    run(dir.path(), &["data", "fetch", "bookscorpus"]).fails_with(1, &["no official address"]);
    run(dir.path(), &["data", "check"]).fails_with(1, &["there is nothing to check", "data fetch NAME"]);
}
