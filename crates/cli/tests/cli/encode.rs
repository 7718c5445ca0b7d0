//! `encode`: golden hidden states and scores through the binary.

use std::path::Path;

use bert_core::weights::{HostTensor, Tensors};

use crate::support::{Outcome, arg, folder, golden, run, snapshot, test_device, tiny_model};

/// Largest absolute difference accepted, in f32.
const TOLERANCE: f32 = 2e-5;
/// The same on other devices than the processor.
const ELSEWHERE: f32 = 1e-3;
/// The reference blocks a position by adding -10000; its scores there carry rounding of that size.
const BLOCKED: f32 = -5_000.0;

/// Imports a golden file, encodes its inputs, and compares every output it has.
fn check(name: &str) {
    let dir = folder();
    let weights = golden(&format!("{name}.safetensors"));
    let config = golden(&format!("{name}.json"));
    let args = ["import", arg(&weights), "--config", arg(&config), "--format", "reference", "--out", "model"];
    let imported = run(dir.path(), &args);
    assert_eq!(imported.code, Some(0), "{}", imported.stderr);
    let device = test_device();
    let tolerance = if device.is_some() { ELSEWHERE } else { TOLERANCE };
    let device = device.unwrap_or_else(|| "cpu".into());
    let args =
        ["encode", "--model", "model", "--inputs", arg(&weights), "--out", "out.safetensors", "--device", &device];
    let summary = run(dir.path(), &args).json();
    let theirs = Tensors::read_safetensors(&weights).unwrap();
    let ours = Tensors::read_safetensors(&dir.path().join("out.safetensors")).unwrap();
    let layers = theirs.0.keys().filter(|n| n.starts_with("output.attn_scores.")).count();
    assert_eq!(summary["hidden_states"], serde_json::json!(layers + 1));
    for (key, expected) in theirs.0.iter().filter(|(n, _)| n.starts_with("output.") && *n != "output.logits") {
        let found = &ours.0[key];
        assert_eq!(found.shape, expected.shape, "{name} {key}");
        let skip_blocked = key.contains("attn_scores");
        let worst = (found.data.iter().zip(&expected.data))
            .filter(|&(_, &e)| !(skip_blocked && e < BLOCKED))
            .map(|(a, b)| (a - b).abs())
            .fold(0.0f32, f32::max);
        assert!(worst <= tolerance, "{name} {key}: largest difference {worst:e}");
    }
}

#[test]
fn the_released_architecture_gives_the_reference_numbers() {
    check("auto-bert-efficientbert-final");
}

#[test]
fn an_architecture_of_other_operators_gives_the_reference_numbers() {
    check("auto-bert-mixed-ops");
}

#[test]
fn plain_models_of_the_released_code_give_the_reference_numbers() {
    for name in ["bert", "tiny-bert", "mobile-bert", "mobile-bert-tiny", "mobile-bert-layernorm"] {
        check(name);
    }
}

#[test]
fn the_last_hidden_states_alone_come_from_the_compiled_model() {
    let dir = folder();
    let weights = golden("auto-bert-efficientbert-final.safetensors");
    let config = golden("auto-bert-efficientbert-final.json");
    let args = ["import", arg(&weights), "--config", arg(&config), "--format", "reference", "--out", "model"];
    assert_eq!(run(dir.path(), &args).code, Some(0));
    let base = ["encode", "--model", "model", "--inputs", arg(&weights), "--out", "out.safetensors"];
    let last = |more: &[&str]| {
        let summary = run(dir.path(), &[&base[..], more].concat()).json();
        let written = Tensors::read_safetensors(&dir.path().join("out.safetensors")).unwrap();
        (summary, written)
    };
    let modules = last(&[]).1.0["output.last_hidden"].clone();
    for (precision, bound) in [("f32", 1e-6), ("bf16", 0.02), ("int8", 0.05)] {
        let (summary, written) = last(&["--last-only", "--precision", precision]);
        assert_eq!(summary["precision"], serde_json::json!(precision));
        assert_eq!(written.0.keys().collect::<Vec<_>>(), ["output.last_hidden"]);
        let found = &written.0["output.last_hidden"];
        assert_eq!(found.shape, modules.shape);
        let norm = |v: &mut dyn Iterator<Item = f32>| v.map(|v| v * v).sum::<f32>().sqrt();
        let error = norm(&mut found.data.iter().zip(&modules.data).map(|(a, b)| a - b))
            / norm(&mut modules.data.iter().copied());
        assert!(error < bound, "{precision}: {error}");
    }
    run(dir.path(), &[&base[..], &["--precision", "bf16"]].concat()).fails_with(2, &["--last-only"]);
}

fn encode(dir: &Path, inputs: &Tensors) -> Outcome {
    inputs.write_safetensors(&dir.join("in.safetensors")).unwrap();
    run(dir, &["encode", "--model", "model", "--inputs", "in.safetensors", "--out", "out.safetensors"])
}

