//! Random models of `sentence-transformers`: what is imported makes the vectors that they make, and so does `sentence-transformers` with what was saved.
//!
//! `sentence_transformers/models.py` makes them. It needs Python with sentence-transformers, which `EFFICIENTBERT_PYTHON` names; where the variable is not set,
//! the test says so and passes. `cargo xtask transformers` sets it.

#![allow(clippy::disallowed_methods, reason = "where Python is depends on the machine")]

use std::path::{Path, PathBuf};
use std::process::Command;

use bert_core::weights::Tensors;

const MODELS: usize = 16;
const SEED: usize = 1;
/// Largest difference of two values of vectors, which are of size 1.
const TOLERANCE: f32 = 1e-5;

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("cannot start {:?}: {e}", command.get_program()));
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{stdout}\n{stderr}", output.status);
    stdout.into_owned()
}

fn script(python: &Path, args: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sentence_transformers/models.py");
    output(Command::new(python).arg(script).args(args))
}

fn vectors(path: &Path) -> Vec<f32> {
    Tensors::read_safetensors(path).unwrap().0["vectors"].data.clone()
}

fn difference(a: &Path, b: &Path) -> f32 {
    let (a, b) = (vectors(a), vectors(b));
    assert_eq!(a.len(), b.len());
    a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn random_models_of_sentence_transformers_make_the_same_vectors_here_and_saved_there() {
    let Some(python) = std::env::var_os("EFFICIENTBERT_PYTHON").map(PathBuf::from) else {
        test_support::skipped("EFFICIENTBERT_PYTHON is not set; `cargo xtask transformers` runs this test");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    script(&python, &["make", root, &MODELS.to_string(), &SEED.to_string()]);
    let program = || Command::new(env!("CARGO_BIN_EXE_efficientbert"));
    let models: Vec<PathBuf> = (0..MODELS).map(|n| folder.path().join(n.to_string())).collect();
    for model in &models {
        output(program().args([
            "import".as_ref(),
            model.as_os_str(),
            "--out".as_ref(),
            model.join("imported").as_os_str(),
        ]));
        let mut encode = program();
        encode.args(["encode", "--pool", "--text", "text", "--model"]).arg(model.join("imported"));
        encode.arg("--table").arg(folder.path().join("texts.jsonl")).arg("--out").arg(model.join("ours.safetensors"));
        output(&mut encode);
    }
    script(&python, &["check", root, &MODELS.to_string()]);
    let mut worst: f32 = 0.0;
    for model in &models {
        let expected = model.join("expected.safetensors");
        let [ours, theirs] =
            ["ours", "again"].map(|name| difference(&model.join(format!("{name}.safetensors")), &expected));
        assert!(ours < TOLERANCE && theirs < TOLERANCE, "{}: {ours} here, {theirs} saved there", model.display());
        worst = worst.max(ours).max(theirs);
    }
    println!("{MODELS} models, the largest difference is {worst:e}");
}
