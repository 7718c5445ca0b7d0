//! Files in, answers as JSON out.

use runtime::{Input, Packing, Precision, Runtime, Settings};
use serde::Deserialize;
use serde_json::json;

/// The files of a model directory, in the order of their numbers.
const FILES: [&str; 3] = ["config.json", "model.safetensors", "tokenizer.json"];

/// What a page asks.
#[derive(Deserialize)]
struct Question {
    texts: Vec<String>,
    #[serde(default)]
    pairs: Option<Vec<Option<String>>>,
    #[serde(default)]
    task: Option<String>,
}

/// A model and what it said last.
#[derive(Default)]
pub struct Page {
    files: [Vec<u8>; FILES.len()],
    runtime: Option<Runtime>,
    said: String,
}

impl Page {
    /// No files, no model.
    pub const fn new() -> Self {
        Self { files: [const { Vec::new() }; FILES.len()], runtime: None, said: String::new() }
    }

    /// Takes a file by its number: 0 is `config.json`, 1 `model.safetensors`, 2 `tokenizer.json`.
    pub fn give(&mut self, number: usize, bytes: Vec<u8>) {
        if let Some(file) = self.files.get_mut(number) {
            *file = bytes;
        }
    }

    /// Loads the model from the files, which are let go; `precision` is `f32`, `bf16` or `int8`. What was said then is a description of it, or
    /// what is wrong.
    pub fn load(&mut self, precision: &str) -> bool {
        let files = std::mem::replace(&mut self.files, [const { Vec::new() }; FILES.len()]);
        let loaded = loaded(&files, precision);
        let result = loaded.map(|runtime| {
            let said = description(&runtime);
            self.runtime = Some(runtime);
            said
        });
        self.say(result)
    }

    /// Answers `question`, a JSON object with `texts` and, where wanted, `pairs` and `task`. What was said then is an array with an array of
    /// answers for each text, as `efficientbert predict --json` has them, or what is wrong.
    pub fn answer(&mut self, question: &[u8]) -> bool {
        let result = self.answered(question);
        self.say(result)
    }

    fn answered(&self, question: &[u8]) -> Result<String, String> {
        let runtime = self.runtime.as_ref().ok_or("there is no model yet")?;
        let Question { texts, pairs, task } = serde_json::from_slice(question).map_err(|e| e.to_string())?;
        if pairs.as_ref().is_some_and(|pairs| pairs.len() != texts.len()) {
            return Err("there are as many pairs as texts, or none".into());
        }
        let pair = |at: usize| pairs.as_ref().and_then(|pairs| pairs[at].as_deref());
        let inputs: Vec<Input<'_>> =
            texts.iter().enumerate().map(|(at, text)| Input { text, pair: pair(at) }).collect();
        let answers = runtime.answers(&inputs, task.as_deref()).map_err(|e| e.to_string())?;
        serde_json::to_string(&answers).map_err(|e| e.to_string())
    }

    /// What was said last.
    pub fn said(&self) -> &str {
        &self.said
    }

    fn say(&mut self, result: Result<String, String>) -> bool {
        let is_fine = result.is_ok();
        self.said = result.unwrap_or_else(|message| message);
        is_fine
    }
}

fn loaded([config, weights, tokenizer]: &[Vec<u8>; FILES.len()], precision: &str) -> Result<Runtime, String> {
    for (name, file) in FILES.iter().zip([config, weights, tokenizer]) {
        if file.is_empty() {
            return Err(format!("{name} is missing"));
        }
    }
    let found = Precision::ALL.into_iter().find(|one| one.name() == precision);
    let precision = found.ok_or_else(|| format!("unknown precision `{precision}`"))?;
    let settings = Settings { threads: 1, sessions: 1, precision, packing: Packing::Ahead };
    Runtime::from_bytes(config, weights, tokenizer, "model", settings).map_err(|e| e.to_string())
}

fn description(runtime: &Runtime) -> String {
    let heads =
        runtime.heads().iter().map(|head| json!({ "task": head.task, "kind": head.kind, "labels": head.labels }));
    json!({
        "heads": heads.collect::<Vec<_>>(), "max_tokens": runtime.longest(), "hidden_size": runtime.config().hidden_size,
        "precision": runtime.settings().precision.name(),
    })
    .to_string()
}
