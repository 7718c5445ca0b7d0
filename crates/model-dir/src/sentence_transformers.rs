//! The files by which `sentence-transformers` knows how a model makes vectors: `modules.json`, and a folder for each module behind the encoder.
//!
//! | module | file | what is read of it |
//! |---|---|---|
//! | `Transformer` | the model itself | nothing |
//! | `Pooling` | `1_Pooling/config.json` | which [`Pooling`]; only one way at a time |
//! | `Dense` | `2_Dense/config.json`, `model.safetensors` or `pytorch_model.bin` | a map without activation function |
//! | `Normalize` | none | that vectors have length 1 |

use std::path::{Path, PathBuf};

use encoder_spec::{BertConfig, Pooling, TaskHeadKind, VectorConfig};
use serde_json::{Map, Value, json};

use crate::{Error, Result, Tensors, WEIGHTS_FILE};

/// Lists the modules of a model of `sentence-transformers`.
pub const MODULES_FILE: &str = "modules.json";
/// Keys of a pooling's configuration, each with what it means.
const MODES: [(&str, Option<Pooling>); 7] = [
    ("pooling_mode_mean_tokens", Some(Pooling::Mean)),
    ("pooling_mode_cls_token", Some(Pooling::Cls)),
    ("pooling_mode_max_tokens", None),
    ("pooling_mode_mean_sqrt_len_tokens", None),
    ("pooling_mode_weightedmean_tokens", None),
    ("pooling_mode_lasttoken", None),
    ("pooling_mode_multi_vector", None),
];
/// What `sentence-transformers` calls no activation function.
const IDENTITY: &str = "torch.nn.modules.linear.Identity";

/// How the model in a folder makes vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct SentenceModel {
    /// Pooling, width and length.
    pub vector: VectorConfig,
    /// The file of the dense layer's weights, with the tensors `linear.weight` and `linear.bias`.
    pub dense: Option<PathBuf>,
    /// Prompts that are put before texts unless none is asked for: what this program leaves to its user, in words.
    pub notes: Vec<String>,
}

impl SentenceModel {
    /// Reads `modules.json` and what it names; `None` where there is none.
    ///
    /// # Errors
    /// A file that cannot be read, or a module that computes something else than [`VectorConfig`] can say.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(MODULES_FILE);
        if !path.is_file() {
            return Ok(None);
        }
        let modules = json(&path)?;
        let refuse = |message: String| Error::ConfigFile { path: path.clone(), message };
        let modules = modules.as_array().ok_or_else(|| refuse("must be a list of modules".into()))?;
        let mut found = Self { vector: VectorConfig::default(), dense: None, notes: Vec::new() };
        for (at, module) in modules.iter().enumerate() {
            let text = |key: &str| module.get(key).and_then(Value::as_str).unwrap_or_default();
            let (kind, inside) = (text("type"), text("path"));
            let name = kind.rsplit('.').next().unwrap_or_default();
            if Path::new(inside).components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
                return Err(refuse(format!("module {at}: its folder `{inside}` is outside of the model's")));
            }
            match (at, name) {
                (0, "Transformer") if inside.is_empty() => {}
                (1, "Pooling") => found.vector.pooling = pooling(&folder.join(inside).join("config.json"))?,
                (2, "Dense") => {
                    let (size, weights) = dense(&folder.join(inside))?;
                    (found.vector.size, found.dense) = (Some(size), Some(weights));
                }
                (2 | 3, "Normalize") if !found.vector.normalize => found.vector.normalize = true,
                _ => {
                    return Err(refuse(format!(
                        "module {at} is `{kind}`; supported are Transformer, Pooling, at most one Dense, and Normalize, in this order"
                    )));
                }
            }
        }
        if modules.len() < 2 {
            return Err(refuse("has no Pooling, so nothing says how hidden states become a vector".into()));
        }
        found.vector.max_len = longest(folder)?;
        found.notes = notes(folder)?;
        Ok(Some(found))
    }
}

fn json(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
    serde_json::from_str(&text).map_err(|e| Error::ConfigFile { path: path.to_owned(), message: e.to_string() })
}

