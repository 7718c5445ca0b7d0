//! Model directories as commands take and make them.

use std::path::{Path, PathBuf};

use bert_core::weights::apply_internal;
use bert_core::{
    BertConfig, CONFIG_FILE, LayerSource, ModelDir, ModelType, TOKENIZER_FILES, TaskModel, WEIGHTS_FILE, inherit,
};
use burn::tensor::Device;
use clap::ValueEnum;
use kd::transfer::{continue_from, with_embedding_of};
use pipeline::inputs::Files;
use pipeline::similar::closest;
use predict::Error;
use serde::Serialize;
use tokenizer::TextEncoder;

use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::inputs::refuse_run_folder;

/// Module path of the distillation projection, which belongs to a teacher.
const FIT_DENSE: &str = "encoder.fit_dense.";
/// Module path of the masked-language-model head.
const WORD_HEAD: &str = "mlm.";

/// Loads the model directory that `option` names, with hints for the usual mistakes.
///
/// # Errors
/// As [`ModelDir::load`].
pub fn load(option: &str, dir: &Path, device: &Device) -> Result<ModelDir, CliError> {
    check_folder(option, dir)?;
    ModelDir::load(dir, device).hint(IMPORT_HINT)
}

/// Where model directories come from.
pub const IMPORT_HINT: &str = "`efficientbert import` makes model directories from foreign weights";

/// # Errors
/// There is no such folder, or it is that of a run.
pub fn check_folder(option: &str, dir: &Path) -> Result<(), CliError> {
    if dir.is_dir() {
        return refuse_run_folder(option, dir);
    }
    let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = std::fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let beside: Vec<String> = beside.filter_map(|name| name.into_string().ok()).collect();
    let near =
        closest(&name, beside.iter().map(String::as_str)).filter(|near| parent.join(near).join(CONFIG_FILE).is_file());
    let error = CliError::usage(format!("{option} {}: no such folder", dir.display()));
    if let Some(near) = near {
        return Err(error.with_hint(format!("did you mean {}?", dir.with_file_name(near).display())));
    }
    Err(error.with_hint("a model directory holds config.json and model.safetensors; `efficientbert import` makes one"))
}

/// Loads a model directory together with its tokenizer.
///
/// # Errors
/// As [`load`], no usable tokenizer, or one whose ids the model's tables do not hold.
pub fn load_with_tokenizer(option: &str, dir: &Path, device: &Device) -> Result<(ModelDir, TextEncoder), CliError> {
    let model = load(option, dir, device)?;
    let encoder = tokenizer(option, dir, &model.config)?;
    Ok((model, encoder))
}

/// The tokenizer in the model directory of `config`.
///
/// # Errors
/// No usable tokenizer, or one whose ids the model's tables do not hold.
pub fn tokenizer(option: &str, dir: &Path, config: &BertConfig) -> Result<TextEncoder, CliError> {
    let encoder = tokenizer_alone(dir)?;
    check_tables(option, config, &encoder)?;
    Ok(encoder)
}

/// The tokenizer in the model directory `dir`, not compared with the model.
///
/// # Errors
/// No usable tokenizer.
pub fn tokenizer_alone(dir: &Path) -> Result<TextEncoder, CliError> {
    predict::tokenizer(dir).map_err(|error| explained("", error))
}

/// Whether the table of the model that `what` names holds every id that the tokenizer gives.
///
/// # Errors
/// The table is too small; the message names the field.
pub fn check_tables(what: &str, config: &BertConfig, encoder: &TextEncoder) -> Result<(), CliError> {
    predict::check_vocabulary(config, encoder).map_err(|error| explained(what, error))
}

/// `error` of the model that `what` names, and what to do about it.
pub fn explained(what: &str, error: Error) -> CliError {
    let said = |error: &Error| CliError::failed(format!("{what}: {error}"));
    match &error {
        Error::Vocabulary { .. } => said(&error),
        Error::Segments { .. } => said(&error).with_hint("this model takes single texts"),
        Error::NoHead => CliError::usage(format!("{what}: {error}"))
            .with_hint("`efficientbert teacher` and `efficientbert distill --task` make models with heads"),
        Error::SpanAmongOthers { known, .. } => {
            CliError::usage(format!("{what}: {error}")).with_hint(format!("--task names the one to answer: {known}"))
        }
        Error::Tokenizer(_) => CliError::from(error)
            .with_hint("copy the tokenizer.json (or vocab.txt) that belongs to the model into its directory"),
        Error::Directory(_) | Error::Modules(_) | Error::Runtime(_) => CliError::from(error).with_hint(IMPORT_HINT),
        _ => error.into(),
    }
}

/// Whether the model that `what` names has a second segment, where texts come in pairs, see [`predict::check_segments`].
///
/// # Errors
/// It has none.
pub fn check_segments(what: &str, config: &BertConfig, pairs: Option<impl std::fmt::Display>) -> Result<(), CliError> {
    predict::check_segments(config, pairs).map_err(|error| explained(what, error))
}

