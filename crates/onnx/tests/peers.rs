//! ONNX Runtime and OpenVINO compute from exported files what our runtime computes from the models, also as `docs/deploy.md` shows it.
//!
//! It needs Python with onnx, onnxruntime and openvino, which `EFFICIENTBERT_PYTHON` names; where the variable is not set, the test says so and
//! passes. `cargo xtask transformers` sets it.

#![allow(clippy::disallowed_methods, reason = "where Python is depends on the machine")]

mod random_models;

use std::path::{Path, PathBuf};
use std::process::Command;

use cpu_runtime::{Outputs, Precision, Ragged, Session};
use encoder_spec::TaskHeadKind;
use onnx::{Exported, Format, Int8, Method, Model, Output, Padded, Weights};
use random_models::{Case, cases};
use serde_json::{Value, json};

/// Largest difference, relative to the largest value where that is above 1. Measured: 8e-6 by each.
const ALLOWED: f64 = 1e-4;
/// The same where weights and inputs of products are rounded.
const ROUNDING: f64 = 0.1;
/// Models that are run in every number format.
const ROUNDED: [&str; 2] = ["bert-base", "efficientbert-tiny"];
const TEXTS: usize = 20;

fn texts(case: &Case) -> Vec<(Vec<u32>, Vec<u32>)> {
    let words = case.config.vocab_size;
    let segments = case.encoder.embedding.segments.as_ref().map_or(1, |table| table.shape[0].min(2)) as u32;
    (0..TEXTS)
        .map(|text| {
            let length = 1 + text * 7 % 19;
            let ids = (0..length).map(|at| ((text * 31 + at * at * 17 + at) % words) as u32).collect();
            (ids, (0..length).map(|at| if segments > 1 && 3 * at > length { 1 } else { 0 }).collect())
        })
        .collect()
}

/// What our runtime answers to each text, as the outputs of the file have it.
fn expected(case: &Case, texts: &[(Vec<u32>, Vec<u32>)], names: &[Vec<String>]) -> Vec<Value> {
    let model = cpu_runtime::Model::compile(case.encoder.clone(), Precision::F32).unwrap();
    let mut session = Session::new(1);
    let mut answers: Vec<Vec<Vec<f32>>> = vec![Vec::new(); names.iter().map(Vec::len).sum()];
    let mut by_token = vec![true; answers.len()];
    for (ids, segments) in texts {
        let mut ragged = Ragged::new();
        ragged.push(ids, segments.iter().copied());
        let mut at = 0;
        for output in &case.outputs {
            let Output::Head(index) = *output else {
                let ran = session.run(&model, &ragged.as_batch(), Outputs::default()).unwrap();
                answers[at].push(ran.hidden.to_vec());
                at += 1;
                continue;
            };
            let (head, heads) = (&case.config.task_heads[index], [index]);
            let ran = session.run(&model, &ragged.as_batch(), Outputs { pooled: false, heads: &heads }).unwrap();
            let values = ran.heads().next().unwrap().to_vec();
            let parts = match (head.kind, head.scale) {
                (TaskHeadKind::Span, _) => vec![
                    values.iter().step_by(2).copied().collect(),
                    values.iter().skip(1).step_by(2).copied().collect(),
                ],
                (_, Some(scale)) => {
                    vec![values.iter().map(|v| (scale.mean + f64::from(*v) * scale.deviation) as f32).collect()]
                }
                _ => vec![values],
            };
            for part in parts {
                by_token[at] = head.kind.is_on_tokens();
                answers[at].push(part);
                at += 1;
            }
        }
    }
    let outputs = names.iter().flatten().zip(answers).zip(by_token);
    outputs
        .map(|((name, expected), by_token)| json!({"name": name, "by_token": by_token, "expected": expected}))
        .collect()
}

fn write(case: &Case, format: &Format, folder: &Path) {
    let name = if *format == Format::F32 { case.name.clone() } else { format!("{} {format}", case.name) };
    let folder = folder.join(name.replace('+', "-plus"));
    std::fs::create_dir(&folder).unwrap();
    let exported = Exported::new(&case.config, &case.encoder, &case.outputs, format).unwrap();
    let texts = texts(case);
    let outputs = expected(case, &texts, &exported.names);
    for (name, bytes) in exported.file("model.onnx", Weights::AsFits, &[]).files() {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    let texts: Vec<Value> = texts.iter().map(|(ids, segments)| json!({"ids": ids, "segments": segments})).collect();
    let config = &case.config;
    let case = json!({
        "texts": texts, "outputs": outputs, "heads": config.num_attention_heads, "hidden": config.hidden_size, "fuses": *format == Format::F32 && fuses(case),
    });
    std::fs::write(folder.join("case.json"), case.to_string()).unwrap();
}

/// Whether engines know the layers as BERT's: a student whose layers have all their parts, or a plain BERT.
fn fuses(case: &Case) -> bool {
    ["bert-base", "minilm-l6", "tinybert-4", "efficientbert", "efficientbert++"].contains(&case.name.as_str())
}

/// The Python with the engines, where there is one.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("EFFICIENTBERT_PYTHON").map(PathBuf::from);
    if python.is_none() {
        test_support::skipped("EFFICIENTBERT_PYTHON is not set; `cargo xtask transformers` runs this test");
    }
    python
}

