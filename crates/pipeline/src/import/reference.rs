//! Checkpoints of EfficientBERT's released code.

use std::collections::BTreeMap;
use std::path::Path;

use bert_core::weights::{self, NameFormat, Tensors};
use bert_core::{Activation, BertConfig, LayerSource, ModelType, NormKind, Parts, TaskModel, inherit, student_config};
use burn::tensor::Device;
use mlp_space::{Architecture, LinearId};
use serde::Deserialize;
use serde_json::Value;

use super::{ImportError, Imported, Source};
use crate::note::Note;

/// Why no model can be built.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Keys that say nothing about the network.
const SILENT_KEYS: [&str; 2] = ["sep_token_id", "note"];

/// The configuration file.
#[derive(Deserialize)]
struct ReferenceFile {
    config: ReferenceConfig,
    #[serde(default)]
    ffn_expressions: Vec<String>,
    #[serde(flatten)]
    extra: BTreeMap<String, Value>,
}

/// Sizes under the released code's names.
#[derive(Deserialize)]
struct ReferenceConfig {
    vocab_size: usize,
    hidden_size: usize,
    num_layers: usize,
    num_attn_heads: usize,
    ffn_hidden_size: usize,
    position_size: usize,
    segment_size: usize,
    #[serde(default)]
    pad_token_id: usize,
    #[serde(default)]
    attn_dropout_prob: f64,
    #[serde(default)]
    hidden_dropout_prob: f64,
    embed_size: Option<usize>,
    fit_size: Option<usize>,
    #[serde(default)]
    use_fit_dense: bool,
    inner_hidden_size: Option<usize>,
    #[serde(default)]
    is_tiny: bool,
    #[serde(default)]
    use_opt: bool,
    max_stacked_ffn: Option<usize>,
    #[serde(flatten)]
    extra: BTreeMap<String, Value>,
}

pub(super) fn import(source: &Source<'_>, device: &Device, notes: &mut Vec<Note>) -> Result<Imported, ImportError> {
    let file = read_config(source.config)?;
    for key in file.extra.keys().chain(file.config.extra.keys()).filter(|key| !SILENT_KEYS.contains(&key.as_str())) {
        notes.push(Note::Warning(format!("{}: `{key}` is not used", source.config.display())));
    }
    let unbuildable = |cause: Cause| {
        let what = format!("{}: no model can be built", source.config.display());
        ImportError::Unbuildable { what, source: cause }
    };
    let config = bert_config(&file).map_err(unbuildable)?;
    let tensors = weights::read(source.weights).map_err(ImportError::Weights)?;
    let params = tensors.under("param.");
    let tensors = if params.0.is_empty() { tensors } else { params };
    if config.model_type == ModelType::EfficientBert {
        return searched(source, device, config, tensors).map_err(ImportError::Misfit);
    }
    let parts = Parts { mlm: tensors.0.contains_key("lm_head.dense.weight"), ..Parts::default() };
    let model = TaskModel::new(&config, parts, device).map_err(|error| unbuildable(error.into()))?;
    let model = model.apply(tensors, NameFormat::Reference, source.weights).map_err(ImportError::Misfit)?;
    Ok(Imported { config, model })
}

fn read_config(path: &Path) -> Result<ReferenceFile, ImportError> {
    let unread = |message: String| ImportError::ReferenceConfig { message };
    let text = std::fs::read_to_string(path).map_err(|e| unread(format!("cannot read {}: {e}", path.display())))?;
    serde_json::from_str(&text).map_err(|e| unread(format!("{}: {e}", path.display())))
}