fn pooling(path: &Path) -> Result<Pooling> {
    let keys = json(path)?;
    let is_on = |key: &str| keys.get(key) == Some(&Value::Bool(true));
    let refuse = |message: String| Error::ConfigFile { path: path.to_owned(), message };
    // Newer files name the way by a word.
    if let Some(word) = keys.get("pooling_mode").and_then(Value::as_str) {
        let known = Pooling::ALL.into_iter().find(|known| known.name() == word);
        return known.ok_or_else(|| refuse(format!("pooling_mode `{word}` is not supported; mean and cls are")));
    }
    let on: Vec<_> = MODES.iter().filter(|(key, _)| is_on(key)).collect();
    match on[..] {
        [(_, Some(pooling))] => Ok(*pooling),
        [] => Err(refuse("says no way of pooling".into())),
        _ => {
            let named: Vec<&str> = on.iter().map(|(key, _)| *key).collect();
            Err(refuse(format!("{}: not supported; one of mean and cls is", named.join(" and "))))
        }
    }
}

/// The width of a dense layer's output, and the file of its weights.
fn dense(folder: &Path) -> Result<(usize, PathBuf)> {
    let path = folder.join("config.json");
    let keys = json(&path)?;
    let refuse = |message: String| Error::ConfigFile { path: path.clone(), message };
    match keys.get("activation_function").and_then(Value::as_str) {
        Some(IDENTITY) => {}
        Some(other) => {
            return Err(refuse(format!("activation_function `{other}` is not supported; only {IDENTITY} is")));
        }
        None => return Err(refuse("lacks `activation_function`".into())),
    }
    let size = keys.get("out_features").and_then(Value::as_u64).filter(|size| *size > 0);
    let size = size.ok_or_else(|| refuse("`out_features` must be a whole number above 0".into()))?;
    let weights = [WEIGHTS_FILE, "pytorch_model.bin"].into_iter().map(|name| folder.join(name));
    let weights = weights.into_iter().find(|path| path.is_file());
    Ok((size as usize, weights.ok_or_else(|| refuse("no weights stand beside it".into()))?))
}

/// The longest text that the model was made for, where a file says it.
fn longest(folder: &Path) -> Result<Option<usize>> {
    let path = folder.join("sentence_bert_config.json");
    let value = if path.is_file() { json(&path)?.get("max_seq_length").and_then(Value::as_u64) } else { None };
    Ok(value.and_then(|longest| usize::try_from(longest).ok()).filter(|longest| *longest > 2))
}

fn notes(folder: &Path) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    let path = folder.join("config_sentence_transformers.json");
    if path.is_file() {
        let keys = json(&path)?;
        if let Some(name) = keys.get("default_prompt_name").and_then(Value::as_str) {
            let prompt = keys.get("prompts").and_then(|prompts| prompts.get(name)?.as_str()).unwrap_or_default();
            notes.push(format!("texts are read without the prompt `{prompt}`; put it before them where it is wanted"));
        }
    }
    Ok(notes)
}

/// The head of a model that makes vectors and nothing else.
fn vector_of(config: &BertConfig) -> Option<VectorConfig> {
    match &config.task_heads[..] {
        [head] if head.kind == TaskHeadKind::Embedding => head.vector,
        _ => None,
    }
}