#[test]
fn other_engines_compute_from_the_files_what_the_models_compute() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    // The head that scores words has no counterpart in our runtime: the check of every export computes it in plain loops.
    let cases: Vec<Case> = cases().into_iter().filter(|case| !case.outputs.contains(&Output::Words)).collect();
    cases.iter().for_each(|case| write(case, &Format::F32, folder.path()));
    let rounded: Vec<Case> = cases.iter().filter(|case| ROUNDED.contains(&case.name.as_str())).cloned().collect();
    for case in &rounded {
        let model = Model { config: &case.config, encoder: &case.encoder, outputs: &case.outputs };
        let texts = texts(case);
        let batches: Vec<Padded> = texts
            .iter()
            .map(|(ids, segments)| {
                let segments: Vec<u8> = segments.iter().map(|s| *s as u8).collect();
                Padded::new([(ids.as_slice(), segments.as_slice())], 0)
            })
            .collect();
        let ranges = onnx::ranges(&model, &batches, Method::MinMax).unwrap();
        for format in
            [Format::F16, Format::Int8(Int8::default()), Format::Int8(Int8 { ranges: Some(ranges), ..Int8::default() })]
        {
            write(case, &format, folder.path());
        }
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/run.py");
    let output = Command::new(python).arg(script).arg(folder.path()).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    let results: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert_eq!(results.len(), cases.len() + 3 * rounded.len());
    let (exact, rounded): (Vec<Value>, Vec<Value>) =
        results.into_iter().partition(|result| !result["name"].as_str().unwrap().contains(' '));
    for result in &rounded {
        for engine in ["onnxruntime", "openvino"] {
            let difference = result[engine].as_f64().unwrap_or(f64::NAN);
            assert!(difference <= ROUNDING, "{engine}: {result}");
        }
    }
    let results = exact;
    for engine in ["onnxruntime", "openvino"] {
        let differences: Vec<f64> = results.iter().map(|result| result[engine].as_f64().unwrap_or(f64::NAN)).collect();
        let most = differences.iter().copied().fold(0.0, f64::max);
        eprintln!("{engine}: largest difference {most:.1e} over {} models", differences.len());
        for (result, difference) in results.iter().zip(&differences) {
            assert!(*difference <= ALLOWED, "{engine}: {result}");
        }
    }
    for result in results.iter().filter(|result| !result["fused"].is_null()) {
        let case = cases.iter().find(|case| case.name.replace('+', "-plus") == result["name"]).unwrap();
        let layers = case.encoder.layers.len() as i64;
        // Each attention, and the norm after each residual; a searched layer may have several feed-forwards.
        assert_eq!(result["fused"][0], layers, "{result}");
        assert!(result["fused"][1].as_i64() >= Some(2 * layers), "{result}");
    }
    let has_segments = |name: &str| {
        let result = results.iter().find(|result| result["name"] == name).unwrap();
        result["inputs"].as_array().unwrap().contains(&"token_type_ids".into())
    };
    assert!(has_segments("bert-base") && !has_segments("modernbert-base"));
}

#[test]
fn the_page_about_deployment_shows_python_that_answers_as_the_model_does() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/deploy.md");
    // A published crate stands alone.
    let (Some(python), true) = (python(), page.is_file()) else { return };
    let case = cases().into_iter().find(|case| case.name == "bert-base").unwrap();
    assert_eq!(case.outputs, [Output::Head(0)]);
    let folder = tempfile::tempdir().unwrap();
    let onnx = folder.path().join("onnx");
    std::fs::create_dir(&onnx).unwrap();
    let exported = Exported::new(&case.config, &case.encoder, &case.outputs, &Format::F32).unwrap();
    let names = exported.names.clone();
    for (name, bytes) in exported.file("model.onnx", Weights::AsFits, &[]).files() {
        std::fs::write(onnx.join(name), bytes).unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/page.py");
    let output = Command::new(python).arg(script).arg(folder.path()).arg(page).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    let said: Value = serde_json::from_str(&stdout).unwrap();
    let ids: Vec<Vec<u32>> = serde_json::from_value(said["ids"].clone()).unwrap();
    assert_eq!(ids, [vec![2, 4, 5, 6, 3], vec![2, 6, 3]]);
    let texts: Vec<(Vec<u32>, Vec<u32>)> = ids.into_iter().map(|ids| (ids.clone(), vec![0; ids.len()])).collect();
    let wanted = expected(&case, &texts, &names);
    let wanted: Vec<Vec<f32>> = serde_json::from_value(wanted[0]["expected"].clone()).unwrap();
    let answers: [Vec<Vec<f32>>; 2] = serde_json::from_value(said["answers"].clone()).unwrap();
    // Left to itself, OpenVINO computes in bf16 where the processor does.
    for (answers, allowed) in answers.iter().zip([1e-4, 0.1]) {
        for (found, wanted) in answers.concat().iter().zip(wanted.concat()) {
            assert!((found - wanted).abs() <= allowed * wanted.abs().max(1.0), "{answers:?} {wanted:?}");
        }
        assert_eq!(answers.concat().len(), 2 * 3);
    }
}
