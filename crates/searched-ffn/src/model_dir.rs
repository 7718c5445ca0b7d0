//! The model directory: what users carry away, and what every command reads.
//!
//! | file | content |
//! |---|---|
//! | `config.json` | sizes, and per layer the expression, stacks and ratio |
//! | `model.safetensors` | weights under Hugging Face's names, or those of `docs/model-directory.md` |
//! | `tokenizer.json` and its kin | the tokenizer, see [`TOKENIZER_FILES`] |
//! | `README.md` | model card |

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use bert_core::weights::{NameFormat, Stored, Tensors};
use bert_core::{BertConfig, ModelType, TaskHeadKind};
use burn::tensor::Device;
use model_dir::Error;
use serde_json::{Map, Value, json};

use crate::{AnyModel, ModelError, Parts, network};

/// Name of the configuration inside a model directory.
pub const CONFIG_FILE: &str = "config.json";
/// Name of the weights inside a model directory.
pub const WEIGHTS_FILE: &str = "model.safetensors";
/// Files of a tokenizer, in the order in which they are preferred.
pub const TOKENIZER_FILES: [&str; 5] =
    ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt"];

/// Longest safetensors header that is read; the format's own limit.
const MAX_HEADER: u64 = 100_000_000;
const FIT_DENSE: &str = "encoder.fit_dense.";
/// What Hugging Face calls the head of a model that marks spans, and the first head of any other model.
const SPAN_HEAD: &str = "qa_outputs.";
const FIRST_HEAD: &str = "classifier.";

/// A model directory in memory.
#[derive(Clone, Debug)]
pub struct ModelDir {
    /// Where it was read from.
    pub path: PathBuf,
    /// The configuration.
    pub config: BertConfig,
    /// The model with its weights.
    pub model: AnyModel,
}

/// What is saved besides configuration and weights.
#[derive(Clone, Copy, Debug, Default)]
pub struct Package<'a> {
    /// Text of `README.md`.
    pub card: &'a str,
    /// Further files by name, such as [`ModelDir::tokenizer_files`].
    pub files: &'a [(String, Vec<u8>)],
    /// Keep the projection that only distillation needs; it is dropped otherwise.
    pub keep_fit: bool,
}

impl ModelDir {
    /// Reads configuration and weights, strictly. The presence of a pooler is told from the tensor names.
    ///
    /// # Errors
    /// A file is missing or cut off, the configuration is not valid, or a tensor is missing, left over, of another shape
    /// or not finite; the message names file and field or tensor.
    pub fn load(dir: &Path, device: &Device) -> Result<Self, ModelError> {
        let config = Self::config(dir)?;
        let weights = dir.join(WEIGHTS_FILE);
        let (tensors, _) = usable(Tensors::read_safetensors(&weights)?, &config);
        let model = build(dir, &config, Parts::of_names(tensors.0.keys()), device)?;
        let model = model.apply(tensors, NameFormat::HuggingFace(config.model_type), &weights)?;
        Ok(Self { path: dir.to_path_buf(), config, model })
    }

    /// Reads configuration and weights, as strictly as [`ModelDir::load`], and compiles them for inference on the processor;
    /// no module with weights is built on the way, and weights are read where the file holds them. In `f32` the model keeps its
    /// tables there, so the file must stay as it is while the model lives, see [`Tensors::map_safetensors`].
    ///
    /// # Errors
    /// As [`ModelDir::load`].
    pub fn freeze(
        dir: &Path,
        precision: cpu_runtime::Precision,
    ) -> Result<(BertConfig, cpu_runtime::Model), ModelError> {
        Self::freeze_as(dir, precision, cpu_runtime::Packing::Ahead)
    }

    /// As [`ModelDir::freeze`], with a choice of when weights are packed; packed at use, all of them stay in the file.
    ///
    /// # Errors
    /// As [`ModelDir::load`].
    pub fn freeze_as(
        dir: &Path,
        precision: cpu_runtime::Precision,
        packing: cpu_runtime::Packing,
    ) -> Result<(BertConfig, cpu_runtime::Model), ModelError> {
        let config = Self::config(dir)?;
        let weights = dir.join(WEIGHTS_FILE);
        let (tensors, _) = usable(Tensors::map_safetensors(&weights)?, &config);
        // A device is needed to build modules, but no weight is allocated on it.
        let outline = build(dir, &config, Parts::of_names(tensors.0.keys()), &Device::flex())?;
        let format = NameFormat::HuggingFace(config.model_type);
        let tensors = outline.resolve_unread(tensors, format, &weights)?;
        match cpu_runtime::Model::compile_as(network(&config, tensors)?, precision, packing) {
            Ok(model) => Ok((config, model)),
            // Something that only compiling looked at. What reads everything first says which tensor it was.
            Err(error) => {
                outline.resolve(usable(Tensors::map_safetensors(&weights)?, &config).0, format, &weights)?;
                Err(error.into())
            }
        }
    }

