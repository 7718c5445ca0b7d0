//! Running the binary and making small models for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bert_core::weights::{HostTensor, Tensors};
use serde_json::{Value, json};

/// What a run of the binary left behind.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// Standard output as JSON, after success.
    pub fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.stdout))
    }

    /// Checks the exit code, that standard output is empty, that nothing panicked, and that the message says all of
    /// `parts`.
    #[track_caller]
    pub fn fails_with(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        assert_eq!(self.stdout, "", "standard output of a failed command");
        self.says(parts);
    }

    /// Checks that the message says all of `parts`.
    #[track_caller]
    pub fn says(&self, parts: &[&str]) {
        for part in parts {
            assert!(self.stderr.contains(part), "`{part}` is not in: {}", self.stderr);
        }
        for word in ["panicked", "internal error"] {
            assert!(!self.stderr.contains(word), "{}", self.stderr);
        }
    }
}

/// The binary, to be run in `dir` with an environment that does not change its output.
pub fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_efficientbert"));
    command.current_dir(dir).env_remove("RUST_BACKTRACE").env("COLUMNS", "100").stdin(Stdio::null());
    command
}

/// Runs the binary with `args` in `dir`.
pub fn run(dir: &Path, args: &[&str]) -> Outcome {
    let output = command(dir).args(args).output().expect("the binary runs");
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("standard output is UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("standard error is UTF-8"),
    }
}

/// A fresh folder.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// A golden file of this crate or of `bert-core`.
pub fn golden(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = root.join("tests/golden").join(name);
    if own.exists() { own } else { root.join("../bert-core/tests/golden").join(name) }
}

/// Path as an argument.
pub fn arg(path: &Path) -> &str {
    path.to_str().expect("temporary paths are Unicode")
}

/// Everything below `dir` by relative path; folders have no content.
pub fn snapshot(dir: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut queue = vec![dir.to_path_buf()];
    while let Some(folder) = queue.pop() {
        for entry in std::fs::read_dir(&folder).expect("the folder is there") {
            let path = entry.expect("an entry").path();
            let relative = path.strip_prefix(dir).expect("below the folder").to_path_buf();
            if path.is_dir() {
                queue.push(path);
                found.insert(relative, None);
            } else {
                found.insert(relative, Some(std::fs::read(&path).expect("a readable file")));
            }
        }
    }
    found
}

/// Configuration of a tiny BERT as Hugging Face writes it.
pub fn tiny_config() -> Value {
    json!({
        "architectures": ["BertModel"], "model_type": "bert", "vocab_size": 11, "hidden_size": 4,
        "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 6, "max_position_embeddings": 8,
        "hidden_act": "gelu", "transformers_version": "4.0.0"
    })
}

/// Weights of [`tiny_config`] with the `bert.` prefix and a pooler.
pub fn tiny_tensors() -> Tensors {
    let layer = "bert.encoder.layer.0";
    let dense = |name: &str, out: usize, input: usize| {
        [(format!("{name}.weight"), vec![out, input]), (format!("{name}.bias"), vec![out])]
    };
    let norm = |name: &str| [(format!("{name}.weight"), vec![4]), (format!("{name}.bias"), vec![4])];
    let mut shapes = vec![
        ("bert.embeddings.word_embeddings.weight".to_owned(), vec![11, 4]),
        ("bert.embeddings.position_embeddings.weight".to_owned(), vec![8, 4]),
        ("bert.embeddings.token_type_embeddings.weight".to_owned(), vec![2, 4]),
    ];
    shapes.extend(norm("bert.embeddings.LayerNorm"));
    for part in ["query", "key", "value"] {
        shapes.extend(dense(&format!("{layer}.attention.self.{part}"), 4, 4));
    }
    shapes.extend(dense(&format!("{layer}.attention.output.dense"), 4, 4));
    shapes.extend(norm(&format!("{layer}.attention.output.LayerNorm")));
    shapes.extend(dense(&format!("{layer}.intermediate.dense"), 6, 4));
    shapes.extend(dense(&format!("{layer}.output.dense"), 4, 6));
    shapes.extend(norm(&format!("{layer}.output.LayerNorm")));
    shapes.extend(dense("bert.pooler.dense", 4, 4));
    Tensors(shapes.into_iter().map(|(name, shape)| (name, filled(&shape))).collect())
}

/// A tensor of small different values.
pub fn filled(shape: &[usize]) -> HostTensor {
    let n: usize = shape.iter().product();
    HostTensor { shape: shape.to_vec(), data: (0..n).map(|i| (i as f32 * 0.37).sin() * 0.1).collect() }
}

/// Writes `config.json` and `weights.safetensors` into `dir`.
pub fn write_checkpoint(dir: &Path, config: &Value, tensors: &Tensors) {
    std::fs::write(dir.join("config.json"), config.to_string()).expect("a writable folder");
    tensors.write_safetensors(&dir.join("weights.safetensors")).expect("a writable folder");
}

/// Runs `import` on what [`write_checkpoint`] wrote.
pub fn import_tiny(dir: &Path, more: &[&str]) -> Outcome {
    let args = ["import", "weights.safetensors", "--config", "config.json", "--format", "hf", "--out", "model"];
    run(dir, &[&args[..], more].concat())
}

/// A folder with the tiny BERT imported as `model`.
pub fn tiny_model() -> tempfile::TempDir {
    let dir = folder();
    write_checkpoint(dir.path(), &tiny_config(), &tiny_tensors());
    let done = import_tiny(dir.path(), &[]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    dir
}