/// Warns of what the files of a tokenizer contradict each other in.
pub fn warn_of(encoder: &TextEncoder, context: &Context) {
    encoder.notes().for_each(|note| context.progress.warn(&note));
}

/// What of a model directory decides a result, for [`Training::open`](crate::training::Training::open).
pub fn model_files(what: &str, dir: &Path) -> Files {
    let files = [CONFIG_FILE, WEIGHTS_FILE].into_iter().chain(TOKENIZER_FILES).map(|name| dir.join(name));
    files.filter(|path| path.is_file()).map(|path| (what.to_owned(), path)).collect()
}

/// The files of a model directory, which no output may replace.
pub fn model_paths(dir: &Path) -> Vec<PathBuf> {
    model_files("model", dir).into_iter().map(|(_, path)| path).collect()
}

/// `wanted` tokens, or as many as the shortest position table allows.
pub fn capped_length(wanted: u32, positions: usize, context: &Context) -> usize {
    let wanted = wanted as usize;
    if wanted > positions {
        context.progress.message(&format!("--max-len {wanted}: cut to the model's {positions} positions"));
    }
    wanted.min(positions)
}

/// # Errors
/// One model has plain feed-forwards, the other searched ones.
fn same_kind(config: &BertConfig, loaded: &ModelDir) -> Result<(), CliError> {
    let kind = |config: &BertConfig| match config.model_type {
        ModelType::EfficientBert => "searched",
        _ => "plain",
    };
    let (new, old) = (kind(config), kind(&loaded.config));
    if new == old {
        return Ok(());
    }
    let message = format!("{}: has {old} feed-forwards, the new model {new} ones", loaded.path.display());
    Err(CliError::failed(message))
}

/// How weights of a model become those of another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Inherit {
    /// As they are; all sizes are equal.
    #[default]
    Same,
    /// The first channels of every tensor, as EfficientBERT-TINY has them from EfficientBERT.
    Cut,
    /// The same, and every layer twice in a row, as EfficientBERT++ has them from EfficientBERT+.
    Doubled,
}

/// `fresh`, whose configuration is `config`, with what `how` makes of the encoder of `loaded`, and of its masked-language-model head
/// where both have one of one form. Heads of tasks and, but for [`Inherit::Same`], the pooler stay fresh, as in EfficientBERT's code;
/// the projection is inherited where it leads to the same width.
///
/// # Errors
/// Models of different kinds, depths that do not go with `how`, or a tensor that is smaller than it has to be.
pub fn inherited(
    fresh: TaskModel,
    config: &BertConfig,
    loaded: &ModelDir,
    how: Inherit,
) -> Result<TaskModel, CliError> {
    same_kind(config, loaded)?;
    let (layers, times) = match how {
        Inherit::Same => return Ok(continue_from(fresh, &loaded.model, &loaded.path)?),
        Inherit::Cut => (LayerSource::Same, 1),
        Inherit::Doubled => (LayerSource::Halved, 2),
    };
    let (ours, theirs) = (config.num_hidden_layers, loaded.config.num_hidden_layers);
    let source = &loaded.path;
    if ours != theirs * times {
        let message =
            format!("{}: has {theirs} layers, of which {} become the student's", source.display(), theirs * times);
        return Err(CliError::usage(format!("{message}; it has {ours}")));
    }
    let with_fit = config.fit_size == loaded.config.fit_size;
    let (ours, theirs) = (fresh.parts(), loaded.model.parts());
    let with_words = ours.mlm && theirs.mlm && ours.mlm_extra == theirs.mlm_extra;
    let mut shapes = fresh.shapes();
    shapes.retain(|name, _| match name.starts_with(FIT_DENSE) {
        true => with_fit,
        false => name.starts_with("encoder.") || with_words && name.starts_with(WORD_HEAD),
    });
    let found = inherit(&shapes, &loaded.model.collect_internal(), layers, |name| name.starts_with(FIT_DENSE))?;
    let mut weights = fresh.collect_internal();
    weights.0.extend(found.0);
    Ok(apply_internal(fresh, weights, source)?)
}

/// `student`, whose configuration is `config`, with the embedding of `teacher`, see [`with_embedding_of`]; with its norm where both
/// have one kind of norm.
///
/// # Errors
/// The embeddings are of different sizes.
pub fn embedded(student: TaskModel, config: &BertConfig, teacher: &ModelDir) -> Result<TaskModel, CliError> {
    let norm = config.normalization_type == teacher.config.normalization_type;
    let (tensors, source) = (teacher.model.collect_internal(), &teacher.path);
    Ok(with_embedding_of(student, &tensors, norm, source)?)
}

/// # Errors
/// `out` is a file or a folder with something in it.
pub fn refuse_occupied(out: &Path) -> Result<(), CliError> {
    let occupied = match std::fs::read_dir(out) {
        Ok(mut entries) => entries.next().is_some(),
        Err(e) => e.kind() != std::io::ErrorKind::NotFound,
    };
    if occupied {
        return Err(CliError::usage(format!("--out {}: exists and is not an empty folder", out.display()))
            .with_hint("nothing was changed; name a new folder"));
    }
    Ok(())
}
