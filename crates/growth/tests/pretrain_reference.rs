//! CompoundGrow's restoration and the sample of token dropping, by `benches/peers/pretrain_reference.py`.
//!
//! It needs Python with torch, transformers and safetensors, which `EFFICIENTBERT_PYTHON` names; where the variable is not set, the test says so and
//! passes. `cargo xtask transformers` sets it.

#![allow(clippy::disallowed_methods, reason = "where Python is depends on the machine")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{difference, weights};
use encoder_spec::{BertConfig, ModelType, NameFormat, Parts};
use growth::{Growth, Quantity, grow};
use model_dir::{Tensors, named};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Runs the script; `None` where there is no Python.
fn run(args: &[&str]) -> Option<String> {
    let Some(python) = std::env::var_os("EFFICIENTBERT_PYTHON").filter(|path| !path.is_empty()) else {
        test_support::skipped("set EFFICIENTBERT_PYTHON to a Python with torch and transformers");
        return None;
    };
    let script = root().join("benches/peers/pretrain_reference.py");
    let output = Command::new(python).arg(script).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn compoundgrow_makes_the_same_tensors() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let small = BertConfig::bert(30, 16, 3, 2, 10);
    let large = BertConfig { num_hidden_layers: 7, intermediate_size: 40, ..small.clone() };
    let parts = Parts { mlm: true, ..Parts::POOLER };
    let tensors = named(weights(&small, parts, 5), NameFormat::HuggingFace(ModelType::Bert));
    for (name, config) in [("small.json", &small), ("large.json", &large)] {
        std::fs::write(at(name), config.to_json().unwrap()).unwrap();
    }
    tensors.write_safetensors(Path::new(&at("small.safetensors"))).unwrap();
    let (a, b, c, d) = (at("small.json"), at("small.safetensors"), at("large.json"), at("large.safetensors"));
    if run(&["grow", "--config", &a, "--weights", &b, "--target", &c, "--out", &d]).is_none() {
        return;
    }
    let theirs = Tensors::read_safetensors(Path::new(&d)).unwrap();
    assert_eq!(theirs, grow(&small, tensors, &large, &Growth::default(), Quantity::Weights).unwrap());
}

#[test]
fn the_reference_agrees_with_transformers_and_makes_the_sample_that_is_kept() {
    let Some(said) = run(&["selftest"]) else { return };
    assert!(said.contains("agrees with transformers"), "{said}");
    let folder = tempfile::tempdir().unwrap();
    run(&["sample", "--out", &folder.path().to_string_lossy()]);
    let kept = root().join("crates/train/tests/data/token_drop");
    for name in ["model.safetensors", "batch.safetensors", "compatible.safetensors", "mended.safetensors"] {
        let read = |folder: &Path| Tensors::read_safetensors(&folder.join(name)).unwrap();
        let (old, new) = (read(&kept), read(folder.path()));
        assert!(old.0.keys().eq(new.0.keys()), "{name}");
        for (tensor, old) in &old.0 {
            let values = |data: &[f32]| data.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
            assert_eq!(old.shape, new.0[tensor].shape, "{tensor}");
            assert!(difference(&values(&new.0[tensor].data), &values(&old.data)) < 1e-6, "{tensor}");
        }
    }
}