/// LayerNorm epsilon 1e-5 and the tanh GELU, as the released code has them.
fn bert_config(file: &ReferenceFile) -> Result<BertConfig, Cause> {
    let c = &file.config;
    let bad = |text: String| Err(Cause::from(text));
    let mut config = BertConfig {
        hidden_act: Activation::GeluTanh,
        hidden_dropout_prob: c.hidden_dropout_prob,
        attention_probs_dropout_prob: c.attn_dropout_prob,
        max_position_embeddings: c.position_size,
        type_vocab_size: c.segment_size,
        layer_norm_eps: 1e-5,
        pad_token_id: c.pad_token_id,
        fit_size: if c.use_fit_dense { c.fit_size } else { None },
        ..BertConfig::bert(c.vocab_size, c.hidden_size, c.num_layers, c.num_attn_heads, c.ffn_hidden_size)
    };
    if c.use_fit_dense && c.fit_size.is_none() {
        return bad("`use_fit_dense` needs `fit_size`".into());
    }
    if let Some(size) = c.embed_size {
        config.embedding_size = Some(size);
        config.trigram_input = true;
    }
    match (c.inner_hidden_size, file.ffn_expressions.is_empty()) {
        (Some(_), false) => return bad("`inner_hidden_size` and `ffn_expressions` exclude each other".into()),
        (Some(size), true) => {
            config.model_type = ModelType::MobileBert;
            config.intra_bottleneck_size = Some(size);
            config.bottleneck_norm = false;
            config.num_feedforward_networks = if c.is_tiny { 2 } else { 4 };
            config.use_bottleneck_attention = c.is_tiny;
            config.tie_key_query = c.is_tiny;
            if c.use_opt {
                config.normalization_type = NormKind::NoNorm;
                config.hidden_act = Activation::Relu;
            }
        }
        (None, _) if c.use_opt => return bad("`use_opt` is known for MobileBERT (`inner_hidden_size`) only".into()),
        (None, false) => {
            if c.max_stacked_ffn.is_some_and(|n| n != usize::from(LinearId::LARGEST.stacks())) {
                return bad("`max_stacked_ffn` must be 4, the largest of the search space".into());
            }
            if config.embedding_size.is_none() {
                return bad("a searched student needs `embed_size`".into());
            }
            let text = serde_json::to_string(&file.ffn_expressions)?;
            let architecture: Architecture = text.parse().map_err(|e| format!("ffn_expressions: {e}"))?;
            if architecture.layers().len() != c.num_layers {
                let found = architecture.layers().len();
                return bad(format!("`ffn_expressions` lists {found} layers, `num_layers` is {}", c.num_layers));
            }
            config = student_config(&config, &architecture)?;
        }
        (None, true) => {}
    }
    config.validate()?;
    Ok(config)
}

/// A student cut out of the file's feed-forwards, which have the largest size of the search space.
fn searched(source: &Source<'_>, device: &Device, config: BertConfig, tensors: Tensors) -> bert_core::Result<Imported> {
    let own = TaskModel::new(&config, Parts::default(), device)?;
    let stacks = |n: usize| tensors.0.contains_key(&format!("encoder.0.all_ffn.{n}.dense1.weight"));
    let full_width = tensors.0.get("encoder.0.all_ffn.0.dense1.weight").and_then(|t| t.shape.first().copied());
    // Files of one student alone, already at its sizes, exist as well.
    let is_largest = stacks(3) && full_width == Some(config.intermediate_size);
    if !is_largest {
        return Ok(Imported { model: own.apply(tensors, NameFormat::Reference, source.weights)?, config });
    }
    let largest = TaskModel::supernet(&config, Parts::NONE, device)?;
    let largest = largest.apply(tensors, NameFormat::Reference, source.weights)?;
    let format = NameFormat::HuggingFace(ModelType::EfficientBert);
    let shapes = own.shapes();
    let names = format.names(shapes.keys().map(String::as_str));
    let target = shapes.into_iter().map(|(path, shape)| (names[&path].clone(), shape)).collect();
    let cut = inherit(&target, &largest.collect(format), LayerSource::Same, |_| false)?;
    Ok(Imported { model: own.apply(cut, format, source.weights)?, config })
}
