//! The files of a model directory.

use std::collections::BTreeMap;
use std::path::Path;

use encoder_spec::{BertConfig, Encoder, Parts, Shape};

use crate::bytes::QUANTIZATION;
use crate::{Error, Result, Tensors};
use crate::{hugging_face, sentence_transformers};

/// Name of the configuration inside a model directory.
pub const CONFIG_FILE: &str = "config.json";
/// Name of the weights inside a model directory.
pub const WEIGHTS_FILE: &str = "model.safetensors";
/// Weights in a folder of `transformers`, in the order in which it takes them: one file, or the index of several.
pub const FOREIGN_WEIGHTS: [&str; 4] =
    [WEIGHTS_FILE, "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];
/// Files of a tokenizer, in the order in which they are preferred.
pub const TOKENIZER_FILES: [&str; 7] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
];

/// What is saved besides configuration and weights.
#[derive(Clone, Copy, Debug, Default)]
pub struct Package<'a> {
    /// Text of `README.md`.
    pub card: &'a str,
    /// Further files by name, such as [`tokenizer_files`].
    pub files: &'a [(String, Vec<u8>)],
    /// Keep the projection that only distillation needs; it is dropped otherwise.
    pub keep_fit: bool,
}

/// The tokenizer's files that stand in `dir`, by name.
///
/// # Errors
/// One of them exists and cannot be read.
pub fn tokenizer_files(dir: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for name in TOKENIZER_FILES {
        let path = dir.join(name);
        match std::fs::read(&path) {
            Ok(bytes) => files.push((name.to_owned(), bytes)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io("read", &path, e)),
        }
    }
    Ok(files)
}

/// Writes a model directory that reads back and, for plain BERT, that Hugging Face's `from_pretrained` reads. `tensors` stand under
/// their paths ([`encoder_spec::Encoder::weights`]).
///
/// A directory that does not exist appears as a whole or not at all. In one that exists every file is replaced
/// atomically, the weights last; other files stay.
///
/// # Errors
/// [`Error::Disagree`] when the tensors are not those of `config`, or a file cannot be written.
pub fn write(dir: &Path, config: &BertConfig, mut tensors: Tensors, package: Package<'_>) -> Result<()> {
    let mut config = config.clone();
    // A mark of the files that the weights were read from; these are in floating point.
    config.extra.remove(QUANTIZATION);
    let is_fit = |path: &str| path.starts_with("encoder.fit_dense.");
    if !package.keep_fit || !tensors.0.keys().any(|path| is_fit(path)) {
        config.fit_size = None;
        tensors.0.retain(|path, _| !is_fit(path));
    }
    let outline = Encoder::describe(&config, Parts::of_paths(tensors.0.keys()))?;
    agree(&outline.weights(), &tensors)?;
    let of_sentences = sentence_transformers::files(&config, &tensors)?;
    let (config, tensors) = hugging_face::image(config, outline.parts(), tensors);
    let text = config.to_json()?;
    let weights = tensors.to_safetensors()?;
    let mut files: Vec<(&str, &[u8])> = package.files.iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect();
    files.extend(of_sentences.iter().map(|(n, b)| (n.as_str(), b.as_slice())));
    files.extend([("README.md", package.card.as_bytes()), (CONFIG_FILE, text.as_bytes()), (WEIGHTS_FILE, &weights)]);
    Ok(run_store::folder::write(dir, &files)?)
}

fn agree(asked: &BTreeMap<String, Shape>, held: &Tensors) -> Result<()> {
    let text = |name: &str, shape: Option<&Shape>| match shape {
        Some(shape) => format!("`{name}` of shape {shape:?}"),
        None => "nothing of that name".into(),
    };
    let of = |name: &str| held.0.get(name).map(|tensor| &tensor.shape);
    match asked.keys().chain(held.0.keys()).find(|name| asked.get(*name) != of(name)) {
        None => Ok(()),
        Some(name) => Err(Error::Disagree { expected: text(name, asked.get(name)), found: text(name, of(name)) }),
    }
}
