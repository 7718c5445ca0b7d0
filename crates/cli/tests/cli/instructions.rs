//! `EFFICIENTBERT_ISA`: every instruction set trains and answers.

use glue_squad::task::TaskKind;
use serde_json::Value;

use crate::support::{command, pocket_folder};

const ALL: [&str; 4] = ["portable", "avx2", "avx512", "amx"];

#[test]
fn a_student_trained_and_asked_with_fewer_instructions_answers_nearly_the_same() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let arch = "linear1_1(gelu(linear1_1(x,wb1)),wb2); tanh(linear2_2(gelu(linear2_2(x,wb1)),wb2))";
    let mut probabilities = Vec::new();
    for (isa, precision) in ALL.into_iter().flat_map(|isa| ["f32", "bf16"].map(|precision| (isa, precision))) {
        // Sets that the machine does not have are limited to what it has, so all of them run everywhere.
        let with = |args: &[&str]| {
            let output = command(dir.path()).args(args).env("EFFICIENTBERT_ISA", isa).output().unwrap();
            let (stdout, stderr) =
                (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
            assert_eq!(output.status.code(), Some(0), "{isa}: {stderr}");
            stdout
        };
        let out = format!("student-{isa}-{precision}");
        let base =
            ["distill", "--teacher", "bert", "--task", "sst-2", "--data", "pocket", "--arch", arch, "--hidden", "12"];
        let short = ["--embed", "8", "--steps", "4", "--batch-size", "8", "--max-len", "16"];
        with(&[&base[..], &short, &["--out", &out, "--precision", precision]].concat());
        let eval = ["eval", "--model", &out, "--task", "sst-2", "--data", "pocket", "--max-len", "16", "--json"];
        let eval: Value = serde_json::from_str(&with(&eval)).unwrap();
        assert!(eval["metrics"]["accuracy"].as_f64().is_some(), "{isa}: {eval}");
        let answer = with(&["predict", "--model", &out, "--json", "--precision", precision, "the soup was good"]);
        let answer: Value = serde_json::from_str(&answer).unwrap();
        probabilities.push((out, precision, probability(&answer)));
    }
    let (_, _, reference) = probabilities[0].clone();
    for (out, precision, found) in &probabilities {
        let bound = if *precision == "f32" { 1e-4 } else { 0.02 };
        assert!((found - reference).abs() < bound, "{out}: {found} against {reference}");
    }
}

/// The first number of an answer that is a probability.
fn probability(answer: &Value) -> f64 {
    match answer {
        Value::Object(fields) => match fields.get("probability") {
            Some(value) => value.as_f64().expect("a number"),
            None => fields.values().map(probability).find(|p| p.is_finite()).unwrap_or(f64::NAN),
        },
        Value::Array(items) => items.iter().map(probability).find(|p| p.is_finite()).unwrap_or(f64::NAN),
        _ => f64::NAN,
    }
}
