//! The model directory: what users carry away, and what every command reads.
//!
//! | file | content |
//! |---|---|
//! | `config.json` | sizes, and per layer the expression, stacks and ratio |
//! | `model.safetensors` | weights under Hugging Face's names, or those of `docs/model-directory.md` |
//! | `tokenizer.json` and its kin | the tokenizer, see [`model_dir::TOKENIZER_FILES`] |
//! | `README.md` | model card |

use std::path::{Path, PathBuf};

use crate::weights::{NameFormat, Tensors};
use burn::tensor::Device;
use model_dir::{CONFIG_FILE, Error, Package, WEIGHTS_FILE, tensor_names, usable};

use crate::{BertConfig, Error as ModelError, Parts, TaskModel, network};

const FIT_DENSE: &str = "encoder.fit_dense.";

/// A model directory in memory.
#[derive(Clone, Debug)]
pub struct ModelDir {
    /// Where it was read from.
    pub path: PathBuf,
    /// The configuration.
    pub config: BertConfig,
    /// The model with its weights.
    pub model: TaskModel,
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
    pub fn outline(dir: &Path, device: &Device) -> Result<(BertConfig, TaskModel), ModelError> {
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

    /// Writes a model directory that [`ModelDir::load`] reads back and, for plain BERT, Hugging Face's `from_pretrained`.
    ///
    /// A directory that does not exist appears as a whole or not at all. In one that exists every file is replaced
    /// atomically, the weights last; other files stay.
    ///
    /// # Errors
    /// [`ModelError::Disagree`] when `model` is not the model of `config`, or a file cannot be written.
    pub fn save(dir: &Path, config: &BertConfig, model: &TaskModel, package: Package<'_>) -> Result<(), ModelError> {
        let mut config = config.clone();
        if !package.keep_fit || !model.has_fit() {
            config.fit_size = None;
        }
        agree(&config, model, config.fit_size.is_some())?;
        let mut tensors = model.collect(NameFormat::HuggingFace(config.model_type));
        if config.fit_size.is_none() {
            tensors.0.retain(|name, _| !name.starts_with("fit_dense."));
        }
        Ok(model_dir::write(dir, &config, model.parts(), tensors, package)?)
    }
}

/// Builds the model; what is wrong with a layer is wrong in the configuration file.
fn build(dir: &Path, config: &BertConfig, parts: Parts, device: &Device) -> Result<TaskModel, ModelError> {
    TaskModel::new(config, parts, device).map_err(|e| Error::config_file(&dir.join(CONFIG_FILE), e).into())
}

fn agree(config: &BertConfig, model: &TaskModel, with_fit: bool) -> Result<(), ModelError> {
    // A device is needed to build modules, but no weight is allocated on it.
    let asked = TaskModel::new(config, model.parts(), &Device::flex())?.shapes();
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
