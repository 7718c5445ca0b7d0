//! Checkpoints in folders, as `transformers` keeps them: the files, the format and the task of the head are found.

use std::path::{Path, PathBuf};

use bert_core::CONFIG_FILE;
use burn::tensor::Device;
use encoder_spec::ForeignModel;
use model_dir::{FOREIGN_WEIGHTS, MODULES_FILE, WEIGHTS_FILE, is_shard_index, shard_files};
use serde_json::Value;

use super::{Format, ImportError, Imported, Source, import};
use crate::note::Note;

/// Built-in tasks as names of models have them, longer names first.
const NAMED_TASKS: [(&str, &str); 18] = [
    ("squad-v2", "squad-v2"),
    ("squadv2", "squad-v2"),
    ("squad2", "squad-v2"),
    ("squad-v1", "squad-v1"),
    ("squadv1", "squad-v1"),
    ("squad1", "squad-v1"),
    ("squad", "squad-v1"),
    ("sst-2", "sst-2"),
    ("sst2", "sst-2"),
    ("cola", "cola"),
    ("mrpc", "mrpc"),
    ("sts-b", "sts-b"),
    ("stsb", "sts-b"),
    ("qqp", "qqp"),
    ("mnli", "mnli"),
    ("qnli", "qnli"),
    ("rte", "rte"),
    ("wnli", "wnli"),
];

/// The files of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The weights, or the index of several files.
    pub weights: PathBuf,
    /// The configuration.
    pub config: PathBuf,
}

impl Checkpoint {
    /// The checkpoint in a folder; `None` where it holds none.
    pub fn in_folder(folder: &Path) -> Option<Self> {
        let config = folder.join(CONFIG_FILE);
        let weights = FOREIGN_WEIGHTS.into_iter().map(|name| folder.join(name)).find(|path| path.is_file())?;
        config.is_file().then_some(Self { weights, config })
    }

    /// Its files of weights, with the index of several.
    pub fn weight_files(&self) -> Vec<PathBuf> {
        // What is wrong with an index is said by whoever reads it.
        let shards = if is_shard_index(&self.weights) { shard_files(&self.weights) } else { Ok(Vec::new()) };
        [vec![self.weights.clone()], shards.unwrap_or_default()].concat()
    }
}

/// The format of a checkpoint, by its configuration; what cannot be read is left to the reader of Hugging Face's.
pub fn format_of(config: &Path) -> Format {
    match keys(config) {
        Some(keys) if keys.get("config").is_some_and(Value::is_object) && keys.get("model_type").is_none() => {
            Format::Reference
        }
        _ => Format::HuggingFace,
    }
}

/// Whether a folder holds a model that must be imported before it is a model directory: one of another family, or with other files.
pub fn must_be_imported(folder: &Path) -> bool {
    let Some(Checkpoint { weights, config }) = Checkpoint::in_folder(folder) else { return false };
    // What this program writes names its heads in the configuration.
    let lacks_head = keys(&config).is_some_and(|keys| keys.get("task_heads").is_none());
    if lacks_head && folder.join(MODULES_FILE).is_file() {
        return true;
    }
    let is_of_other_family = keys(&config).is_some_and(|keys| !matches!(ForeignModel::read(&keys), Ok(None)));
    is_of_other_family || weights.file_name().is_none_or(|name| name != WEIGHTS_FILE)
}

/// What a head of the checkpoint called `name` is for, where nobody says so: what its configuration names, the built-in task in its name,
/// or `name` itself.
///
/// `None` where it marks spans, and nothing says whether answers may be missing.
fn head_task(config: &Path, name: &str, span: bool) -> Option<String> {
    let keys = keys(config);
    let said = keys.as_ref().and_then(|keys| keys.get("finetuning_task")?.as_str());
    let found = said.into_iter().chain([name]).find_map(known_task).filter(|task| task.starts_with("squad") == span);
    found.map(str::to_owned).or_else(|| (!span).then(|| plain_name(said.unwrap_or(name))))
}

