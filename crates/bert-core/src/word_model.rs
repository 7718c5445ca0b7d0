//! What a model knows about single words: its word table and its masked-language-model head.

use std::path::Path;

use burn::tensor::Device;
use cpu_runtime::{Activation, Floats, Precision};

use model_dir::WEIGHTS_FILE;

use crate::weights::{MappedTensor, NameFormat, Tensors};
use crate::{BertConfig, Error, ModelDir, Result, network, usable};

const WORD_TABLE: &str = "encoder.embeddings.word_embeddings.weight";

/// A model directory read for its words.
#[derive(Debug)]
pub struct WordModel {
    /// The configuration.
    pub config: BertConfig,
    /// The word table, `[vocab, embed]`.
    pub table: Floats,
    /// The masked-language-model head, where the directory has one.
    pub mlm: Option<MlmWeights>,
    /// The encoder, where there is a head, and an encoder was asked for.
    pub encoder: Option<cpu_runtime::Model>,
}

/// The weights of a [`crate::MlmHead`], `Norm(act(W h + b)) [E X]ᵀ + bias` with the word table `E`; `width` is `embed`, or
/// `hidden` where there are further columns `X`.
#[derive(Debug)]
pub struct MlmWeights {
    /// `W`, `[width, hidden]`.
    pub dense: Floats,
    /// `b`, `[width]`.
    pub dense_bias: Floats,
    /// The function in between.
    pub activation: Activation,
    /// Scale of the norm, `[width]`.
    pub norm_weight: Floats,
    /// Shift of the norm, `[width]`.
    pub norm_bias: Floats,
    /// Added to the variance.
    pub norm_eps: f32,
    /// One value per word piece, `[vocab]`.
    pub bias: Floats,
    /// `Xᵀ`, `[hidden - embed, vocab]`, where the head has output weights of its own.
    pub extra: Option<Floats>,
}

impl MlmWeights {
    /// What `Norm(act(W h + b))` is multiplied with for word piece `id`, given the word table; `width` numbers.
    pub fn output_row<'a>(&'a self, table: &'a [f32], id: u32) -> impl Iterator<Item = f32> + 'a {
        let (width, vocab, id) = (self.dense_bias.len(), self.bias.len(), id as usize);
        let embed = table.len() / vocab;
        let extra = self.extra.as_deref().unwrap_or_default();
        let own = (embed..width).map(move |column| extra[(column - embed) * vocab + id]);
        table[id * embed..][..embed].iter().copied().chain(own)
    }
}

impl WordModel {
    /// Reads configuration and weights as strictly as [`ModelDir::load`]; where there is a masked-language-model head and `encoder`
    /// names a number format, the encoder is compiled too. Tables in `f32` stay in the file, which must stay as it is meanwhile.
    ///
    /// # Errors
    /// As [`ModelDir::load`].
    pub fn load(dir: &Path, encoder: Option<Precision>) -> Result<Self> {
        let weights = dir.join(WEIGHTS_FILE);
        // A device is needed to build modules, but no weight is allocated on it.
        let (config, outline) = ModelDir::outline(dir, &Device::flex())?;
        let parts = outline.parts();
        let (tensors, _) = usable(Tensors::map_safetensors(&weights)?, &config);
        let tensors = outline.resolve(tensors, NameFormat::HuggingFace(config.model_type), &weights)?;
        let value = |name: &str| -> Result<Floats> {
            let missing = || Error::Disagree { expected: format!("`{name}`"), found: "nothing of that name".into() };
            tensors.0.get(name).map(|tensor: &MappedTensor| tensor.data.clone()).ok_or_else(missing)
        };
        let table = value(WORD_TABLE)?;
        let mlm = match parts.mlm {
            false => None,
            true => Some(MlmWeights {
                dense: value("mlm.dense.weight")?,
                dense_bias: value("mlm.dense.bias")?,
                activation: config.hidden_act.into(),
                norm_weight: value("mlm.norm.weight")?,
                norm_bias: value("mlm.norm.bias")?,
                norm_eps: config.layer_norm_eps as f32,
                bias: value("mlm.bias")?,
                extra: parts.mlm_extra.then(|| value("mlm.extra")).transpose()?,
            }),
        };
        let encoder = match encoder.filter(|_| mlm.is_some()) {
            Some(precision) => Some(cpu_runtime::Model::compile(network(&config, tensors)?, precision)?),
            None => None,
        };
        Ok(Self { config, table, mlm, encoder })
    }
}