/// The files that make a model directory one that `sentence-transformers` loads, by name; none of a model with other heads, or
/// with more than one. The dense layer's weights are those in `tensors`, under their paths.
///
/// # Errors
/// Weights that cannot be written.
pub(crate) fn files(config: &BertConfig, tensors: &Tensors) -> Result<Vec<(String, Vec<u8>)>> {
    let Some(vector) = vector_of(config) else { return Ok(Vec::new()) };
    let mut modules = Vec::new();
    let mut module = |folder: Option<&str>, kind: &str| {
        let at = modules.len();
        let path = folder.map_or_else(String::new, |folder| format!("{at}_{folder}"));
        modules.push(
            json!({ "idx": at, "name": at.to_string(), "path": path, "type": format!("sentence_transformers.models.{kind}") }),
        );
        path
    };
    let mut files = Vec::new();
    let text = |value: Value| serde_json::to_string_pretty(&value).map(String::into_bytes).unwrap_or_default();
    module(None, "Transformer");
    let folder = module(Some("Pooling"), "Pooling");
    let modes = MODES[..6].iter().map(|(key, mode)| ((*key).to_owned(), json!(*mode == Some(vector.pooling))));
    let mut keys: Map<String, Value> = modes.collect();
    keys.insert("word_embedding_dimension".into(), json!(config.hidden_size));
    keys.insert("include_prompt".into(), json!(true));
    files.push((format!("{folder}/config.json"), text(keys.into())));
    if let Some(size) = vector.size {
        let folder = module(Some("Dense"), "Dense");
        let keys = json!({
            "in_features": config.hidden_size, "out_features": size, "bias": true, "activation_function": IDENTITY,
        });
        let part = |name: &str| tensors.0.get(&format!("heads.0.dense.{name}")).cloned();
        let named = ["weight", "bias"].into_iter().filter_map(|name| Some((format!("linear.{name}"), part(name)?)));
        let weights = Tensors(named.collect()).to_safetensors()?;
        files.push((format!("{folder}/config.json"), text(keys)));
        files.push((format!("{folder}/{WEIGHTS_FILE}"), weights));
    }
    if vector.normalize {
        module(Some("Normalize"), "Normalize");
    }
    files.push((MODULES_FILE.to_owned(), text(modules.into())));
    let longest =
        json!({ "max_seq_length": vector.max_len.unwrap_or(config.max_position_embeddings), "do_lower_case": false });
    files.push(("sentence_bert_config.json".to_owned(), text(longest)));
    let about = json!({ "prompts": {}, "default_prompt_name": null, "similarity_fn_name": "cosine" });
    files.push(("config_sentence_transformers.json".to_owned(), text(about)));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use encoder_spec::{HostTensor, TaskHeadConfig};

    use super::*;

    fn written(vector: VectorConfig) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let task_heads = vec![TaskHeadConfig::embedding("e", vector)];
        let config = BertConfig { task_heads, ..BertConfig::bert(9, 4, 1, 2, 6) };
        let tensor = |shape: &[usize]| HostTensor { shape: shape.to_vec(), data: vec![0.5; shape.iter().product()] };
        let tensors = [("heads.0.dense.weight", tensor(&[3, 4])), ("heads.0.dense.bias", tensor(&[3]))];
        let tensors = Tensors(tensors.map(|(name, tensor)| (name.to_owned(), tensor)).into());
        let files = files(&config, &tensors).unwrap();
        let files: Vec<(&str, &[u8])> = files.iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect();
        run_store::folder::write(dir.path().join("m"), &files).unwrap();
        dir
    }

    #[test]
    fn what_is_written_is_read_again() {
        for pooling in [Pooling::Mean, Pooling::Cls] {
            for (size, normalize) in [(None, true), (Some(3), false), (Some(3), true)] {
                let vector = VectorConfig { pooling, size, normalize, max_len: Some(7) };
                let dir = written(vector);
                let found = SentenceModel::read(&dir.path().join("m")).unwrap().unwrap();
                assert_eq!((found.vector, found.dense.is_some()), (vector, size.is_some()));
                if let Some(weights) = found.dense {
                    assert_eq!(Tensors::read_safetensors(&weights).unwrap().0["linear.weight"].shape, [3, 4]);
                }
            }
        }
        assert_eq!(SentenceModel::read(tempfile::tempdir().unwrap().path()).unwrap(), None);
    }

    #[test]
    fn modules_that_compute_something_else_are_refused_by_name() {
        let usual = VectorConfig { size: Some(3), normalize: true, ..VectorConfig::default() };
        for (file, from, to, words) in [
            ("modules.json", "models.Normalize", "models.LayerNorm", "`sentence_transformers.models.LayerNorm`"),
            ("modules.json", "1_Pooling", "../up", "outside"),
            ("1_Pooling/config.json", "max_tokens\": false", "max_tokens\": true", "pooling_mode_max_tokens"),
            ("1_Pooling/config.json", "mean_tokens\": true", "mean_tokens\": false", "no way of pooling"),
            ("2_Dense/config.json", "linear.Identity", "activation.Tanh", "torch.nn.modules.activation.Tanh"),
            ("2_Dense/config.json", "\"out_features\": 3", "\"out_features\": 0", "out_features"),
        ] {
            let dir = written(usual);
            let path = dir.path().join("m").join(file);
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.contains(from), "{file}: {text}");
            std::fs::write(&path, text.replace(from, to)).unwrap();
            let message = SentenceModel::read(&dir.path().join("m")).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
    }
}
