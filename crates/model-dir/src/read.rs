//! Reading a model directory.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use encoder_spec::{BertConfig, Encoder, HostTensor, MappedTensor, NameFormat, Parts, Shape, Stored};

use crate::bytes::byte_tensors;
use crate::header::byte_names;
use crate::{
    CONFIG_FILE, Error, Result, Tensors, WEIGHTS_FILE, read_config, resolve, resolve_unread, tensor_names, usable,
};

/// Configuration and weights of a model directory.
#[derive(Clone, Debug)]
pub struct ModelDir<T = MappedTensor> {
    /// Where it was read from.
    pub path: PathBuf,
    /// The configuration.
    pub config: BertConfig,
    /// The encoder that configuration and tensor names describe.
    pub outline: Encoder<Shape>,
    /// Its weights by path ([`Encoder::weights`]), each of its shape.
    pub tensors: Tensors<T>,
    /// Paths of the weights that the file has in 8-bit integers; empty for most.
    pub bytes: BTreeSet<String>,
}

impl<T> ModelDir<T> {
    /// Paths of the matrices that a file of 8-bit integers has in floating point all the same: whoever computes in integers is to keep them, since
    /// they were found to cost too much. Empty where nothing is in integers.
    pub fn kept_of_bytes(&self) -> BTreeSet<String> {
        if self.bytes.is_empty() {
            return BTreeSet::new();
        }
        self.tensors.0.keys().filter(|path| !self.bytes.contains(*path)).cloned().collect()
    }
}

impl ModelDir<HostTensor> {
    /// Reads configuration and weights, strictly. The tensor names say which optional parts there are.
    ///
    /// # Errors
    /// A file is missing or cut off, the configuration is not valid, or a tensor is missing, left over, of another shape
    /// or not finite; the message names file and field or tensor.
    pub fn read(dir: &Path) -> Result<Self> {
        let mut found = Found::new(dir, Tensors::read_safetensors)?;
        let given = std::mem::take(&mut found.tensors);
        let tensors = resolve(&found.outline.weights(), given, found.format, &dir.join(WEIGHTS_FILE))?;
        let bytes = found.paths_of(&byte_names(&dir.join(WEIGHTS_FILE))?);
        Ok(Self { path: dir.to_path_buf(), config: found.config, outline: found.outline, tensors, bytes })
    }
}

impl ModelDir {
    /// As [`ModelDir::read`], of the bytes of `config.json` and `model.safetensors`; `path` stands for their folder in errors.
    ///
    /// # Errors
    /// As there.
    pub fn from_bytes(config: &[u8], weights: &[u8], path: &Path) -> Result<Self> {
        let file = path.join(CONFIG_FILE);
        let text = String::from_utf8_lossy(config);
        let config = BertConfig::from_json(&text).map_err(|e| Error::config_file(&file, e))?;
        let weights_file = path.join(WEIGHTS_FILE);
        let mut found = Found::of(config, Tensors::from_safetensors(weights, &weights_file)?, path)?;
        let given = std::mem::take(&mut found.tensors);
        let tensors = resolve(&found.outline.weights(), given, found.format, &weights_file)?;
        let tensors = Tensors(tensors.0.into_iter().map(|(path, tensor)| (path, tensor.into())).collect());
        let bytes = found.paths_of(&byte_tensors(weights));
        Ok(Self { path: path.to_path_buf(), config: found.config, outline: found.outline, tensors, bytes })
    }

    /// As [`ModelDir::read`], except that values stay in the file ([`Tensors::map_safetensors`]) and are not looked at: whoever uses
    /// them asks whether they are finite.
    ///
    /// # Errors
    /// As there.
    pub fn map(dir: &Path) -> Result<Self> {
        let mut found = Found::new(dir, Tensors::map_safetensors)?;
        let given = std::mem::take(&mut found.tensors);
        let tensors = resolve_unread(&found.outline.weights(), given, found.format, &dir.join(WEIGHTS_FILE))?;
        let bytes = found.paths_of(&byte_names(&dir.join(WEIGHTS_FILE))?);
        Ok(Self { path: dir.to_path_buf(), config: found.config, outline: found.outline, tensors, bytes })
    }

    /// Reads all values.
    ///
    /// # Errors
    /// [`Error::NotFinite`] names the first tensor that holds a value that is not.
    pub fn check_finite(&self) -> Result<()> {
        let Some(path) = self.tensors.0.iter().find(|(_, t)| !t.are_finite()).map(|(path, _)| path) else {
            return Ok(());
        };
        let names = NameFormat::HuggingFace(self.config.model_type).names(self.tensors.0.keys().map(String::as_str));
        Err(Error::NotFinite { path: self.path.join(WEIGHTS_FILE), name: names[path].clone() })
    }

    /// The encoder with its weights.
    ///
    /// # Errors
    /// A tensor was taken out before.
    pub fn into_encoder(self) -> Result<Encoder<MappedTensor>> {
        Ok(self.outline.filled(self.tensors.0)?)
    }
}

/// The encoder that a directory describes, from its configuration and the names of its tensors; no weights are read.
///
/// # Errors
/// As [`ModelDir::read`], except for what is wrong with the tensors themselves.
pub fn outline(dir: &Path) -> Result<(BertConfig, Encoder<Shape>)> {
    let config = read_config(&dir.join(CONFIG_FILE))?;
    let names = tensor_names(&dir.join(WEIGHTS_FILE))?;
    let parts = Parts::of_names(names.iter().filter(|name| !config.leaves_unused(name)));
    let outline = describe(dir, &config, parts)?;
    Ok((config, outline))
}

/// What is wrong with a layer is wrong in the configuration file.
fn describe(dir: &Path, config: &BertConfig, parts: Parts) -> Result<Encoder<Shape>> {
    Encoder::describe(config, parts).map_err(|e| Error::config_file(&dir.join(CONFIG_FILE), e))
}

/// What stands in a directory, tensors by name.
struct Found<T> {
    config: BertConfig,
    outline: Encoder<Shape>,
    tensors: Tensors<T>,
    format: NameFormat,
}

impl<T: Stored> Found<T> {
    fn new(dir: &Path, read: impl Fn(&Path) -> Result<Tensors<T>>) -> Result<Self> {
        let config = read_config(&dir.join(CONFIG_FILE))?;
        Self::of(config, read(&dir.join(WEIGHTS_FILE))?, dir)
    }

    fn of(config: BertConfig, tensors: Tensors<T>, dir: &Path) -> Result<Self> {
        let (tensors, _) = usable(tensors, &config);
        let outline = describe(dir, &config, Parts::of_names(tensors.0.keys()))?;
        let format = NameFormat::HuggingFace(config.model_type);
        Ok(Self { config, outline, tensors, format })
    }

    /// Paths of the weights that stand under these names in the file.
    fn paths_of(&self, names: &BTreeSet<String>) -> BTreeSet<String> {
        let bare = |name: &String| {
            self.format.prefix().and_then(|prefix| name.strip_prefix(prefix)).unwrap_or(name).to_owned()
        };
        let names: BTreeSet<String> = names.iter().map(bare).collect();
        let paths = self.outline.weights();
        let of_paths = self.format.names(paths.keys().map(String::as_str));
        of_paths.into_iter().filter(|(_, name)| names.contains(name)).map(|(path, _)| path).collect()
    }
}
