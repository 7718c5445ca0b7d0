//! Trainings on what `data pack` made, and what a task's file has that no reader can use.

use std::path::Path;
use std::process::Stdio;

use glue_squad::task::TaskKind;
use serde_json::json;

use crate::support::{Outcome, command, plain_bert, pocket_folder, run, snapshot, wait_for};

const ARCH: &str = "linear1_1(gelu(linear1_1(x,wb1)),wb2); tanh(linear2_2(gelu(linear2_2(x,wb1)),wb2))";
const DISTILL: [&str; 13] = [
    "distill",
    "--teacher",
    "bert",
    "--arch",
    ARCH,
    "--hidden",
    "12",
    "--embed",
    "8",
    "--batch-size",
    "8",
    "--threads",
    "1",
];

fn pack(dir: &Path, more: &[&str]) {
    let args = ["data", "pack", "pocket/corpus.txt", "--tokenizer", "bert", "--out", "packed"];
    let done = run(dir, &[&args[..], more].concat());
    assert_eq!(done.code, Some(0), "{}", done.stderr);
}

fn distill(dir: &Path, out: &str, more: &[&str]) -> Outcome {
    run(dir, &[&DISTILL[..], &["--corpus", "packed", "--out", out], more].concat())
}

fn weights(dir: &Path, name: &str) -> Vec<u8> {
    std::fs::read(dir.join(name).join("model.safetensors")).expect("a model")
}

