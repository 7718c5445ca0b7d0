//! Random models of `transformers`, of every family that is imported: what is imported computes what they compute, and so does
//! `transformers` with what was saved.
//!
//! `transformers/random_models.py` makes them. It needs Python with torch, transformers and safetensors, which
//! `EFFICIENTBERT_PYTHON` names; where the variable is not set, the tests say so and pass. `cargo xtask transformers` sets it.

#![allow(clippy::disallowed_methods, reason = "where Python is depends on the machine")]

#[path = "transformers/fine_tuning.rs"]
mod fine_tuning;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bert_core::weights::{HostTensor, Tensors};
use bert_core::{EncodeOptions, ModelDir, TokenBatch};
use burn::tensor::{Device, Int, Tensor};
use serde_json::Value;

/// Models of each of BERT, MobileBERT, RoBERTa, DistilBERT, ELECTRA and ModernBERT.
const MODELS: usize = 40;
/// Of XLM-RoBERTa and CamemBERT, which share all but their name with RoBERTa, the script makes a fifth as many.
const ALL: usize = 6 * MODELS + 2 * (MODELS / 5);
const SEED: usize = 1;
/// Largest difference in units of the largest value expected, or of 1 where that is less. Measured: 3e-6. Another epsilon in two norms,
/// the smallest of the faults that this test is for, makes 5e-5 and more.
const TOLERANCE: f64 = 1e-5;
/// The same for ModernBERTs, whose sums of residuals no norm holds back. Measured: 1.6e-5.
const MODERN_TOLERANCE: f64 = 2e-5;

/// Python with `transformers`, where this machine has one.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("EFFICIENTBERT_PYTHON").map(PathBuf::from);
    if python.is_none() {
        test_support::skipped("EFFICIENTBERT_PYTHON is not set; `cargo xtask transformers` runs this test");
    }
    python
}

/// Standard output of a command that must succeed.
fn output(command: &mut Command, input: &str) -> String {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {:?}: {e}", command.get_program()));
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("the program reads");
    let output = child.wait_with_output().expect("the program ends");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{stdout}\n{stderr}", output.status);
    // Every key that `transformers` writes is on a list of this program.
    assert!(!stderr.contains("not used"), "{command:?}: {stderr}");
    stdout.into_owned()
}

fn script(python: &Path, args: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transformers/random_models.py");
    output(Command::new(python).arg(script).args(args), "")
}

/// One model as the script made it.
struct Case {
    dir: PathBuf,
    name: String,
    facts: Value,
    inputs: Tensors,
    expected: Tensors,
}

impl Case {
    fn read(dir: PathBuf) -> Self {
        let tensors = |name: &str| Tensors::read_safetensors(&dir.join(name)).expect("a file of the script");
        let facts = std::fs::read_to_string(dir.join("case.json")).expect("a file of the script");
        let name = dir.file_name().expect("a folder").to_string_lossy().into_owned();
        let facts = serde_json::from_str(&facts).expect("JSON");
        Self { name, facts, inputs: tensors("inputs.safetensors"), expected: tensors("expected.safetensors"), dir }
    }

    fn run(&self, args: &[&str], input: &str) -> String {
        output(Command::new(env!("CARGO_BIN_EXE_efficientbert")).current_dir(&self.dir).args(args), input)
    }

    /// The largest difference of all ways to compute.
    fn worst(&self) -> f64 {
        let task: Vec<&str> = self.facts["task"].as_str().into_iter().flat_map(|task| ["--task", task]).collect();
        let import = ["import", "model.safetensors", "--config", "config.json", "--format", "hf", "--out", "imported"];
        self.run(&[&import[..], &task].concat(), "");
        self.modules().max(self.compiled()).max(self.heads()).max(self.answers())
    }

