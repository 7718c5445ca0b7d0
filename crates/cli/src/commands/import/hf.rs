//! Hugging Face checkpoints.

use std::path::Path;

use bert_core::weights::{NameFormat, Tensors};
use bert_core::{BertConfig, ModelType, Parts, TaskModel, usable};
use serde_json::Value;

use super::heads::task_head;
use super::left_behind::{count, in_short, outside_encoder};
use super::{ImportArgs, Imported, read_weights};
use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::tasks::Task;

pub(super) fn import(args: &ImportArgs, context: &Context) -> Result<Imported, CliError> {
    let mut config = model_dir::read_config(&args.config).hint("--config takes the checkpoint's config.json")?;
    judge_keys(&args.config, &config, context)?;
    let mut tensors = modern_names(read_weights(&args.weights)?);
    let left_behind = |what: &str| context.progress.message(&format!("left behind: {what}"));
    let before = tensors.0.len();
    tensors.0.retain(|name, _| !name.starts_with("cls.seq_relationship."));
    if tensors.0.len() < before {
        left_behind(&format!("the next-sentence head ({})", count(before - tensors.0.len())));
    }
    if args.encoder_only {
        let outside = outside_encoder(&mut tensors, &config);
        if !outside.is_empty() {
            left_behind(&in_short(&outside));
        }
        config.task_heads.clear();
    }
    judge_words(args, &config, &tensors)?;
    ignore_embedding_size(&mut config, &tensors, context);
    // Before a head is named: what a file of `transformers` leaves unused does not depend on it.
    let has_heads = !config.task_heads.is_empty();
    let head = if has_heads { None } else { task_head(args, &config, &tensors)? };
    if let Some(task) = head.as_ref().map(|head| &head.task).filter(|task| task.parse::<Task>().is_err()) {
        let near = Task::closest(task).map_or_else(String::new, |near| format!("; did you mean {near}?"));
        context
            .progress
            .warn(&format!("--task {task}: no task that this program knows; `predict` answers for it{near}"));
    }
    if has_heads && args.task.is_some() {
        return Err(CliError::usage("--task: the configuration already names the heads' tasks"));
    }
    let (tensors, unused) = usable(tensors, &config);
    if !unused.is_empty() {
        left_behind(&format!("{}, which the configuration leaves unused", in_short(&unused)));
    }
    config.task_heads.extend(head);
    let parts = Parts::of_names(tensors.0.keys());
    let format = NameFormat::HuggingFace(config.model_type);
    let model = TaskModel::new(&config, parts, &context.device).context(args.config.display().to_string())?;
    let hint = if args.encoder_only {
        "the weights must belong to --config"
    } else {
        "the weights must belong to --config; --encoder-only leaves behind what is outside the encoder"
    };
    let model = model.apply(tensors, format, &args.weights).hint(hint)?;
    Ok(Imported { config, model })
}

/// Names the keys that nothing is known of.
///
/// # Errors
/// A MobileBERT leaves open what is computed, and says by no tensor's shape how it is meant.
fn judge_keys(path: &Path, config: &BertConfig, context: &Context) -> Result<(), CliError> {
    let unknown: Vec<String> = config.unknown_keys().map(|key| format!("`{key}`")).collect();
    if !unknown.is_empty() {
        context.progress.warn(&format!(
            "{}: kept, but not used, as no BERT of transformers reads it: {}",
            path.display(),
            unknown.join(", ")
        ));
    }
    if config.model_type != ModelType::MobileBert {
        return Ok(());
    }
    let text = std::fs::read_to_string(path).context(path.display().to_string())?;
    let keys: Value = serde_json::from_str(&text)?;
    match ["hidden_act", "normalization_type"].into_iter().find(|key| keys.get(key).is_none()) {
        None => Ok(()),
        Some(key) => Err(CliError::failed(format!("{}: a MobileBERT must say its `{key}`", path.display())).with_hint(
            "where it is absent, transformers takes \"relu\" and \"no_norm\", and directories that this program wrote earlier mean \
             \"gelu\" and \"layer_norm\"; add what is meant",
        )),
    }
}

/// # Errors
/// Output weights of a masked-LM head that are said not to be the word table, and are not in the file.
fn judge_words(args: &ImportArgs, config: &BertConfig, tensors: &Tensors) -> Result<(), CliError> {
    let is_untied = config.extra.get("tie_word_embeddings") == Some(&Value::Bool(false));
    let has_head = tensors.0.contains_key("cls.predictions.transform.dense.weight");
    if is_untied && has_head && !tensors.0.contains_key("cls.predictions.decoder.weight") {
        let message = format!(
            "{}: `tie_word_embeddings` is false, but the file holds no `cls.predictions.decoder.weight`",
            args.config.display()
        );
        return Err(CliError::failed(message).with_hint(
            "a masked-LM head is supported with the word table as its output weights; --encoder-only leaves it behind",
        ));
    }
    Ok(())
}

/// A BERT of `transformers` does not read `embedding_size`; where it is one of this program, the file holds the projection.
fn ignore_embedding_size(config: &mut BertConfig, tensors: &Tensors, context: &Context) {
    let has_projection = tensors.0.keys().any(|name| name.ends_with("embeddings.embedding_transformation.weight"));
    let is_plain = config.model_type == ModelType::Bert && !config.trigram_input && !has_projection;
    if is_plain && let Some(size) = config.embedding_size.take() {
        context.progress.message(&format!("`embedding_size` {size} is not used: the file holds no projection"));
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
