//! `import`: foreign weights become a model directory.

mod heads;
mod hf;
mod left_behind;
mod reference;

use std::path::{Path, PathBuf};

use bert_core::{BertConfig, ModelDir, Package, TaskModel};
use clap::{Args, ValueEnum};
use serde_json::json;
use tokenizer::TextEncoder;

use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::inputs::must_exist;
use crate::models::{refuse_occupied, warn_of};
use crate::output::print_json;
use crate::units::{gmac, grouped};

#[derive(Args, Debug)]
#[command(after_help = "\
Examples
  efficientbert import bert-base/model.safetensors --config bert-base/config.json --format hf --out models/bert-base
  efficientbert import released.bin --config released.json --format reference --out models/efficientbert

A reference configuration is JSON: {\"config\": {sizes as in the released code}, \"ffn_expressions\": [one for each layer]}.")]
pub struct ImportArgs {
    /// A safetensors file, or a PyTorch file, of which only data is read and no code is run.
    #[arg(value_name = "WEIGHTS")]
    weights: PathBuf,
    /// The model's configuration.
    #[arg(long, value_name = "JSON")]
    config: PathBuf,
    /// Whose names the tensors carry.
    #[arg(long, value_enum)]
    format: Format,
    /// The model directory to make; it must not exist or be empty.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Task of the head that the file holds, e.g. sst-2; squad-v1 or squad-v2 where it marks spans (hf only).
    #[arg(long, value_name = "TASK", conflicts_with = "encoder_only")]
    task: Option<String>,
    /// Leave behind all that is outside the encoder: heads, projections, whatever else the file holds (hf only).
    #[arg(long)]
    encoder_only: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// Hugging Face: BERT, MobileBERT, and model directories of this program.
    Hf,
    /// EfficientBERT's released code.
    Reference,
}

/// What an importer hands back.
struct Imported {
    config: BertConfig,
    model: TaskModel,
}

pub fn run(args: &ImportArgs, context: &Context) -> Result<(), CliError> {
    must_exist("WEIGHTS", [&args.weights])?;
    must_exist("--config", [&args.config])?;
    refuse_occupied(&args.out)?;
    let imported = match args.format {
        Format::Hf => hf::import(args, context)?,
        Format::Reference => reference::import(args, context)?,
    };
    let Imported { config, model } = imported;
    let beside = args.weights.parent().unwrap_or(Path::new("."));
    let beside = if beside.as_os_str().is_empty() { Path::new(".") } else { beside };
    let files = tokenizer(beside, config.max_position_embeddings, context)?;
    let card = card(args, &config, &model);
    ModelDir::save(&args.out, &config, &model, Package { card: &card, files: &files, keep_fit: true })?;
    let count = model.count(&config, config.max_position_embeddings.min(128));
    print_json(&json!({
        "out": args.out,
        "model_type": config.model_type,
        "params": count.params(),
        "params_without_fit": count.params_without_fit(),
        "tokenizer": files.iter().map(|(name, _)| name).collect::<Vec<_>>(),
    }))
}

/// The files of the tokenizer that stands beside the weights, for a model of `positions`; as they are where no tokenizer can be
/// made of them.
fn tokenizer(beside: &Path, positions: usize, context: &Context) -> Result<Vec<(String, Vec<u8>)>, CliError> {
    let has = |name: &str| beside.join(name).is_file();
    if !has("tokenizer.json") && !has("vocab.txt") {
        context.progress.warn(
            "neither tokenizer.json nor vocab.txt stands beside the weights; copy the one that belongs to them into the model \
             directory before text is read with it",
        );
        return Ok(model_dir::tokenizer_files(beside)?);
    }
    if !has("tokenizer.json") {
        context
            .progress
            .message("no tokenizer.json stands beside the weights; vocab.txt is used, and one is made of it");
    }
    let read = TextEncoder::from_dir(beside).and_then(|encoder| Ok((encoder.files(positions)?, encoder)));
    match read {
        Ok((files, encoder)) => {
            warn_of(&encoder, context);
            Ok(files)
        }
        Err(error) => {
            context.progress.warn(&format!("{error}; the files of the tokenizer are copied as they are"));
            Ok(model_dir::tokenizer_files(beside)?)
        }
    }
}

/// Reads the weight file, whichever of the two formats it has.
fn read_weights(path: &Path) -> Result<bert_core::weights::Tensors, CliError> {
    if path.is_dir() {
        return Err(CliError::usage(format!("WEIGHTS {}: is a folder", path.display()))
            .with_hint("name the weight file in it, such as model.safetensors"));
    }
    bert_core::weights::read(path).hint("WEIGHTS is a .safetensors file, or a PyTorch file such as pytorch_model.bin")
}

fn card(args: &ImportArgs, config: &BertConfig, model: &TaskModel) -> String {
    let name = |path: &Path| path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let count = model.count(config, config.max_position_embeddings.min(128));
    let format = match args.format {
        Format::Hf => "Hugging Face's tensor names",
        Format::Reference => "the tensor names of EfficientBERT's released code",
    };
    format!(
        "# {}\n\nImported from `{}` ({format}) by `efficientbert import`; the weights were not changed except for being cut to \
         the sizes in `config.json`.\n\n| | |\n|---|---|\n| layers | {} |\n| hidden width | {} |\n| parameters | {} |\n\
         | multiply-adds, {} tokens | {:.3} GMAC |\n\nScores and latency have not been measured.\n",
        name(&args.out),
        name(&args.weights),
        config.num_hidden_layers,
        config.hidden_size,
        grouped(count.params()),
        count.seq,
        gmac(count.macs()),
    )
}