    fn encode(&self, more: &[&str]) -> Tensors {
        let args = ["encode", "--model", "imported", "--inputs", "inputs.safetensors", "--out", "found.safetensors"];
        self.run(&[&args[..], more].concat(), "");
        Tensors::read_safetensors(&self.dir.join("found.safetensors")).expect("just written")
    }

    /// Rows of padding, where what they hold means nothing: in a ModernBERT they may see other padding alone, and then `transformers`
    /// makes a mean of it that a BERT's mask does not.
    fn meaningless(&self) -> Vec<bool> {
        if self.name.starts_with("modernbert") { self.padded() } else { Vec::new() }
    }

    fn padded(&self) -> Vec<bool> {
        self.inputs.0["input.pad_mask"].data.iter().map(|&blocked| blocked != 0.0).collect()
    }

    /// All hidden states, padded positions too.
    fn modules(&self) -> f64 {
        let found = self.encode(&[]);
        let hidden = |name: &&String| name.starts_with("output.");
        let names: Vec<&String> = self.expected.0.keys().filter(hidden).collect();
        assert_eq!(names.len(), found.0.keys().filter(|name| !name.contains("attn_scores")).count(), "{}", self.name);
        let skipped = self.meaningless();
        names.iter().map(|name| self.difference(name, &found.0[*name], &skipped)).fold(0.0, f64::max)
    }

    /// The last hidden states as `predict` and `eval` compute them, which leave padding out.
    fn compiled(&self) -> f64 {
        let found = self.encode(&["--last-only"]);
        self.difference("output.last_hidden", &found.0["output.last_hidden"], &self.padded())
    }

    /// Scores of the heads on the padded batch.
    fn heads(&self) -> f64 {
        let device = Device::flex();
        let model = ModelDir::load(&self.dir.join("imported"), &device).expect("just imported").model;
        let ids = &self.inputs.0["input.token_ids"];
        let whole = |name: &str| self.inputs.0[name].data.iter().map(|&v| v as i32).collect::<Vec<_>>();
        let mask: Vec<u8> =
            self.inputs.0["input.pad_mask"].data.iter().map(|&blocked| u8::from(blocked == 0.0)).collect();
        let [rows, seq] = ids.shape[..] else { panic!("ids of shape {:?}", ids.shape) };
        let batch =
            TokenBatch::from_host([rows, seq], &whole("input.token_ids"), &whole("input.segment_ids"), &mask, &device);
        let mut worst: f64 = 0.0;
        let skipped = self.meaningless();
        if let Some(expected) = self.expected.0.get("scores") {
            let of_tokens = expected.shape.len() == 3;
            let found = match expected.shape.len() {
                2 => host(model.forward(&batch, 0, EncodeOptions::LAST).1),
                _ => host(model.forward_tokens(&batch, 0, EncodeOptions::LAST).1),
            };
            worst = worst.max(self.difference("scores", &found, if of_tokens { &skipped } else { &[] }));
        }
        if self.expected.0.contains_key("words") {
            let last = model.encode(&batch, EncodeOptions::LAST).last_hidden;
            let all = Tensor::<1, Int>::arange(0..(rows * seq) as i64, &device);
            let found = host(model.words(last, all).expect("a masked-LM head"));
            worst = worst.max(self.difference("words", &found, &skipped));
        }
        worst
    }

