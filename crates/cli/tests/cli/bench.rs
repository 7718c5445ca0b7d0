//! `bench`.

use bert_core::BertConfig;
use serde_json::json;

use crate::support::{command, folder, pocket_folder, run, save_bert, tiny_model};

#[test]
fn a_directory_and_a_preset_are_timed() {
    let dir = tiny_model();
    let args = ["bench", "--model", "model", "--seq", "8", "--batch", "2", "--runs", "3", "--json", "--threads", "1"];
    let result = run(dir.path(), &args).json();
    for (key, value) in [
        ("model", json!("model")),
        ("device", json!("cpu")),
        ("threads", json!(1)),
        ("precision", json!("f32")),
        ("batch", json!(2)),
        ("seq", json!(8)),
        ("runs", json!(3)),
    ] {
        assert_eq!(result[key], value, "{key}");
    }
    let ms = |key: &str| result[key].as_f64().unwrap();
    assert!(0.0 < ms("min_ms") && ms("min_ms") <= ms("median_ms") && ms("median_ms") <= ms("max_ms"));

    let text = run(dir.path(), &["bench", "--model", "efficientbert-tiny", "--seq", "4", "--runs", "1"]);
    assert_eq!(text.code, Some(0), "{}", text.stderr);
    for part in ["median", " ms", "9,375,144", "GMAC for one sequence"] {
        assert!(text.stdout.contains(part), "`{part}` is not in {}", text.stdout);
    }
}

#[test]
fn precision_and_instructions_are_chosen_and_reported() {
    let dir = tiny_model();
    for precision in ["bf16", "int8"] {
        let args = ["bench", "--model", "model", "--seq", "8", "--runs", "1", "--json", "--precision", precision];
        assert_eq!(run(dir.path(), &args).json()["precision"], json!(precision));
    }
    let args = ["bench", "--model", "model", "--seq", "8", "--runs", "1", "--json"];
    let limited = |isa: &str| {
        let output = command(dir.path()).args(args).env("EFFICIENTBERT_ISA", isa).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, stdout, _) = limited("portable");
    let result: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &result["isa"]), (Some(0), &json!("portable")));
    let (code, stdout, stderr) = limited("sse9");
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("EFFICIENTBERT_ISA=sse9") && stderr.contains("portable, avx2, avx512, amx"), "{stderr}");
}

#[test]
fn what_cannot_be_timed_is_wrong_usage() {
    let dir = folder();
    let bench = |args: &[&str]| run(dir.path(), &[&["bench", "--model"], args].concat());
    bench(&["efficientbret"]).fails_with(2, &["`efficientbret` is no preset", "efficientbert-tiny"]);
    bench(&["bert-base", "--precision", "f16"]).fails_with(2, &["f16"]);
    bench(&["tinybert-4", "--seq", "513"]).fails_with(2, &["--seq 513", "1 to 512"]);
    bench(&["tinybert-4", "--runs", "0"]).fails_with(2, &["--runs"]);
}

#[test]
fn a_step_of_distillation_is_timed_from_any_teacher_of_as_many_heads() {
    let dir = pocket_folder(&[]);
    let config = BertConfig {
        max_position_embeddings: 24,
        fit_size: Some(12),
        ..BertConfig::bert(synthetic_tasks::vocabulary().len(), 16, 2, 2, 32)
    };
    save_bert(dir.path(), "projected", &config);
    for teacher in ["bert", "projected"] {
        let args = ["bench", "--model", "bert", "--teacher", teacher, "--seq", "8", "--runs", "2", "--json"];
        let result = run(dir.path(), &args).json();
        assert_eq!((&result["what"], &result["teacher"]), (&json!("kd-step"), &json!(teacher)));
        assert!(result["median_ms"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn progress_is_json_when_asked_and_silent_when_asked() {
    let dir = tiny_model();
    let args = ["bench", "--model", "model", "--seq", "8", "--runs", "2", "--progress"];
    let lines = run(dir.path(), &[&args[..], &["json"]].concat()).stderr;
    let events: Vec<serde_json::Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(events.first().unwrap()["event"], "start");
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["done"], &last["phase"]), (&json!("finish"), &json!(2), &json!("bench")));
    assert_eq!(run(dir.path(), &[&args[..], &["none"]].concat()).stderr, "");
}
