//! Model directories as commands take and make them.

use std::path::{Path, PathBuf};

use bert_core::{BertConfig, CONFIG_FILE, ModelDir};
use burn::tensor::Device;
use pipeline::input_files::model_files;
use predict::Error;
use run_store::similar::closest;
use tokenizer::TextEncoder;

use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::inputs::refuse_run_folder;

/// Loads the model directory that `option` names, with hints for the usual mistakes.
pub fn load(option: &str, dir: &Path, device: &Device) -> Result<ModelDir, CliError> {
    check_folder(option, dir)?;
    ModelDir::load(dir, device).hint(IMPORT_HINT)
}

/// Where model directories come from.
pub const IMPORT_HINT: &str = "`efficientbert import` makes model directories from foreign weights";

/// Checks that the folder that `option` names is there and is no run folder.
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

pub fn load_with_tokenizer(option: &str, dir: &Path, device: &Device) -> Result<(ModelDir, TextEncoder), CliError> {
    let model = load(option, dir, device)?;
    let encoder = tokenizer(option, dir, &model.config)?;
    Ok((model, encoder))
}

/// The tokenizer in the model directory of `config`.
pub fn tokenizer(option: &str, dir: &Path, config: &BertConfig) -> Result<TextEncoder, CliError> {
    let encoder = tokenizer_alone(dir)?;
    check_tables(option, config, &encoder)?;
    Ok(encoder)
}

/// The tokenizer in the model directory `dir`, not compared with the model.
pub fn tokenizer_alone(dir: &Path) -> Result<TextEncoder, CliError> {
    predict::tokenizer(dir).map_err(|error| explained("", error))
}

/// Whether the table of the model that `what` names holds every id that the tokenizer gives.
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

/// Whether the model that `what` names has the segments of its tokenizer, where texts come in pairs, see [`predict::check_segments`].
pub fn check_segments(
    what: &str,
    config: &BertConfig,
    encoder: &TextEncoder,
    pairs: Option<impl std::fmt::Display>,
) -> Result<(), CliError> {
    predict::check_segments(config, encoder, pairs).map_err(|error| explained(what, error))
}

/// Warns of what the files of a tokenizer contradict each other in.
pub fn warn_of(encoder: &TextEncoder, context: &Context) {
    encoder.notes().for_each(|note| context.progress.warn(&note));
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

/// Layers that do not go together were asked for on the command line.
pub fn explained_transfer(error: kd::Error) -> CliError {
    match error {
        kd::Error::Depth(message) => CliError::usage(message),
        other => other.into(),
    }
}

/// Refuses to write a model directory where something is already.
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
