//! `bench`.

use serde_json::json;

use crate::support::{folder, run, tiny_model};

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
fn what_cannot_be_timed_is_wrong_usage() {
    let dir = folder();
    let bench = |args: &[&str]| run(dir.path(), &[&["bench", "--model"], args].concat());
    bench(&["efficientbret"]).fails_with(2, &["`efficientbret` is no preset", "efficientbert-tiny"]);
    bench(&["bert-base", "--precision", "bf16"]).fails_with(2, &["--precision bf16: not available yet"]);
    bench(&["bert-base", "--precision", "int8"]).fails_with(2, &["--precision int8: not available yet"]);
    bench(&["bert-base", "--precision", "f16"]).fails_with(2, &["f16"]);
    bench(&["tinybert-4", "--seq", "513"]).fails_with(2, &["--seq 513", "1 to 512"]);
    bench(&["tinybert-4", "--runs", "0"]).fails_with(2, &["--runs"]);
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
