//! `import`: foreign weights become a model directory.

use std::path::{Path, PathBuf};

use bert_core::{BertConfig, ModelDir, Package, TaskModel};
use clap::{Args, ValueEnum};
use pipeline::import::{ImportError, Imported, Remedy, Source, import, tokenizer_files};
use serde_json::json;

use crate::context::Context;
use crate::error::CliError;
use crate::inputs::must_exist;
use crate::models::refuse_occupied;
use crate::output::print_json;
use crate::tasks;
use crate::units::{gmac, grouped};

#[derive(Args, Debug)]
#[command(after_help = "\
Examples
  efficientbert import bert-base/model.safetensors --config bert-base/config.json --format hf --out models/bert-base
  efficientbert import released.bin --config released.json --format reference --out models/efficientbert

A reference configuration is JSON: {\"config\": {sizes as in the released code}, \"ffn_expressions\": [one for each layer]}.")]
pub struct ImportArgs {
    /// A safetensors file, or a PyTorch file, of which only data is read and no code is run; or the index of several such files,
    /// e.g. model.safetensors.index.json.
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
    /// Hugging Face: BERT, MobileBERT, RoBERTa, XLM-RoBERTa, CamemBERT, DistilBERT, ELECTRA, and model directories of this program.
    Hf,
    /// EfficientBERT's released code.
    Reference,
}

impl Format {
    fn of_library(self) -> pipeline::import::Format {
        match self {
            Self::Hf => pipeline::import::Format::HuggingFace,
            Self::Reference => pipeline::import::Format::Reference,
        }
    }
}

pub fn run(args: &ImportArgs, context: &Context) -> Result<(), CliError> {
    must_exist("WEIGHTS", [&args.weights])?;
    must_exist("--config", [&args.config])?;
    refuse_occupied(&args.out)?;
    for (option, given) in [("--task", args.task.is_some()), ("--encoder-only", args.encoder_only)] {
        if given && args.format == Format::Reference {
            return Err(CliError::usage(format!("{option} has no effect with --format reference")));
        }
    }
    if args.weights.is_dir() {
        return Err(CliError::usage(format!("WEIGHTS {}: is a folder", args.weights.display()))
            .with_hint("name the weight file in it, such as model.safetensors or model.safetensors.index.json"));
    }
    let source = Source {
        weights: &args.weights,
        config: &args.config,
        format: args.format.of_library(),
        task: args.task.as_deref(),
        task_word: "--task",
        encoder_only: args.encoder_only,
    };
    let mut notes = Vec::new();
    let imported = import(&source, &context.device, &mut notes);
    let files = imported
        .as_ref()
        .ok()
        .map(|imported| tokenizer_files(&args.weights, imported.config.max_position_embeddings, &mut notes));
    context.progress.tell(&notes);
    let Imported { config, model } = imported.map_err(|error| explained(args, error))?;
    let files = files.transpose()?.unwrap_or_default();
    if let Some(task) = args.task.as_ref().filter(|task| tasks::parse(task).is_err()) {
        let near = tasks::closest(task).map_or_else(String::new, |near| format!("; did you mean {near}?"));
        context
            .progress
            .warn(&format!("--task {task}: no task that this program knows; `predict` answers for it{near}"));
    }
    let card = card(args, &config, &model);
    ModelDir::save(&args.out, &config, &model, Package { card: &card, files: &files, keep_fit: true })?;
    let count = model.count(config.max_position_embeddings.min(128));
    print_json(&json!({
        "out": args.out,
        "model_type": config.model_type,
        "params": count.params(),
        "params_without_fit": count.params_without_fit(),
        "tokenizer": files.iter().map(|(name, _)| name).collect::<Vec<_>>(),
    }))
}

/// What is wrong, in terms of the options, and what to do about it.
fn explained(args: &ImportArgs, error: ImportError) -> CliError {
    let way_out = |remedy: Remedy| match remedy {
        Remedy::Mend => None,
        Remedy::EncoderOnly => Some("--encoder-only imports the encoder alone".to_owned()),
        Remedy::TrainedTask => Some("--task names the task that the head was trained on".into()),
        Remedy::TrainedTaskOrClasses => {
            Some("--task names the task that the head was trained on; id2label names its classes".into())
        }
        Remedy::ClassOf(ending) => {
            Some(format!("a class that ends in {ending} is needed; --encoder-only imports the encoder alone"))
        }
    };
    match &error {
        ImportError::TaskUnknown { span: true } => CliError::usage(error.to_string())
            .with_hint("name it with --task squad-v1 or squad-v2, or leave it behind with --encoder-only"),
        ImportError::TaskUnknown { span: false } => CliError::usage(error.to_string())
            .with_hint("name it with --task, or leave it behind with --encoder-only"),
        ImportError::HeadsNamed => CliError::usage(format!("--task: {error}")),
        ImportError::Task { remedy, .. } => CliError::usage(error.to_string()).with_hints(way_out(*remedy)),
        ImportError::Head { remedy, .. } => CliError::usage(error.to_string()).with_hints(way_out(*remedy)),
        ImportError::MobileBertKey { .. } => CliError::from(error).with_hint(
            "where it is absent, transformers takes \"relu\" and \"no_norm\", and directories that this program wrote earlier mean \
             \"gelu\" and \"layer_norm\"; add what is meant",
        ),
        ImportError::UntiedWords { .. } => CliError::from(error).with_hint(
            "a masked-LM head is supported with the word table as its output weights; --encoder-only leaves it behind",
        ),
        ImportError::Config(_) => CliError::from(error).with_hint("--config takes the checkpoint's config.json"),
        ImportError::ReferenceConfig { .. } => CliError::from(error)
            .with_hint("a reference configuration is {\"config\": {...}, \"ffn_expressions\": [...]}"),
        ImportError::Weights(_) => CliError::from(error)
            .with_hint("WEIGHTS is a .safetensors file, a PyTorch file such as pytorch_model.bin, or the .index.json of several"),
        ImportError::Misfit(_) if args.format == Format::Hf && !args.encoder_only => CliError::from(error).with_hint(
            "the weights must belong to --config; --encoder-only leaves behind what is outside the encoder",
        ),
        ImportError::Misfit(_) | ImportError::Foreign { .. } => {
            CliError::from(error).with_hint("the weights must belong to --config")
        }
        ImportError::Unbuildable { .. } | ImportError::Tokenizer(_) => error.into(),
    }
}

fn card(args: &ImportArgs, config: &BertConfig, model: &TaskModel) -> String {
    let name = |path: &Path| path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let count = model.count(config.max_position_embeddings.min(128));
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
