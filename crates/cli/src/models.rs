//! Model directories as commands take and make them.

use std::path::Path;

use bert_core::BertConfig;
use burn::tensor::Device;
use glue_squad::tokenizer::TextEncoder;
use kd::transfer::continue_from;
use searched_ffn::{AnyModel, ModelDir};

use crate::context::Context;
use crate::error::{CliError, ResultExt};

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
/// There is no such folder.
pub fn check_folder(option: &str, dir: &Path) -> Result<(), CliError> {
    if dir.is_dir() {
        return Ok(());
    }
    Err(CliError::usage(format!("{option} {}: no such folder", dir.display()))
        .with_hint("a model directory holds config.json and model.safetensors; `efficientbert import` makes one"))
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
    TextEncoder::from_dir(dir)
        .hint("copy the tokenizer.json (or vocab.txt) that belongs to the model into its directory")
}

/// Whether the model's tables hold every id and segment that the tokenizer gives.
///
/// # Errors
/// A table is too small; the message names the field.
pub fn check_tables(what: &str, config: &BertConfig, encoder: &TextEncoder) -> Result<(), CliError> {
    let (pieces, rows) = (encoder.vocab_size(), config.vocab_size);
    if pieces > rows {
        return Err(CliError::failed(format!(
            "{what}: the tokenizer has {pieces} word pieces, the model's `vocab_size` is {rows}; they do not belong together"
        )));
    }
    if config.type_vocab_size < 2 {
        let message = format!("{what}: `type_vocab_size` is {}; text pairs need 2", config.type_vocab_size);
        return Err(CliError::failed(message));
    }
    Ok(())
}

/// Files of the tokenizer as they go into a new model directory: copied, and `tokenizer.json` in any case.
///
/// # Errors
/// A file exists and cannot be read.
pub fn tokenizer_files(dir: &Path, encoder: &TextEncoder) -> Result<Vec<(String, Vec<u8>)>, CliError> {
    let mut files = ModelDir::tokenizer_files(dir)?;
    if !files.iter().any(|(name, _)| name == "tokenizer.json") {
        files.push(("tokenizer.json".into(), encoder.to_json()?));
    }
    Ok(files)
}

/// `wanted` tokens, or as many as the shortest position table allows.
pub fn capped_length(wanted: u32, positions: usize, context: &Context) -> usize {
    let wanted = wanted as usize;
    if wanted > positions {
        context.progress.message(&format!("--max-len {wanted}: cut to the model's {positions} positions"));
    }
    wanted.min(positions)
}

/// `fresh` with encoder and pooler of `loaded`, see [`continue_from`].
///
/// # Errors
/// The models are of different kinds or sizes.
pub fn continued(fresh: AnyModel, loaded: &ModelDir) -> Result<AnyModel, CliError> {
    let source = &loaded.path;
    match (fresh, &loaded.model) {
        (AnyModel::Plain(f), AnyModel::Plain(l)) => Ok(AnyModel::Plain(continue_from(f, l, source)?)),
        (AnyModel::Searched(f), AnyModel::Searched(l)) => Ok(AnyModel::Searched(continue_from(f, l, source)?)),
        (fresh, _) => {
            let (new, old) = match fresh {
                AnyModel::Plain(_) => ("plain", "searched"),
                AnyModel::Searched(_) => ("searched", "plain"),
            };
            let message = format!("{}: has {old} feed-forwards, the new model {new} ones", source.display());
            Err(CliError::failed(message))
        }
    }
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