fn inputs(entries: &[(&str, &[usize], &[f32])]) -> Tensors {
    let tensor = |shape: &[usize], data: &[f32]| HostTensor { shape: shape.to_vec(), data: data.to_vec() };
    Tensors(entries.iter().map(|(n, s, d)| (format!("input.{n}"), tensor(s, d))).collect())
}

#[test]
fn only_token_ids_are_required() {
    let dir = tiny_model();
    let ids: (&str, &[usize], &[f32]) = ("token_ids", &[1, 3], &[1.0, 10.0, 0.0]);
    assert_eq!(encode(dir.path(), &inputs(&[ids])).code, Some(0));
    let short = Tensors::read_safetensors(&dir.path().join("out.safetensors")).unwrap();
    let all = inputs(&[
        ids,
        ("segment_ids", &[1, 3], &[0.0; 3]),
        ("pad_mask", &[1, 3], &[0.0; 3]),
        ("position_ids", &[1, 3], &[0.0, 1.0, 2.0]),
    ]);
    assert_eq!(encode(dir.path(), &all).code, Some(0));
    assert_eq!(Tensors::read_safetensors(&dir.path().join("out.safetensors")).unwrap(), short);
    assert_eq!(
        short.0.keys().collect::<Vec<_>>(),
        ["output.attn_scores.0", "output.hidden.0", "output.hidden.1", "output.last_hidden"]
    );
}

#[test]
fn inputs_that_no_table_holds_are_refused_and_the_old_output_stays() {
    let dir = tiny_model();
    std::fs::write(dir.path().join("out.safetensors"), "old").unwrap();
    let ids: (&str, &[usize], &[f32]) = ("token_ids", &[1, 2], &[1.0, 2.0]);
    let cases: [(Tensors, &[&str]); 10] = [
        (inputs(&[]), &["`input.token_ids` is missing"]),
        (inputs(&[("token_ids", &[1, 2], &[1.0, 11.0])]), &["`input.token_ids` holds 11", "0 to 10"]),
        (inputs(&[("token_ids", &[1, 2], &[1.0, -1.0])]), &["holds -1"]),
        (inputs(&[("token_ids", &[1, 2], &[1.0, 0.5])]), &["holds 0.5"]),
        (inputs(&[("token_ids", &[1, 9], &[1.0; 9])]), &["[1, 9]", "1 to 8 tokens"]),
        (inputs(&[("token_ids", &[2], &[1.0; 2])]), &["not [batch, seq]"]),
        (inputs(&[ids, ("segment_ids", &[1, 2], &[0.0, 2.0])]), &["`input.segment_ids` holds 2"]),
        (inputs(&[ids, ("pad_mask", &[2, 1], &[0.0, 1.0])]), &["`input.pad_mask` has shape [2, 1]"]),
        (inputs(&[ids, ("position_ids", &[1, 2], &[1.0, 2.0])]), &["`input.position_ids` is 1 at row 0", "hint:"]),
        (inputs(&[ids, ("padmask", &[1, 2], &[0.0, 1.0])]), &["`input.padmask` is not known"]),
    ];
    for (tensors, parts) in cases {
        encode(dir.path(), &tensors).fails_with(1, &[&["in.safetensors"], parts].concat());
        assert_eq!(std::fs::read(dir.path().join("out.safetensors")).unwrap(), b"old");
    }
}

#[test]
fn a_damaged_model_directory_is_named_and_nothing_is_written() {
    let dir = tiny_model();
    inputs(&[("token_ids", &[1, 2], &[1.0, 2.0])]).write_safetensors(&dir.path().join("in.safetensors")).unwrap();
    let encode = |model: &str| {
        run(dir.path(), &["encode", "--model", model, "--inputs", "in.safetensors", "--out", "out.safetensors"])
    };
    encode("modle").fails_with(2, &["--model modle: no such folder", "hint:"]);
    let weights = dir.path().join("model/model.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    let before = snapshot(dir.path());
    encode("model").fails_with(1, &["model.safetensors: not a readable safetensors file"]);
    assert_eq!(snapshot(dir.path()), before);
    std::fs::remove_file(&weights).unwrap();
    encode("model").fails_with(1, &["cannot read", "model.safetensors"]);
}

#[test]
fn inputs_are_never_overwritten() {
    let dir = tiny_model();
    inputs(&[("token_ids", &[1, 2], &[1.0, 2.0])]).write_safetensors(&dir.path().join("in.safetensors")).unwrap();
    let args = ["encode", "--model", "model", "--inputs", "in.safetensors", "--out", "./in.safetensors"];
    run(dir.path(), &args).fails_with(2, &["--out", "would replace in.safetensors"]);
}