#[test]
fn shards_teach_at_their_own_length_and_one_seed_gives_one_result() {
    let dir = pocket_folder(&[]);
    pack(dir.path(), &["--max-len", "20"]);
    let done = distill(dir.path(), "a", &["--steps", "4"]).json();
    assert_eq!((&done["steps"], &done["score"]), (&json!(4), &json!(null)));
    let again = distill(dir.path(), "b", &["--steps", "4", "--max-len", "20"]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(weights(dir.path(), "a") == weights(dir.path(), "b"));
    distill(dir.path(), "c", &["--steps", "4", "--seed", "1"]).json();
    assert!(weights(dir.path(), "a") != weights(dir.path(), "c"), "another seed");
    let epoch = distill(dir.path(), "d", &[]).json();
    let sequences = std::fs::read(dir.path().join("packed/manifest.json")).unwrap();
    let sequences: serde_json::Value = serde_json::from_slice(&sequences).unwrap();
    assert_eq!(epoch["steps"], json!(sequences["sequences"].as_u64().unwrap().div_ceil(8)), "every sequence once");
}

#[test]
fn options_of_the_other_packing_are_refused_before_anything_is_packed() {
    let dir = pocket_folder(&[]);
    let before = snapshot(dir.path());
    for (options, message) in [
        (&["--packing", "full", "--random-next", "0.5"][..], "--random-next has no effect with --packing full"),
        (&["--packing", "full", "--short-seq-prob", "0.1"], "--short-seq-prob has no effect with --packing full"),
        (&["--within-documents"], "--within-documents has no effect without --packing full"),
    ] {
        let args = ["data", "pack", "pocket/corpus.txt", "--tokenizer", "bert", "--out", "packed"];
        run(dir.path(), &[&args[..], options].concat()).fails_with(2, &[message]);
    }
    assert_eq!(snapshot(dir.path()), before);
    pack(dir.path(), &["--packing", "full", "--within-documents"]);
}

#[test]
fn shards_of_another_length_or_tokenizer_and_unfinished_ones_are_refused() {
    let dir = pocket_folder(&[]);
    pack(dir.path(), &["--max-len", "20"]);
    let refused = |more: &[&str], parts: &[&str]| distill(dir.path(), "out", more).fails_with(1, parts);
    refused(&["--max-len", "16"], &["at most 20 tokens, the training has 16", "--max-len 16"]);
    refused(&["--corpus", "packed", "pocket/corpus.txt"], &["name it alone"]);
    std::fs::remove_dir_all(dir.path().join("packed")).unwrap();
    // The teacher of the pocket data has 24 positions.
    pack(dir.path(), &[]);
    refused(&[], &["at most 128 tokens, the training has 24"]);
    std::fs::remove_file(dir.path().join("packed/manifest.json")).unwrap();
    refused(&[], &["without a manifest.json: packing was not finished"]);
    std::fs::remove_dir_all(dir.path().join("packed")).unwrap();

    plain_bert(dir.path(), "other", &[]);
    let path = dir.path().join("other/tokenizer.json");
    let mut other: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let vocabulary = other["model"]["vocab"].as_object_mut().unwrap();
    let size = vocabulary.len();
    vocabulary.insert("unheard".into(), json!(size));
    std::fs::write(&path, serde_json::to_vec(&other).unwrap()).unwrap();
    let args = ["data", "pack", "pocket/corpus.txt", "--tokenizer", "other", "--out", "packed", "--max-len", "20"];
    assert_eq!(run(dir.path(), &args).code, Some(0));
    let larger = format!("with {} tokens", size + 1);
    refused(&[], &["packed with another tokenizer than the training's", &larger, "--tokenizer"]);
    assert!(!dir.path().join("out").exists() && !dir.path().join("out.training").exists());
}

#[test]
fn a_killed_training_on_shards_goes_on_to_the_same_weights_and_notices_other_shards() {
    let dir = pocket_folder(&[]);
    pack(dir.path(), &["--max-len", "20"]);
    let args = ["--steps", "200", "--checkpoint-every", "5"];
    let mut child = command(dir.path())
        .args(DISTILL)
        .args(["--corpus", "packed", "--out", "out"])
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for(|| dir.path().join("out.training/checkpoints/step-000010").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!dir.path().join("out").exists(), "it was killed in the middle");

    let resume = || distill(dir.path(), "out", &[&args[..], &["--resume"]].concat());
    std::fs::rename(dir.path().join("packed"), dir.path().join("kept")).unwrap();
    pack(dir.path(), &["--max-len", "20", "--seed", "7"]);
    resume().fails_with(
        2,
        &["out.training was started with other options or files", "is not what it was then", "corpus manifest.json"],
    );
    std::fs::remove_dir_all(dir.path().join("packed")).unwrap();
    std::fs::rename(dir.path().join("kept"), dir.path().join("packed")).unwrap();
    let resumed = resume();
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    resumed.says(&["continuing after step"]);
    assert_eq!(distill(dir.path(), "whole", &args).code, Some(0));
    assert!(weights(dir.path(), "out") == weights(dir.path(), "whole"));
}

#[test]
fn rows_that_no_reader_can_use_are_counted_aloud() {
    let dir = pocket_folder(&[TaskKind::Qqp]);
    let folder = dir.path().join("glue/QQP");
    std::fs::create_dir_all(&folder).unwrap();
    let header = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n";
    let rows: String =
        (0..20).map(|n| format!("{n}\t1\t2\tthe soup was good\tthe soup was cold\t{}\n", n % 2)).collect();
    let torn = "20\t3\t4\ta question with\na line break\tc\t0\n";
    std::fs::write(folder.join("train.tsv"), format!("{header}{rows}{torn}")).unwrap();
    std::fs::write(folder.join("dev.tsv"), format!("{header}{rows}")).unwrap();
    let said = "train.tsv: 2 lines are skipped, the first is line 22: torn apart by a line break";
    let task = ["--task", "qqp", "--data", "glue", "--max-len", "16"];
    let train = [&task[..], &["--steps", "2", "--batch-size", "4"]].concat();
    let teacher = run(dir.path(), &[&["teacher", "--model", "bert", "--out", "t"], &train[..]].concat());
    assert_eq!(teacher.code, Some(0), "{}", teacher.stderr);
    teacher.says(&[said]);
    assert!(!teacher.stderr.contains("dev.tsv"), "the dev set is whole: {}", teacher.stderr);
    let student =
        run(dir.path(), &[&["distill", "--teacher", "t", "--init", "bert", "--out", "s"], &train[..]].concat());
    student.says(&[said]);
    let eval = run(dir.path(), &[&["eval", "--model", "t", "--split", "train"], &task[..]].concat());
    assert_eq!(eval.code, Some(0), "{}", eval.stderr);
    eval.says(&[said]);
    assert!(eval.stdout.contains("20"), "{}", eval.stdout);
}
