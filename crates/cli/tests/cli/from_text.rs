//! `search` from raw text: tokenizer and teacher are learned from it.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{command, pocket_folder, run, snapshot, wait_for};

const SETTINGS: [&str; 9] = [
    "teacher.tokenizer={ kind = \"wordpiece\", vocab_size = 300 }",
    "teacher.pretrain={ steps = 40, batch_size = 16, learning_rate = 3e-3, checkpoint_every = 5 }",
    "budget={ max_params = 60000 }",
    "search.stage1.trials=2",
    "search.stage1.initial_random=1",
    "search.stage2.trials=2",
    "search.stage3.trials=2",
    "search.stage3.initial_random=1",
    "compare.same_params=false",
];

fn search<'a>(corpus: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let own = ["--train", "reviews.csv", "--text", "review", "--label", "stars", "--dev-part", "0.2"];
    let first = ["search", "--recipe", "smoke", "--threads", "1", "--corpus", corpus, "--out", out];
    let set = SETTINGS.iter().chain(more).flat_map(|setting| ["--set", setting]);
    first.into_iter().chain(own).chain(set).collect()
}

/// The pocket reviews as somebody's own file, and their text.
fn own_folder() -> tempfile::TempDir {
    let dir = pocket_folder(&[]);
    let reviews = std::fs::read_to_string(dir.path().join("pocket/SST-2/train.tsv")).unwrap();
    let rows = reviews.lines().skip(1).map(|line| {
        let (text, label) = line.split_once('\t').expect("a text and its label");
        format!("\"{}\",{}\n", text.replace('"', "\"\""), if label == "1" { "good" } else { "bad" })
    });
    let csv = std::iter::once("review,stars\n".to_owned()).chain(rows).collect::<String>();
    std::fs::write(dir.path().join("reviews.csv"), csv).unwrap();
    dir
}

fn object(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))).expect("JSON")
}

#[test]
fn text_and_examples_alone_become_a_student_and_a_killed_run_ends_with_the_same_one() {
    let dir = own_folder();
    let whole = run(dir.path(), &search("pocket/corpus.txt", "whole", &[]));
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);
    let vocabulary = |model: &str| object(&dir.path().join(model).join("tokenizer.json"))["model"]["vocab"].clone();
    let learned = vocabulary("whole/student");
    assert!(learned.as_object().unwrap().len() <= 300, "{learned}");
    assert_eq!(vocabulary("whole/pretrain/model"), learned);
    let config = object(&dir.path().join("whole/pretrain/model/config.json"));
    assert_eq!(config["vocab_size"].as_u64(), Some(learned.as_object().unwrap().len() as u64));
    // The pre-trained encoder is a model that a training goes on from.
    let on = [
        "teacher",
        "--model",
        "whole/pretrain/model",
        "--train",
        "reviews.csv",
        "--text",
        "review",
        "--label",
        "stars",
    ];
    let on = [&on[..], &["--dev-part", "0.2", "--steps", "2", "--out", "tuned"]].concat();
    assert_eq!(run(dir.path(), &on).code, Some(0));

    let log = dir.path().join("run/log.jsonl");
    let mut killed = command(dir.path());
    killed.args(search("pocket/corpus.txt", "run", &["log_every=1"])).stdout(Stdio::null()).stderr(Stdio::null());
    let mut killed = killed.spawn().unwrap();
    wait_for(|| std::fs::read_to_string(&log).is_ok_and(|text| text.contains("\"phase\":\"pretrain\",\"step\":7,")));
    killed.kill().unwrap();
    killed.wait().unwrap();
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(!text.contains("\"event\":\"phase_finished\",\"phase\":\"pretrain\""), "it was killed in pre-training");
    let resumed = run(dir.path(), &["search", "--resume", "--out", "run", "--threads", "1"]);
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    for model in ["student", "pretrain/model"] {
        let weights = |out: &str| std::fs::read(dir.path().join(out).join(model).join("model.safetensors")).unwrap();
        assert!(weights("run") == weights("whole"), "{model} of a killed and of an undisturbed run");
    }
}

#[test]
fn a_text_that_no_tokenizer_can_be_learned_from_is_refused_before_anything_is_written() {
    let dir = own_folder();
    let pack = ["data", "pack", "pocket/corpus.txt", "--tokenizer", "pocket", "--max-len", "32", "--out", "packed"];
    assert_eq!(run(dir.path(), &pack).code, Some(0));
    let before = snapshot(dir.path());
    let refused = |corpus: &str, more: &[&str], code: i32, parts: &[&str]| {
        run(dir.path(), &search(corpus, "run", more)).fails_with(code, parts);
        assert!(snapshot(dir.path()) == before, "{corpus}, {more:?}: nothing is left behind");
    };
    refused("packed", &[], 2, &["packed holds packed shards", "learned from text files"]);
    refused("nowhere.txt", &[], 2, &["nowhere.txt"]);
    let few = ["teacher.tokenizer={ vocab_size = 20 }"];
    refused("pocket/corpus.txt", &few, 1, &["a vocabulary of 20 pieces has no room"]);
    let unused = ["teacher.model=bert"];
    refused("pocket/corpus.txt", &unused, 2, &["`teacher.tokenizer` and `teacher.pretrain` have no effect"]);
}