    /// Configuration and module tree without reading any weights: for counting only.
    ///
    /// # Errors
    /// As [`ModelDir::load`], except for what is wrong with the tensors themselves.
    pub fn outline(dir: &Path, device: &Device) -> Result<(BertConfig, AnyModel), ModelError> {
        let config = Self::config(dir)?;
        let names = tensor_names(&dir.join(WEIGHTS_FILE))?;
        let parts = Parts::of_names(names.iter().filter(|name| !config.leaves_unused(name)));
        let model = build(dir, &config, parts, device)?;
        Ok((config, model))
    }

    /// Reads the configuration alone.
    ///
    /// # Errors
    /// As [`model_dir::read_config`].
    pub fn config(dir: &Path) -> Result<BertConfig, ModelError> {
        Ok(model_dir::read_config(&dir.join(CONFIG_FILE))?)
    }

    /// The tokenizer's files that stand in `dir`, by name.
    ///
    /// # Errors
    /// One of them exists and cannot be read.
    pub fn tokenizer_files(dir: &Path) -> Result<Vec<(String, Vec<u8>)>, ModelError> {
        let mut files = Vec::new();
        for name in TOKENIZER_FILES {
            let path = dir.join(name);
            match std::fs::read(&path) {
                Ok(bytes) => files.push((name.to_owned(), bytes)),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(Error::io("read", &path, e).into()),
            }
        }
        Ok(files)
    }

    /// Writes a model directory that [`ModelDir::load`] reads back and, for plain BERT, Hugging Face's `from_pretrained`.
    ///
    /// A directory that does not exist appears as a whole or not at all. In one that exists every file is replaced
    /// atomically, the weights last; other files stay.
    ///
    /// # Errors
    /// [`ModelError::Disagree`] when `model` is not the model of `config`, or a file cannot be written.
    pub fn save(dir: &Path, config: &BertConfig, model: &AnyModel, package: Package<'_>) -> Result<(), ModelError> {
        let (config, tensors) = image(config, model, package.keep_fit)?;
        let text = config.to_json()?;
        let weights = tensors.to_safetensors()?;

        let mut files: Vec<(&str, &[u8])> = package.files.iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect();
        files.extend([
            ("README.md", package.card.as_bytes()),
            (CONFIG_FILE, text.as_bytes()),
            (WEIGHTS_FILE, &weights),
        ]);
        Ok(run_store::folder::write(dir, &files).map_err(Error::from)?)
    }
}

/// Builds the model; what is wrong with a layer is wrong in the configuration file.
fn build(dir: &Path, config: &BertConfig, parts: Parts, device: &Device) -> Result<AnyModel, ModelError> {
    AnyModel::build(config, parts, device).map_err(|e| Error::config_file(&dir.join(CONFIG_FILE), e).into())
}

/// Configuration and tensors as they will stand in the directory.
fn image(config: &BertConfig, model: &AnyModel, keep_fit: bool) -> Result<(BertConfig, Tensors), ModelError> {
    let mut config = config.clone();
    if !keep_fit || !model.has_fit() {
        config.fit_size = None;
    }
    agree(&config, model, config.fit_size.is_some())?;
    let format = NameFormat::HuggingFace(config.model_type);
    let mut tensors = model.collect(format);
    if config.fit_size.is_none() {
        tensors.0.retain(|name, _| !name.starts_with("fit_dense."));
    }
    if let AnyModel::Plain(_) = model {
        let parts = model.parts();
        describe_for_hugging_face(&mut config, parts);
        if let [head] = &config.task_heads[..]
            && head.kind == TaskHeadKind::Span
        {
            tensors = renamed(tensors, FIRST_HEAD, SPAN_HEAD);
        }
        // Hugging Face tells a bare encoder from one with heads by the family's prefix and refuses a mixture.
        if parts.mlm || !config.task_heads.is_empty() {
            tensors =
                prefixed(tensors, if config.model_type == ModelType::MobileBert { "mobilebert." } else { "bert." });
        }
    }
    Ok((config, tensors))
}

fn agree(config: &BertConfig, model: &AnyModel, with_fit: bool) -> Result<(), ModelError> {
    // A device is needed to build modules, but no weight is allocated on it.
    let asked = AnyModel::build(config, model.parts(), &Device::flex())?.shapes();
    let mut held = model.shapes();
    held.retain(|name, _| with_fit || !name.starts_with(FIT_DENSE));
    let text = |name: &str, shape: Option<&Vec<usize>>| match shape {
        Some(shape) => format!("`{name}` of shape {shape:?}"),
        None => "nothing of that name".into(),
    };
    match asked.keys().chain(held.keys()).find(|name| asked.get(*name) != held.get(*name)) {
        None => Ok(()),
        Some(name) => {
            Err(ModelError::Disagree { expected: text(name, asked.get(name)), found: text(name, held.get(name)) })
        }
    }
}

