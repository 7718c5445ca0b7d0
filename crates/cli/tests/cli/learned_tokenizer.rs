//! `data tokenizer`, and spans in `data pack`.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Outcome, command, folder, pocket_folder, run, snapshot, wait_for};

fn learn(dir: &Path, out: &str, more: &[&str]) -> Outcome {
    let args = ["data", "tokenizer", "--corpus", "pocket/corpus.txt", "--out", out];
    run(dir, &[&args[..], more].concat())
}

fn object(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))).expect("JSON")
}

#[test]
fn a_learned_tokenizer_packs_text_whatever_its_kind_and_the_threads() {
    let dir = pocket_folder(&[]);
    for (kind, size, first) in [("wordpiece", 200, "[PAD]"), ("unigram", 120, "[PAD]"), ("bpe", 400, "<s>")] {
        let options = ["--kind", kind, "--vocab-size", &size.to_string(), "--max-len", "48", "--json"];
        let said = learn(dir.path(), kind, &[&options[..], &["--threads", "1"]].concat()).json();
        let pieces = said["vocab_size"].as_u64().unwrap();
        assert!(pieces > 20 && pieces <= size, "{said}");
        assert!(said["words"].as_u64() > said["distinct_words"].as_u64(), "{said}");
        let config = object(&dir.path().join(kind).join("tokenizer_config.json"));
        assert_eq!(config["model_max_length"], json!(48));
        let added = object(&dir.path().join(kind).join("tokenizer.json"))["added_tokens"][0].clone();
        assert_eq!((&added["id"], &added["content"]), (&json!(0), &json!(first)));
        assert_eq!(dir.path().join(kind).join("vocab.txt").exists(), kind == "wordpiece");

        let again = format!("{kind}-again");
        learn(dir.path(), &again, &[&options[..], &["--threads", "2"]].concat()).json();
        assert_eq!(snapshot(&dir.path().join(kind)), snapshot(&dir.path().join(&again)), "{kind}");

        let packed = format!("packed-{kind}");
        let pack = ["data", "pack", "pocket/corpus.txt", "--tokenizer", kind, "--out", &packed, "--max-len", "48"];
        let masks = ["--mask", "--whole-words", "--spans", "--max-span", "4", "--json"];
        let said = run(dir.path(), &[&pack[..], &masks].concat()).json();
        assert_eq!(said["settings"]["masking"]["spans"], json!({ "p": 0.2, "max": 4 }));
        assert!(said["tokens"].as_u64().unwrap() > 1000, "{said}");
    }
}

#[test]
fn what_cannot_be_learned_is_refused_and_leaves_nothing() {
    let dir = pocket_folder(&[]);
    std::fs::write(dir.path().join("empty.txt"), "\n\n").unwrap();
    let before = snapshot(dir.path());
    let refused = |code: i32, more: &[&str], parts: &[&str]| learn(dir.path(), "out", more).fails_with(code, parts);
    refused(1, &["--vocab-size", "30"], &["a vocabulary of 30 pieces has no room", "allow"]);
    refused(1, &["--vocab-size", "261", "--kind", "bpe"], &["256 bytes", "262"]);
    refused(2, &["--vocab-size", "3"], &["vocabulary size is 3"]);
    refused(2, &["--kind", "bpe", "--max-alphabet", "9"], &["cannot be limited"]);
    refused(2, &["--sample", "0"], &["sample has 0 sentences"]);
    refused(2, &["--lowercase", "--cased"], &["--cased"]);
    let of = |corpus: &str, out: &str| run(dir.path(), &["data", "tokenizer", "--corpus", corpus, "--out", out]);
    of("empty.txt", "out").fails_with(1, &["no text in the 1 inputs"]);
    of("nowhere.txt", "out").fails_with(2, &["--corpus nowhere.txt: no such file or folder"]);
    of("pocket/corpus.txt", "bert").fails_with(2, &["--out bert: exists and is not an empty folder"]);
    assert_eq!(snapshot(dir.path()), before);
}

#[test]
fn case_and_accents_are_those_asked_for() {
    let dir = folder();
    std::fs::write(dir.path().join("a.txt"), "Élan Élan élan Elan elan. ".repeat(40)).unwrap();
    for (options, lower, accents) in [
        (&[][..], json!(true), json!(null)),
        (&["--cased"], json!(false), json!(null)),
        (&["--cased", "--strip-accents"], json!(false), json!(true)),
        (&["--strip-accents=false"], json!(true), json!(false)),
    ] {
        let out = format!("out{}", options.len() * 10 + options.concat().len());
        let args = ["data", "tokenizer", "--corpus", "a.txt", "--vocab-size", "60", "--out", &out];
        let done = run(dir.path(), &[&args[..], options].concat());
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        let config = object(&dir.path().join(&out).join("tokenizer_config.json"));
        assert_eq!((&config["do_lower_case"], &config["strip_accents"]), (&lower, &accents), "{options:?}");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_it_and_leaves_nothing() {
    let dir = folder();
    // Many different words: the unigram trainer has seconds to do.
    let words: String = (0..60_000_u64).map(|n| format!("{:x} ", n.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect();
    std::fs::write(dir.path().join("a.txt"), words.repeat(2)).unwrap();
    let args = ["data", "tokenizer", "--corpus", "a.txt", "--kind", "unigram", "--out", "out", "--progress", "json"];
    let errors = std::fs::File::create(dir.path().join("errors")).unwrap();
    let mut child = command(dir.path()).args(args).stdout(Stdio::null()).stderr(errors).spawn().unwrap();
    let said = || std::fs::read_to_string(dir.path().join("errors")).unwrap();
    wait_for(|| said().contains("\"learn\""));
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(child.wait().unwrap().code(), Some(130), "{}", said());
    assert!(said().contains("nothing was written"), "{}", said());
    assert!(!dir.path().join("out").exists());
}

#[test]
fn options_of_spans_need_spans() {
    let dir = pocket_folder(&[]);
    let pack = ["data", "pack", "pocket/corpus.txt", "--tokenizer", "bert", "--out", "packed"];
    let refused = |more: &[&str], part: &str| run(dir.path(), &[&pack[..], more].concat()).fails_with(2, &[part]);
    refused(&["--spans"], "--mask");
    refused(&["--mask", "--span-p", "0.3"], "--spans");
    refused(&["--mask", "--spans", "--span-p", "0"], "p of spans is 0");
    refused(&["--mask", "--spans", "--max-span", "0"], "max of spans is 0");
}
