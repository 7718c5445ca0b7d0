//! The files of a model directory.

use std::path::Path;

use encoder_spec::{BertConfig, Parts};

use crate::hugging_face;
use crate::{Error, Result, Tensors};

/// Name of the configuration inside a model directory.
pub const CONFIG_FILE: &str = "config.json";
/// Name of the weights inside a model directory.
pub const WEIGHTS_FILE: &str = "model.safetensors";
/// Files of a tokenizer, in the order in which they are preferred.
pub const TOKENIZER_FILES: [&str; 5] =
    ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt"];

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

/// Writes a model directory that reads back and, for plain BERT, that Hugging Face's `from_pretrained` reads. `tensors` have the
/// family's names ([`encoder_spec::NameFormat::HuggingFace`]), without its prefix.
///
/// A directory that does not exist appears as a whole or not at all. In one that exists every file is replaced
/// atomically, the weights last; other files stay.
///
/// # Errors
/// A file cannot be written.
pub fn write(dir: &Path, config: &BertConfig, parts: Parts, tensors: Tensors, package: Package<'_>) -> Result<()> {
    let (config, tensors) = hugging_face::image(config.clone(), parts, tensors);
    let text = config.to_json().map_err(|e| Error::config_file(&dir.join(CONFIG_FILE), e))?;
    let weights = tensors.to_safetensors()?;
    let mut files: Vec<(&str, &[u8])> = package.files.iter().map(|(n, b)| (n.as_str(), b.as_slice())).collect();
    files.extend([("README.md", package.card.as_bytes()), (CONFIG_FILE, text.as_bytes()), (WEIGHTS_FILE, &weights)]);
    Ok(run_store::folder::write(dir, &files)?)
}
