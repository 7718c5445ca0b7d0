//! Model directories as commands take and make them.

use std::path::{Path, PathBuf};

use ::hub::repo_of_snapshot;
use bert_core::{BertConfig, CONFIG_FILE, ModelDir};
use model_dir::Origin;
use pipeline::import::{Checkpoint, Format, ImportError, Imported, Source, import_named, must_be_imported};
use pipeline::input_files::model_files;
use predict::Error;
use run_store::similar::closest;
use tokenizer::TextEncoder;

use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::hub;
use crate::inputs::{quoted, refuse_run_folder};

/// Loads the model directory that `option` names, with hints for the usual mistakes. A checkpoint of `transformers` is imported into
/// memory.
pub fn load(option: &str, dir: &Path, context: &Context) -> Result<ModelDir, CliError> {
    load_parts(option, dir, Heads::Wanted, context)
}

/// Whether heads of a checkpoint that is imported are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heads {
    Wanted,
    /// Those that cannot be imported are left behind.
    Unused,
}

fn load_parts(option: &str, dir: &Path, heads: Heads, context: &Context) -> Result<ModelDir, CliError> {
    check_folder(option, dir)?;
    if must_be_imported(dir) {
        return imported(option, dir, heads, context);
    }
    let error = match ModelDir::load(dir, &context.device) {
        Ok(model) => return Ok(model),
        Err(error) => error,
    };
    // A BERT of `transformers` may have names of earlier days, and heads of pre-training or without the names of their tasks.
    match imported(option, dir, heads, context) {
        Ok(model) => Ok(model),
        Err(_) => Err(error).hint(import_hint(dir)),
    }
}

/// The checkpoint in `dir` as the model directory that `import` would make of it.
fn imported(option: &str, dir: &Path, heads: Heads, context: &Context) -> Result<ModelDir, CliError> {
    let Some(Checkpoint { weights, config }) = Checkpoint::in_folder(dir) else {
        return Err(CliError::failed(format!("{option} {}: holds no checkpoint", dir.display())));
    };
    let name = hub::last_name(dir);
    let source = Source {
        weights: &weights,
        config: &config,
        format: Format::HuggingFace,
        task: None,
        task_word: "--task of `efficientbert import`",
        encoder_only: false,
        pooling: None,
    };
    let mut notes = Vec::new();
    let done = match import_named(&source, &name, &context.device, &mut notes) {
        Err(
            ImportError::TaskUnknown { .. }
            | ImportError::Task { .. }
            | ImportError::Head { .. }
            | ImportError::Modules(_),
        ) if heads == Heads::Unused => {
            notes.clear();
            import_named(&Source { encoder_only: true, ..source }, &name, &context.device, &mut notes)
        }
        done => done,
    };
    let Imported { config, model } = done.map_err(|error| CliError::from(error).with_hint(import_hint(dir)))?;
    context
        .progress
        .message(&format!("{option} {}: a checkpoint of transformers, imported into memory", hub::shown(dir)));
    context.progress.tell(&notes);
    Ok(ModelDir { path: dir.to_path_buf(), config, model })
}

/// Where what is made from the model in `dir` comes from, for its card.
pub fn origin(dir: &Path) -> Origin {
    let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    Origin::of(dir, repo_of_snapshot(&absolute).map(|repo| repo.name().to_owned()))
}

/// How the model directory is made that `dir` is not.
pub fn import_hint(dir: &Path) -> String {
    if Checkpoint::in_folder(dir).is_none() {
        return IMPORT_HINT.to_owned();
    }
    let source = repo_of_snapshot(dir).map_or_else(|| quoted(dir), |repo| repo.to_string());
    let out = Path::new("models").join(hub::last_name(dir));
    format!("{IMPORT_HINT}: efficientbert import {source} --out {}", quoted(&out))
}

/// [`check_folder`] for what reads model directories alone: a checkpoint of another family must be imported before.
pub fn check_model_directory(option: &str, dir: &Path) -> Result<(), CliError> {
    check_folder(option, dir)?;
    if !must_be_imported(dir) {
        return Ok(());
    }
    let message = format!("{option} {}: a checkpoint of transformers, which has to be imported first", hub::shown(dir));
    Err(CliError::usage(message).with_hint(import_hint(dir)))
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
    if hub::may_be_model(dir) {
        let named = dir.display();
        return Err(error.with_hint(format!("hf:{named} is the model {named} of the Hugging Face hub")));
    }
    Err(error.with_hint("a model directory holds config.json and model.safetensors; `efficientbert import` makes one"))
}

pub fn load_with_tokenizer(option: &str, dir: &Path, context: &Context) -> Result<(ModelDir, TextEncoder), CliError> {
    let model = load(option, dir, context)?;
    let encoder = tokenizer(option, dir, &model.config)?;
    Ok((model, encoder))
}

/// As [`load_with_tokenizer`], for a model that is read from its directory again: a checkpoint has to be imported before.
pub fn load_directory(option: &str, dir: &Path, context: &Context) -> Result<(ModelDir, TextEncoder), CliError> {
    check_model_directory(option, dir)?;
    let model = ModelDir::load(dir, &context.device).hint(import_hint(dir))?;
    let encoder = tokenizer(option, dir, &model.config)?;
    Ok((model, encoder))
}

/// As [`load_with_tokenizer`], for a model that gets new heads.
pub fn load_for_new_heads(option: &str, dir: &Path, context: &Context) -> Result<(ModelDir, TextEncoder), CliError> {
    let model = load_parts(option, dir, Heads::Unused, context)?;
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
