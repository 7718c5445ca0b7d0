//! `distill` from a teacher for each task.

use std::path::Path;

use bert_core::BertConfig;
use glue_squad::task::TaskKind;
use serde_json::{Value, json};

use crate::support::{Outcome, command, folder, plain_bert, pocket, run, save_bert, snapshot, wait_for};

/// A training on two tasks.
const TRAINING: [&str; 17] = [
    "distill",
    "--init",
    "bert",
    "--task",
    "sst-2",
    "--task",
    "rte",
    "--data",
    "pocket",
    "--steps",
    "6",
    "--batch-size",
    "8",
    "--max-len",
    "16",
    "--threads",
    "1",
];

/// Pocket data; `bert` with heads for both tasks; `first` and `second`, fine-tuned from it on one each; and `copy`, the same as `bert`.
fn teachers() -> tempfile::TempDir {
    let dir = folder();
    pocket(dir.path());
    plain_bert(dir.path(), "bert", &[TaskKind::Sst2, TaskKind::Rte]);
    for (out, task) in [("first", "sst-2"), ("second", "rte")] {
        let args = ["teacher", "--model", "bert", "--task", task, "--data", "pocket", "--out", out, "--steps", "3"];
        let more = ["--batch-size", "8", "--max-len", "16", "--learning-rate", "1e-2"];
        assert_eq!(run(dir.path(), &[&args[..], &more].concat()).code, Some(0));
    }
    copy(dir.path(), "bert", "copy");
    dir
}

fn copy(dir: &Path, from: &str, to: &str) {
    std::fs::create_dir(dir.join(to)).unwrap();
    for file in std::fs::read_dir(dir.join(from)).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), dir.join(to).join(file.file_name())).unwrap();
    }
}

fn student(dir: &Path, out: &str, more: &[&str]) -> (Vec<u8>, Outcome) {
    let done = run(dir, &[&TRAINING[..], &["--out", out], more].concat());
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    (std::fs::read(dir.join(out).join("model.safetensors")).unwrap(), done)
}

#[test]
fn teachers_of_the_same_weights_teach_what_one_of_them_teaches_alone() {
    let dir = teachers();
    let dir = dir.path();
    for (name, objective) in [("e", "efficientbert"), ("t", "tinybert"), ("i", "tinybert-intermediate")] {
        let of = |out: &str, teachers: &[&str]| {
            student(dir, &format!("{name}{out}"), &[&["--objective", objective][..], teachers].concat()).0
        };
        let one = of("one", &["--teacher", "bert"]);
        assert!(one == of("named", &["--teacher", "rte=bert", "--teacher", "sst-2=bert"]), "one folder");
        assert!(one == of("two", &["--teacher", "sst-2=bert", "--teacher", "rte=copy"]), "two folders");
        assert!(one == of("rest", &["--teacher", "copy", "--teacher", "rte=bert"]), "the rest");
    }
}

#[test]
fn each_task_learns_from_its_teacher_and_answers_are_kept_for_each() {
    let dir = teachers();
    let dir = dir.path();
    let pair = ["--teacher", "rte=second", "--teacher", "sst-2=first", "--progress", "json"];
    let (plain, _) = student(dir, "a", &pair);
    let card = std::fs::read_to_string(dir.join("a/README.md")).unwrap();
    assert!(card.contains("Distilled from `first` (sst-2), `second` (rte) on sst-2, rte in 6 steps"), "{card}");
    assert!(plain != student(dir, "b", &["--teacher", "bert"]).0);
    assert!(plain != student(dir, "c", &["--teacher", "bert", "--teacher", "sst-2=first"]).0);

    let cache = ["--teacher-cache", "answers"];
    let (first, done) = student(dir, "d", &[&pair[..], &cache].concat());
    assert!(first == plain && done.stderr.contains("0 of 6 came from the cache; it now holds 6"), "{}", done.stderr);
    let (second, done) = student(dir, "e", &[&pair[..], &cache].concat());
    assert!(second == plain && done.stderr.contains("6 of 6 came from the cache"), "{}", done.stderr);
    let swapped = ["--teacher", "sst-2=bert", "--teacher", "rte=copy", "--progress", "json"];
    let (_, done) = student(dir, "f", &[&swapped[..], &cache].concat());
    assert!(done.stderr.contains("0 of 6 came from the cache"), "other teachers are not answered for: {}", done.stderr);
}

