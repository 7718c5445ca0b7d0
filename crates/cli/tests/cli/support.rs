//! Running the binary and making small models for it.

#![allow(clippy::disallowed_methods, reason = "the device is chosen from outside")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bert_core::weights::{HostTensor, Tensors};
use bert_core::{BertConfig, ModelDir, Package, Parts, TaskModel};
use glue_squad::task::TaskKind;
use predict::heads::task_head;
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
    outcome(command(dir).args(args))
}

/// What `command` leaves behind.
pub fn outcome(command: &mut Command) -> Outcome {
    let output = command.output().expect("the binary runs");
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

/// The other device than the processor that `EFFICIENTBERT_TEST_DEVICE` names for the tests that compare with references.
pub fn test_device() -> Option<String> {
    std::env::var("EFFICIENTBERT_TEST_DEVICE").ok().filter(|name| name != "cpu")
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

/// The pocket data in `dir/pocket`, tasks cut to 96 training and 48 dev examples, the corpus to 200 lines.
pub fn pocket(dir: &Path) {
    static FILES: OnceLock<Vec<synthetic_tasks::GeneratedFile>> = OnceLock::new();
    for file in FILES.get_or_init(|| synthetic_tasks::generate(synthetic_tasks::DEFAULT_SEED)) {
        let path = dir.join("pocket").join(&file.relative_path);
        std::fs::create_dir_all(path.parent().expect("below a folder")).expect("a writable folder");
        let keep = match file.relative_path.rsplit('/').next() {
            Some("train.tsv") => 97,
            Some("dev.tsv") => 49,
            Some("corpus.txt") => 200,
            _ => usize::MAX,
        };
        let text = String::from_utf8(file.bytes.clone()).expect("text");
        let cut: String = text.split_inclusive('\n').take(keep).collect();
        std::fs::write(path, cut).expect("a writable folder");
    }
}

/// The tokenizer of [`pocket`], as it goes into a model directory.
pub fn pocket_tokenizer(dir: &Path) -> (String, Vec<u8>) {
    ("tokenizer.json".into(), std::fs::read(dir.join("pocket/tokenizer.json")).expect("pocket data"))
}

/// Writes the model directory `name`: a two-layer BERT of width 16 with 24 positions, random weights, the tokenizer of
/// [`pocket`] and a head for each of `tasks`.
pub fn plain_bert(dir: &Path, name: &str, tasks: &[TaskKind]) {
    let config = BertConfig {
        task_heads: tasks.iter().map(|t| task_head(t.task())).collect(),
        max_position_embeddings: 24,
        ..BertConfig::bert(synthetic_tasks::vocabulary().len(), 16, 2, 2, 32)
    };
    save_bert(dir, name, &config);
}

/// Writes the model of `config` with random weights and the tokenizer of [`pocket`].
pub fn save_bert(dir: &Path, name: &str, config: &BertConfig) {
    let device = burn::tensor::Device::flex();
    let model = TaskModel::new(config, Parts::POOLER, &device).expect("a valid configuration");
    let files = [pocket_tokenizer(dir)];
    let package = Package { card: "# test", files: &files, keep_fit: true };
    ModelDir::save(&dir.join(name), config, &model.initialized(config, 3), package).expect("a writable folder");
}

/// A preset of MobileBERT's kind in small, `inside` wide in its layers, with the vocabulary of the pocket data.
pub fn mobile(name: &str, inside: usize) -> BertConfig {
    BertConfig {
        vocab_size: synthetic_tasks::vocabulary().len(),
        hidden_size: 12,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 2 * inside,
        max_position_embeddings: 24,
        embedding_size: Some(8),
        intra_bottleneck_size: Some(inside),
        ..bert_core::preset(name).unwrap()
    }
}

/// A folder with [`pocket`] data and a [`plain_bert`] named `bert`.
pub fn pocket_folder(tasks: &[TaskKind]) -> tempfile::TempDir {
    let dir = folder();
    pocket(dir.path());
    plain_bert(dir.path(), "bert", tasks);
    dir
}

/// Runs the binary in `dir` with `input` on standard input; gives standard output and error as they are.
pub fn run_with_input(dir: &Path, args: &[&str], input: &[u8]) -> Outcome {
    let mut command = command(dir);
    let command = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    // A program that ends early closes the pipe; what it said about that is what counts.
    let _ = child.stdin.take().expect("piped").write_all(input);
    let output = child.wait_with_output().expect("the binary ends");
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("standard output is UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("standard error is UTF-8"),
    }
}

/// Waits until `ready`, a minute at most.
pub fn wait_for(ready: impl Fn() -> bool) {
    let start = Instant::now();
    while !ready() {
        assert!(start.elapsed() < Duration::from_secs(60), "nothing happened for a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
}
