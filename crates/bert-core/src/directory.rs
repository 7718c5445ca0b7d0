//! Model directories as models.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use cpu_runtime::{Packing, Precision};
use model_dir::{Package, WEIGHTS_FILE};

use crate::weights::apply_internal;
use crate::{BertConfig, Result, TaskModel};

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
    /// Reads configuration and weights, strictly; see [`model_dir::ModelDir::read`].
    ///
    /// # Errors
    /// As there.
    pub fn load(dir: &Path, device: &Device) -> Result<Self> {
        let read = model_dir::ModelDir::read(dir)?;
        let model = TaskModel::new(&read.config, read.outline.parts(), device)?;
        let model = apply_internal(model, read.tensors, &dir.join(WEIGHTS_FILE))?;
        Ok(Self { path: read.path, config: read.config, model })
    }

    /// Reads configuration and weights, as strictly as [`ModelDir::load`], and compiles them for inference on the processor;
    /// no module is built on the way, and weights are read where the file holds them. In `f32` the model keeps its
    /// tables there, so the file must stay as it is while the model lives, see [`model_dir::Tensors::map_safetensors`]. Packed at use,
    /// all weights stay in the file.
    ///
    /// # Errors
    /// As [`ModelDir::load`].
    pub fn freeze_as(dir: &Path, precision: Precision, packing: Packing) -> Result<(BertConfig, cpu_runtime::Model)> {
        let mapped = model_dir::ModelDir::map(dir)?;
        let config = mapped.config.clone();
        match cpu_runtime::Model::compile_as(mapped.into_encoder()?, precision, packing) {
            Ok(model) => Ok((config, model)),
            // A value that is not finite, most likely: what reads everything says in which tensor of the file.
            Err(error) => {
                model_dir::ModelDir::map(dir)?.check_finite()?;
                Err(error.into())
            }
        }
    }

    /// As [`ModelDir::freeze_as`], packed ahead.
    ///
    /// # Errors
    /// As there.
    pub fn freeze(dir: &Path, precision: Precision) -> Result<(BertConfig, cpu_runtime::Model)> {
        Self::freeze_as(dir, precision, Packing::Ahead)
    }

    /// Configuration and module tree without reading any weights.
    ///
    /// # Errors
    /// As [`model_dir::outline`].
    pub fn outline(dir: &Path, device: &Device) -> Result<(BertConfig, TaskModel)> {
        let (config, outline) = model_dir::outline(dir)?;
        let model = TaskModel::new(&config, outline.parts(), device)?;
        Ok((config, model))
    }

    /// Writes a model directory that [`ModelDir::load`] reads back; see [`model_dir::write`].
    ///
    /// # Errors
    /// As there.
    pub fn save(dir: &Path, config: &BertConfig, model: &TaskModel, package: Package<'_>) -> Result<()> {
        Ok(model_dir::write(dir, config, model.collect_internal(), package)?)
    }
}