#[test]
fn a_killed_training_from_two_teachers_goes_on_to_the_same_weights_and_with_no_others() {
    let dir = teachers();
    let dir = dir.path();
    let long = ["--teacher", "sst-2=first", "--teacher", "rte=second", "--steps", "300", "--checkpoint-every", "5"];
    let base: Vec<&str> = TRAINING.iter().copied().filter(|&a| a != "--steps" && a != "6").collect();
    let args = [&base[..], &long].concat();
    let whole = run(dir, &[&args[..], &["--out", "whole"]].concat()).json();

    let out = ["--out", "killed"];
    let mut start = command(dir);
    start.args(&args).args(out).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut child = start.spawn().unwrap();
    wait_for(|| dir.join("killed.training/checkpoints/step-000010").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!dir.join("killed").exists(), "it was killed in the middle");

    let other: Vec<&str> = args.iter().map(|&a| if a == "rte=second" { "rte=copy" } else { a }).collect();
    run(dir, &[&other[..], &out, &["--resume"]].concat()).fails_with(2, &["other options", "teacher 2"]);
    let resumed = run(dir, &[&args[..], &out, &["--resume"]].concat()).json();
    assert_eq!((&resumed["metrics"], &resumed["steps"]), (&whole["metrics"], &json!(300)));
    let weights = |name: &str| std::fs::read(dir.join(name).join("model.safetensors")).unwrap();
    assert!(weights("killed") == weights("whole"));
}

#[test]
fn teachers_that_do_not_go_together_are_refused_before_any_training() {
    let dir = teachers();
    let dir = dir.path();
    let base = BertConfig {
        task_heads: vec![predict::heads::task_head(TaskKind::Rte.task())],
        max_position_embeddings: 24,
        ..BertConfig::bert(synthetic_tasks::vocabulary().len(), 16, 4, 2, 32)
    };
    save_bert(dir, "deep", &base);
    save_bert(dir, "wide", &BertConfig { hidden_size: 32, num_hidden_layers: 2, ..base.clone() });
    copy(dir, "second", "foreign");
    let path = dir.join("foreign/tokenizer.json");
    let mut tokenizer: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let words = tokenizer["model"]["vocab"].as_object_mut().unwrap();
    let last: Vec<String> = words.keys().rev().take(2).cloned().collect();
    let (a, b) = (words[&last[0]].clone(), words[&last[1]].clone());
    words.insert(last[0].clone(), b);
    words.insert(last[1].clone(), a);
    std::fs::write(&path, tokenizer.to_string()).unwrap();

    let before = snapshot(dir);
    let fails = |more: &[&str], code: i32, parts: &[&str]| {
        run(dir, &[&TRAINING[..], &["--out", "out"], more].concat()).fails_with(code, parts);
        assert_eq!(snapshot(dir), before, "{more:?}");
    };
    let pair = |second: &'static str| ["--teacher", "sst-2=first", "--teacher", second];
    fails(&pair("rte=deep"), 2, &["--teacher sst-2=first has 2 layers", "--teacher rte=deep has 4 layers"]);
    fails(&pair("rte=wide"), 2, &["sst-2=first has width 16", "rte=wide has width 32"]);
    fails(&pair("rte=foreign"), 2, &["first", "foreign: their tokenizers differ"]);
    fails(&pair("rte=first"), 2, &["--teacher first", "no head for task rte; its heads: sst-2"]);
    fails(&pair("rte=none"), 2, &["--teacher none: no such folder"]);
    fails(&pair("rtf=second"), 2, &["--teacher rtf=second: `rtf` is no task", "TASK=DIR"]);
    fails(&pair("sst-2=second"), 2, &["two teachers of sst-2"]);
    fails(&pair("sts-b=second"), 2, &["sts-b is not a --task"]);
    fails(&["--teacher", "sst-2=first"], 2, &["rte has no teacher", "--teacher TASK=DIR"]);
    fails(&["--teacher", "first", "--teacher", "second"], 2, &["which one teaches which task"]);
    fails(&[&pair("rte=second")[..], &["--teacher", "bert"]].concat(), 2, &["--teacher bert", "would teach nothing"]);
    let embedding = [&pair("rte=second")[..], &["--teacher-embedding"]].concat();
    fails(&embedding, 2, &["--teacher-embedding", "several teachers"]);
    let text =
        ["distill", "--init", "bert", "--corpus", "pocket/corpus.txt", "--out", "out", "--teacher", "rte=second"];
    run(dir, &text).fails_with(2, &["--teacher rte=second", "text has one teacher"]);
    assert_eq!(snapshot(dir), before);
}
