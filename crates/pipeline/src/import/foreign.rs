//! Hugging Face checkpoints of other families, which become BERTs before anything else looks at them.

use std::path::Path;

use bert_core::BertConfig;
use bert_core::weights::Tensors;
use encoder_spec::{Converted, ForeignError, ForeignModel};
use serde_json::Value;

use super::left_behind::in_short;
use super::{ImportError, Remedy, Source};
use crate::note::Note;

/// The family that a configuration names, where it is not one that is read as it is.
///
/// # Errors
/// A key of the family is missing, or asks for what a BERT does not compute.
pub(super) fn family(path: &Path) -> Result<Option<ForeignModel>, ImportError> {
    let text = std::fs::read_to_string(path).map_err(|e| ImportError::Config(model_dir::Error::io("read", path, e)))?;
    // What is wrong with the text is for the reader of BERT's keys to say.
    let Ok(keys) = serde_json::from_str::<Value>(&text) else { return Ok(None) };
    ForeignModel::read(&keys).map_err(|error| of_config(path, error))
}

/// The configuration of the BERT that it becomes.
///
/// # Errors
/// No encoder can be built from it.
pub(super) fn config(path: &Path, family: &ForeignModel, notes: &mut Vec<Note>) -> Result<BertConfig, ImportError> {
    let config = BertConfig::from_json(&family.config_json()).map_err(|error| of_config(path, error))?;
    let ignored: Vec<String> = family.ignored_keys().iter().map(|key| format!("`{key}`")).collect();
    if !ignored.is_empty() {
        notes.push(Note::Warning(format!(
            "{}: not used, as no {} of transformers reads it: {}",
            path.display(),
            family.name(),
            ignored.join(", ")
        )));
    }
    notes.push(Note::Message(format!("the {} becomes a BERT that computes the same", family.name())));
    Ok(config)
}

/// Its tensors under BERT's names.
///
/// # Errors
/// A head that a BERT would compute otherwise, or tensors that are not those of the configuration.
pub(super) fn tensors(
    source: &Source<'_>,
    family: &ForeignModel,
    tensors: Tensors,
    notes: &mut Vec<Note>,
) -> Result<Tensors, ImportError> {
    let path = || source.weights.to_path_buf();
    let converted = family.convert(tensors.0, source.encoder_only).map_err(|error| match error {
        ForeignError::Head { message } => ImportError::Head { path: path(), message, remedy: Remedy::EncoderOnly },
        ForeignError::Shape { name, found, expected } => {
            ImportError::Misfit(model_dir::Error::Shape { path: path(), name, found, expected }.into())
        }
        reason => ImportError::Foreign { path: path(), reason },
    })?;
    let Converted { tensors, left_behind } = converted;
    if !left_behind.is_empty() {
        notes.push(Note::Message(format!("left behind: {}", in_short(&left_behind))));
    }
    Ok(Tensors(tensors))
}

fn of_config(path: &Path, reason: impl ToString) -> ImportError {
    ImportError::Config(model_dir::Error::config_file(path, reason))
}