/// The keys by which Hugging Face chooses a class and names its labels; meaningless to this project.
fn describe_for_hugging_face(config: &mut BertConfig, parts: Parts) {
    for key in ["architectures", "id2label", "label2id", "problem_type"] {
        config.extra.remove(key);
    }
    if parts.mlm {
        // The word table is the head's, whatever the file was that it came from.
        config.extra.remove("tie_word_embeddings");
    }
    let is_mobilebert = config.model_type == ModelType::MobileBert;
    if is_mobilebert && !config.is_mobilebert_of_transformers() {
        return;
    }
    // MobileBERT's classifier does without a pooler where the configuration says so, BERT's does not.
    let pooled = parts.pooler || is_mobilebert;
    // MobileBERT's head has output weights beside a narrow word table.
    let known_words = !is_mobilebert || parts.mlm_extra || config.embed_width() == config.hidden_size;
    if is_mobilebert {
        config.extra.insert("classifier_activation".into(), json!(parts.pooler));
    }
    let class = match &config.task_heads[..] {
        [head] if pooled && head.kind != TaskHeadKind::Span => {
            let regression = ["LABEL_0".to_owned()];
            let (labels, problem) = match head.kind {
                TaskHeadKind::Regression => (&regression[..], Some("regression")),
                TaskHeadKind::MultiLabel => (&head.labels[..], Some("multi_label_classification")),
                _ => (&head.labels[..], None),
            };
            let by_id: Map<String, Value> = labels.iter().enumerate().map(|(i, l)| (i.to_string(), json!(l))).collect();
            let by_label: Map<String, Value> = labels.iter().enumerate().map(|(i, l)| (l.clone(), json!(i))).collect();
            let problem = problem.map(|problem| ("problem_type".to_owned(), json!(problem)));
            config.extra.extend([("id2label".into(), by_id.into()), ("label2id".into(), by_label.into())]);
            config.extra.extend(problem);
            "ForSequenceClassification"
        }
        [head] if head.kind == TaskHeadKind::Span && !parts.mlm => "ForQuestionAnswering",
        [] if parts.mlm && known_words => "ForMaskedLM",
        _ => "Model",
    };
    let family = if is_mobilebert { "MobileBert" } else { "Bert" };
    config.extra.insert("architectures".into(), json!([format!("{family}{class}")]));
}

/// Tensors of a file as the model of `config` takes them, and the names of those left out: the head of Hugging Face's question
/// answering models (`qa_outputs`) under the name of a first head, and without what `transformers` writes and computes nothing with
/// ([`BertConfig::leaves_unused`]).
pub fn usable<T: Stored>(tensors: Tensors<T>, config: &BertConfig) -> (Tensors<T>, Vec<String>) {
    let mut tensors = renamed(tensors, SPAN_HEAD, FIRST_HEAD);
    let mut unused = Vec::new();
    tensors.0.retain(|name, tensor| {
        // Further output weights of the masked-LM head are unused only where there are none of them.
        let is_used = !config.leaves_unused(name) || name.starts_with("cls.") && !tensor.values().is_empty();
        unused.extend((!is_used).then(|| name.clone()));
        is_used
    });
    (tensors, unused)
}

/// Names that are taken stay as they are, and are left over when the tensors are placed.
fn renamed<T>(tensors: Tensors<T>, from: &str, to: &str) -> Tensors<T> {
    let taken = tensors.0.keys().any(|name| name.starts_with(to));
    let rename = |name: String| match name.strip_prefix(from) {
        Some(rest) if !taken => format!("{to}{rest}"),
        _ => name,
    };
    Tensors(tensors.0.into_iter().map(|(name, tensor)| (rename(name), tensor)).collect())
}

fn prefixed(tensors: Tensors, prefix: &str) -> Tensors {
    let is_head = |name: &str| ["cls.", "classifier", SPAN_HEAD].iter().any(|head| name.starts_with(head));
    let rename = |name: String| if is_head(&name) { name } else { format!("{prefix}{name}") };
    Tensors(tensors.0.into_iter().map(|(name, tensor)| (rename(name), tensor)).collect())
}

/// Tensor names from the header of a safetensors file.
fn tensor_names(path: &Path) -> Result<Vec<String>, ModelError> {
    let bad = |message: String| Error::WeightFile { path: path.to_path_buf(), format: "safetensors", message };
    let io = |e| Error::io("read", path, e);
    let mut file = File::open(path).map_err(io)?;
    let available = file.metadata().map_err(io)?.len();
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|_| bad(format!("only {available} bytes long")))?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER || length + 8 > available {
        return Err(bad(format!("its header claims {length} bytes, the file has {available}")).into());
    }
    let mut header = vec![0; length as usize];
    file.read_exact(&mut header).map_err(io)?;
    let header: Map<String, Value> = serde_json::from_slice(&header).map_err(|e| bad(e.to_string()))?;
    Ok(header.into_iter().map(|(name, _)| name).filter(|name| name != "__metadata__").collect())
}