/// The built-in task that stands in a name, between `-`, `_`, `.` or its ends.
fn known_task(name: &str) -> Option<&'static str> {
    let separated = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name = format!("-{}-", name.chars().map(separated).collect::<String>());
    NAMED_TASKS.into_iter().find(|(word, _)| name.contains(&format!("-{word}-"))).map(|(_, task)| task)
}

/// A name as that of a task.
fn plain_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let name: String = name.chars().map(plain).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "task".to_owned() } else { name.to_owned() }
}

/// [`import`] of a checkpoint called `name`; where it holds a head and nobody names its task, the task is found, and that is said.
///
/// # Errors
/// As there; [`ImportError::TaskUnknown`] where no task is found either.
pub fn import_named(
    source: &Source<'_>,
    name: &str,
    device: &Device,
    notes: &mut Vec<Note>,
) -> Result<Imported, ImportError> {
    let before = notes.len();
    let error = match import(source, device, notes) {
        Err(error @ ImportError::TaskUnknown { .. }) => error,
        done => return done,
    };
    let span = matches!(error, ImportError::TaskUnknown { span: true });
    let Some(task) = head_task(source.config, name, span) else { return Err(error) };
    notes.truncate(before);
    let imported = import(&Source { task: Some(&task), ..*source }, device, notes)?;
    notes.push(Note::Message(format!("the head is taken as that of {task}; {} names another task", source.task_word)));
    Ok(imported)
}

fn keys(config: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(config).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_found_in_the_names_of_models() {
        for (name, task) in [
            ("distilbert-base-uncased-finetuned-sst-2-english", Some("sst-2")),
            ("bert-base-uncased-SST-2", Some("sst-2")),
            ("roberta-base-squad2", Some("squad-v2")),
            ("bert_large_squad", Some("squad-v1")),
            ("deberta.stsb", Some("sts-b")),
            ("chocolate-bert", None),
            ("bert-base-uncased", None),
        ] {
            assert_eq!(known_task(name), task, "{name}");
        }
        let nowhere = Path::new("no-such-file");
        assert_eq!(head_task(nowhere, "toxic comments", false).as_deref(), Some("toxic-comments"));
        assert_eq!(head_task(nowhere, "bert-qa", true), None);
        assert_eq!(head_task(nowhere, "bert-sst2", true), None, "a span head is none of SST-2");
    }

    #[test]
    fn the_first_weights_that_transformers_would_take_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        assert_eq!(Checkpoint::in_folder(dir.path()), None);
        file("config.json", r#"{"model_type": "bert"}"#);
        file("pytorch_model.bin", "");
        let found = |dir: &Path| Checkpoint::in_folder(dir).unwrap().weights.file_name().unwrap().to_owned();
        assert_eq!(found(dir.path()), "pytorch_model.bin");
        assert!(must_be_imported(dir.path()));
        file("model.safetensors.index.json", r#"{"weight_map": {"a": "one.safetensors"}}"#);
        let checkpoint = Checkpoint::in_folder(dir.path()).unwrap();
        let names = ["model.safetensors.index.json", "one.safetensors"];
        assert_eq!(checkpoint.weight_files(), names.map(|name| dir.path().join(name)));
        file("model.safetensors", "");
        assert_eq!(found(dir.path()), "model.safetensors");
        assert!(!must_be_imported(dir.path()));
        file("config.json", r#"{"model_type": "electra", "embedding_size": 4, "hidden_size": 4}"#);
        assert!(must_be_imported(dir.path()));
        assert_eq!(format_of(&dir.path().join("config.json")), Format::HuggingFace);
        file("config.json", r#"{"config": {"hidden_size": 4}, "ffn_expressions": []}"#);
        assert_eq!(format_of(&dir.path().join("config.json")), Format::Reference);
    }
}
