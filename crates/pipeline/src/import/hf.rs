//! Hugging Face checkpoints.

use std::path::Path;

use bert_core::weights::{self, NameFormat, Tensors};
use bert_core::{BertConfig, ModelType, Parts, TaskModel, usable};
use burn::tensor::Device;
use encoder_spec::ForeignModel;
use serde_json::Value;

use super::foreign;

use super::heads::task_head;
use super::left_behind::{count, in_short, outside_encoder};
use super::vectors;
use super::{ImportError, Imported, Source};
use crate::note::Note;

pub(super) fn import(source: &Source<'_>, device: &Device, notes: &mut Vec<Note>) -> Result<Imported, ImportError> {
    let family = foreign::family(source.config)?;
    let mut config = match &family {
        None => model_dir::read_config(source.config).map_err(ImportError::Config)?,
        Some(family) => foreign::config(source.config, family, notes)?,
    };
    judge_keys(source.config, &config, family.as_ref(), notes)?;
    let mut tensors = modern_names(weights::read(source.weights).map_err(ImportError::Weights)?);
    if let Some(family) = &family {
        tensors = foreign::tensors(source, family, tensors, notes)?;
    }
    let left_behind = |what: &str| Note::Message(format!("left behind: {what}"));
    let before = tensors.0.len();
    tensors.0.retain(|name, _| !name.starts_with("cls.seq_relationship."));
    if tensors.0.len() < before {
        notes.push(left_behind(&format!("the next-sentence head ({})", count(before - tensors.0.len()))));
    }
    if source.encoder_only {
        let outside = outside_encoder(&mut tensors, &config);
        if !outside.is_empty() {
            notes.push(left_behind(&in_short(&outside)));
        }
        config.task_heads.clear();
    }
    judge_words(source, &config, &tensors)?;
    ignore_embedding_size(&mut config, &tensors, notes);
    // Before a head is named: what a file of `transformers` leaves unused does not depend on it.
    let has_heads = !config.task_heads.is_empty();
    let vector = if has_heads || source.encoder_only && source.pooling.is_none() {
        None
    } else {
        vectors::head(source, &mut tensors, config.max_position_embeddings, notes)?
    };
    let head = match vector {
        Some(head) => Some(head),
        None if has_heads => None,
        None => task_head(source, &config, &tensors)?,
    };
    if has_heads && (source.task.is_some() || source.pooling.is_some()) {
        return Err(ImportError::HeadsNamed);
    }
    let (tensors, unused) = usable(tensors, &config);
    if !unused.is_empty() {
        notes.push(left_behind(&format!("{}, which the configuration leaves unused", in_short(&unused))));
    }
    config.task_heads.extend(head);
    let parts = Parts::of_names(tensors.0.keys());
    let format = NameFormat::HuggingFace(config.model_type);
    let model = TaskModel::new(&config, parts, device).map_err(|error| ImportError::Unbuildable {
        what: source.config.display().to_string(),
        source: error.into(),
    })?;
    let model = model.apply(tensors, format, source.weights).map_err(ImportError::Misfit)?;
    Ok(Imported { config, model })
}

/// Names the keys that nothing is known of.
///
/// # Errors
/// A MobileBERT leaves open what is computed, and says by no tensor's shape how it is meant.
fn judge_keys(
    path: &Path,
    config: &BertConfig,
    family: Option<&ForeignModel>,
    notes: &mut Vec<Note>,
) -> Result<(), ImportError> {
    let unknown: Vec<String> = config.unknown_keys().map(|key| format!("`{key}`")).collect();
    let own = if config.model_type == ModelType::ModernBert { "ModernBERT" } else { "BERT" };
    if !unknown.is_empty() {
        notes.push(Note::Warning(format!(
            "{}: kept, but not used, as no {} of transformers reads it: {}",
            path.display(),
            family.map_or(own, ForeignModel::name),
            unknown.join(", ")
        )));
    }
    if config.model_type != ModelType::MobileBert {
        return Ok(());
    }
    let unread = |message: String| ImportError::Config(model_dir::Error::ConfigFile { path: path.into(), message });
    let text = std::fs::read_to_string(path).map_err(|e| unread(e.to_string()))?;
    let keys: Value = serde_json::from_str(&text).map_err(|e| unread(e.to_string()))?;
    match ["hidden_act", "normalization_type"].into_iter().find(|key| keys.get(key).is_none()) {
        None => Ok(()),
        Some(key) => Err(ImportError::MobileBertKey { path: path.into(), key }),
    }
}

/// Checks that a masked-language-model head shares its output weights as the configuration says.
///
/// # Errors
/// Output weights of a masked-LM head that are said not to be the word table, and are not in the file.
fn judge_words(source: &Source<'_>, config: &BertConfig, tensors: &Tensors) -> Result<(), ImportError> {
    let is_untied = config.extra.get("tie_word_embeddings") == Some(&Value::Bool(false));
    let has_head = Parts::of_names(tensors.0.keys()).mlm;
    let has_own = ["cls.predictions.decoder.weight", "decoder.weight"].iter().any(|name| tensors.0.contains_key(*name));
    if is_untied && has_head && !has_own {
        return Err(ImportError::UntiedWords { path: source.config.into() });
    }
    Ok(())
}

/// A BERT of `transformers` does not read `embedding_size`; where it is one of this program, the file holds the projection.
fn ignore_embedding_size(config: &mut BertConfig, tensors: &Tensors, notes: &mut Vec<Note>) {
    let has_projection = tensors.0.keys().any(|name| name.ends_with("embeddings.embedding_transformation.weight"));
    let is_plain = config.model_type == ModelType::Bert && !config.trigram_input && !has_projection;
    if is_plain && let Some(size) = config.embedding_size.take() {
        notes.push(Note::Message(format!("`embedding_size` {size} is not used: the file holds no projection")));
    }
}

/// TensorFlow's names of scale and shift survive in old checkpoints.
fn modern_names(tensors: Tensors) -> Tensors {
    let rename = |name: String| {
        let name = match name.strip_suffix("LayerNorm.gamma") {
            Some(stem) => format!("{stem}LayerNorm.weight"),
            None => name,
        };
        match name.strip_suffix("LayerNorm.beta") {
            Some(stem) => format!("{stem}LayerNorm.bias"),
            None => name,
        }
    };
    Tensors(tensors.0.into_iter().map(|(name, tensor)| (rename(name), tensor)).collect())
}