    /// What `predict` says to texts.
    fn answers(&self) -> f64 {
        let expected = self.facts["answers"].as_array().expect("a list");
        if expected.is_empty() {
            return 0.0;
        }
        let strings = |value: &Value| -> Vec<String> {
            value.as_array().expect("a list").iter().map(|v| v.as_str().expect("text").to_owned()).collect()
        };
        let lines: String = expected.iter().map(|case| strings(&case["texts"]).join("\t") + "\n").collect();
        let found = self.run(&["predict", "--model", "imported", "--json"], &lines);
        let found: Vec<Value> = found.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(found.len(), expected.len(), "{}", self.name);
        let config = std::fs::read_to_string(self.dir.join("imported/config.json")).expect("just written");
        let head = serde_json::from_str::<Value>(&config).expect("JSON")["task_heads"][0].clone();
        let number = |value: &Value| value.as_f64().expect("a number");
        let mut worst: f64 = 0.0;
        for (found, expected) in found.iter().zip(expected) {
            let answer = &found["answers"][0];
            let found: Vec<f64> = match head["labels"].is_array() {
                true => strings(&head["labels"]).iter().map(|label| number(&answer["probabilities"][label])).collect(),
                false => vec![number(&answer["score"])],
            };
            let expected: Vec<f64> = expected["answer"].as_array().expect("a list").iter().map(number).collect();
            assert_eq!(found.len(), expected.len(), "{}", self.name);
            let scale = expected.iter().fold(1.0, |scale: f64, e| scale.max(e.abs()));
            worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs() / scale).fold(worst, f64::max);
        }
        worst
    }

    /// The largest difference in units of the largest value, rows of `skipped` left out.
    fn difference(&self, name: &str, found: &HostTensor, skipped: &[bool]) -> f64 {
        let expected = &self.expected.0[name];
        assert_eq!(found.data.len(), expected.data.len(), "{} {name}", self.name);
        let width = *expected.shape.last().expect("a matrix");
        let scale = expected.data.iter().fold(1.0, |scale: f64, e| scale.max(f64::from(e.abs())));
        let rows = found.data.chunks(width).zip(expected.data.chunks(width)).enumerate();
        let rows = rows.filter(|(row, _)| !skipped.get(*row).is_some_and(|&skip| skip));
        let values = rows.flat_map(|(_, (found, expected))| found.iter().zip(expected));
        let worst = values.map(|(a, b)| f64::from((a - b).abs()) / scale);
        // A value that is not a number is as far away as can be.
        worst.fold(0.0, |worst, d| if d.is_nan() { f64::INFINITY } else { worst.max(d) })
    }
}

fn host<const D: usize>(tensor: Tensor<D>) -> HostTensor {
    let shape = tensor.dims().to_vec();
    HostTensor { shape, data: tensor.try_into_vec_as::<f32>().expect("float tensors convert to f32") }
}

#[test]
fn random_models_of_transformers_compute_the_same_here_and_saved_there() {
    let Some(python) = python() else { return };
    let root = tempfile::tempdir().expect("a temporary folder");
    let path = root.path().to_str().expect("temporary paths are Unicode");
    script(&python, &["make", path, &MODELS.to_string(), &SEED.to_string()]);
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(root.path()).expect("just made").map(|entry| entry.expect("an entry").path()).collect();
    folders.sort();
    assert_eq!(folders.len(), ALL);
    let mut measured = Vec::new();
    for case in folders.into_iter().map(Case::read) {
        let worst = case.worst();
        measured.push((worst, format!("{} ({}), imported", case.name, case.facts["kind"])));
    }
    let back = script(&python, &["check", path]);
    for line in back.lines() {
        let found: Value = serde_json::from_str(line).expect("JSON");
        let worst = found["worst"].as_f64().unwrap_or(f64::INFINITY);
        measured.push((worst, format!("{} ({}), saved", found["name"], found["class"])));
    }
    assert_eq!(measured.len(), 2 * ALL, "{back}");
    measured.sort_by(|a, b| b.0.total_cmp(&a.0));
    let text: Vec<String> = measured.iter().take(12).map(|(worst, name)| format!("{worst:.1e} {name}")).collect();
    eprintln!("largest differences:\n{}", text.join("\n"));
    let tolerance = |name: &str| if name.contains("modernbert") { MODERN_TOLERANCE } else { TOLERANCE };
    let is_far = measured.iter().any(|(worst, name)| *worst > tolerance(name));
    assert!(!is_far, "more than {TOLERANCE:e}, of a ModernBERT {MODERN_TOLERANCE:e}, away:\n{}", text.join("\n"));
}
