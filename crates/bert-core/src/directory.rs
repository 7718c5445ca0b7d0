//! Model directories as models.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use encoder_spec::BertConfig;
use model_dir::{Package, WEIGHTS_FILE};

use crate::error::Result;
use crate::task_model::TaskModel;
use crate::weights::apply_internal;

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

    /// The model whose piece `i` is piece `rows[i]` of this one; see [`model_dir::with_vocabulary`].
    ///
    /// # Errors
    /// As there.
    pub fn with_vocabulary(&self, rows: &[u32], device: &Device) -> Result<Self> {
        let (config, tensors) = model_dir::with_vocabulary(&self.config, self.model.collect_internal(), rows)?;
        let model = TaskModel::new(&config, self.model.parts(), device)?;
        let model = apply_internal(model, tensors, &self.path)?;
        Ok(Self { path: self.path.clone(), config, model })
    }

    /// Writes a model directory that [`ModelDir::load`] reads back; see [`model_dir::write`].
    ///
    /// # Errors
    /// As there.
    pub fn save(dir: &Path, config: &BertConfig, model: &TaskModel, package: Package<'_>) -> Result<()> {
        Ok(model_dir::write(dir, config, model.collect_internal(), package)?)
    }
}
