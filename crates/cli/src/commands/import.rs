//! `import`: foreign weights become a model directory.

use std::path::{Path, PathBuf};

use bert_core::{BertConfig, CONFIG_FILE, ModelDir, Package, Pooling, TaskModel};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use model_dir::{FOREIGN_WEIGHTS, card_with};
use pipeline::import::{
    Checkpoint, ImportError, Imported, Remedy, Source, format_of, import, import_named, tokenizer_files,
};
use serde_json::json;

use crate::context::Context;
use crate::error::CliError;
use crate::hub::{self, Named};
use crate::inputs::{must_exist, refuse_run_folder};
use crate::models::{origin, refuse_occupied};
use crate::output::print_json;
use crate::tasks;
use crate::units::{gmac, grouped};

#[derive(Args, Debug)]
#[command(after_help = "\
Examples
  efficientbert import google-bert/bert-base-uncased --out models/bert-base
  efficientbert import FacebookAI/roberta-base@main --out models/roberta-base
  efficientbert import downloads/bert-sst2 --task sst-2 --out models/bert-sst2
  efficientbert import bert-base/model.safetensors --config bert-base/config.json --out models/bert-base
  efficientbert import released.bin --config released.json --out models/efficientbert

Of a folder and of a model on the Hugging Face hub the weights are found as transformers finds them: model.safetensors, its index, \
pytorch_model.bin, its index. A head of which nothing says a task is taken as that of the task in the model's name, else as one of a \
task of that name; what is taken is said. Files of the hub stand in the cache of Hugging Face's own programs; `efficientbert --help` names \
the variables of the environment.

A reference configuration is JSON: {\"config\": {sizes as in the released code}, \"ffn_expressions\": [one for each layer]}.")]
pub struct ImportArgs {
    /// A folder with configuration and weights; a model of the Hugging Face hub, ORG/NAME or ORG/NAME@REVISION; or a file of weights:
    /// safetensors, PyTorch, of which only data is read and no code is run, or the index of several such files, e.g.
    /// model.safetensors.index.json.
    #[arg(value_name = "SOURCE")]
    source: PathBuf,
    /// The model's configuration [default: the config.json beside the weights].
    #[arg(long, value_name = "JSON")]
    config: Option<PathBuf>,
    /// Whose names the tensors carry [default: as the configuration looks].
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The model directory to make; it must not exist or be empty.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Task of the head that the file holds, e.g. sst-2; squad-v1 or squad-v2 where it marks spans (hf only). It must be named for a
    /// file of weights, and is found for a folder.
    #[arg(long, value_name = "TASK", conflicts_with = "encoder_only")]
    task: Option<String>,
    /// Leave behind all that is outside the encoder: heads, projections, whatever else the file holds (hf only).
    #[arg(long)]
    encoder_only: bool,
    /// Make it a model of vectors of length 1, pooled so from the hidden states of a text (hf only) [default: as the modules.json of
    /// sentence-transformers has it, where there is one].
    #[arg(long, value_name = "POOLING", value_parser = poolings())]
    pooling: Option<Pooling>,
}

fn poolings() -> impl TypedValueParser<Value = Pooling> {
    let named = |name: String| Pooling::ALL.into_iter().find(|p| p.name() == name).expect("a possible value");
    PossibleValuesParser::new(Pooling::ALL.map(Pooling::name)).map(named)
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

    fn of(config: &Path) -> Self {
        match format_of(config) {
            pipeline::import::Format::HuggingFace => Self::Hf,
            pipeline::import::Format::Reference => Self::Reference,
        }
    }
}

impl ImportArgs {
    /// The values that may name something on the Hugging Face hub.
    pub(super) fn named(&mut self) -> Vec<Named<'_>> {
        vec![Named::model("SOURCE", &mut self.source)]
    }

    /// The files of the source.
    fn checkpoint(&self) -> Result<Checkpoint, CliError> {
        if self.source.is_dir() {
            refuse_run_folder("SOURCE", &self.source)?;
        }
        let beside = |weights: &Path| weights.with_file_name(CONFIG_FILE);
        let found = match self.source.is_dir() {
            true => Checkpoint::in_folder(&self.source).or_else(|| self.with_own_config()),
            false => Some(Checkpoint { config: beside(&self.source), weights: self.source.clone() }),
        };
        let Some(mut found) = found else {
            let message = format!("SOURCE {}: is a folder without a checkpoint", self.source.display());
            let files = FOREIGN_WEIGHTS.join(", ");
            return Err(CliError::usage(message).with_hint(format!("it needs {CONFIG_FILE} and one of {files}")));
        };
        if let Some(config) = &self.config {
            found.config.clone_from(config);
        }
        must_exist("--config", [&found.config])?;
        Ok(found)
    }

    /// The weights of a folder whose configuration stands elsewhere.
    fn with_own_config(&self) -> Option<Checkpoint> {
        let config = self.config.clone()?;
        let weights = FOREIGN_WEIGHTS.iter().map(|name| self.source.join(name)).find(|path| path.is_file())?;
        Some(Checkpoint { weights, config })
    }
}

/// What is imported, and how.
struct Chosen<'a> {
    args: &'a ImportArgs,
    files: Checkpoint,
    format: Format,
}

pub fn run(args: &ImportArgs, context: &Context) -> Result<(), CliError> {
    must_exist("SOURCE", [&args.source]).map_err(|error| match hub::may_be_model(&args.source) {
        true => error.with_hint(format!("hf:{0} is the model {0} of the Hugging Face hub", args.source.display())),
        false => error,
    })?;
    refuse_occupied(&args.out)?;
    let files = args.checkpoint()?;
    let format = args.format.unwrap_or_else(|| Format::of(&files.config));
    let chosen = Chosen { args, files, format };
    for (option, given) in
        [("--task", args.task.is_some()), ("--encoder-only", args.encoder_only), ("--pooling", args.pooling.is_some())]
    {
        if given && format == Format::Reference {
            return Err(CliError::usage(format!("{option} has no effect with --format reference")));
        }
    }
    let weights = &chosen.files.weights;
    let source = Source {
        weights,
        config: &chosen.files.config,
        format: format.of_library(),
        task: args.task.as_deref(),
        task_word: "--task",
        encoder_only: args.encoder_only,
        pooling: args.pooling,
    };
    let mut notes = Vec::new();
    let imported = match args.source.is_dir() {
        true => import_named(&source, &hub::last_name(&args.source), &context.device, &mut notes),
        false => import(&source, &context.device, &mut notes),
    };
    let files = imported
        .as_ref()
        .ok()
        .map(|imported| tokenizer_files(weights, imported.config.max_position_embeddings, &mut notes));
    context.progress.tell(&notes);
    let Imported { config, model } = imported.map_err(|error| explained(&chosen, error))?;
    let files = files.transpose()?.unwrap_or_default();
    if let Some(task) = args.task.as_ref().filter(|task| tasks::parse(task).is_err()) {
        let near = tasks::closest(task).map_or_else(String::new, |near| format!("; did you mean {near}?"));
        context
            .progress
            .warn(&format!("--task {task}: no task that this program knows; `predict` answers for it{near}"));
    }
    let folder = chosen.files.config.parent().unwrap_or(Path::new(""));
    let card = card_with(&card(&chosen, &config, &model), &origin(folder), &[]);
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
fn explained(chosen: &Chosen<'_>, error: ImportError) -> CliError {
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
        ImportError::HeadsNamed => {
            let option = if chosen.args.pooling.is_some() { "--pooling" } else { "--task" };
            CliError::usage(format!("{option}: {error}"))
        }
        ImportError::Modules(_) => CliError::from(error)
            .with_hint("--encoder-only imports the encoder alone; --pooling mean makes vectors of it in this program's way"),
        ImportError::Task { remedy, .. } => CliError::usage(error.to_string()).with_hints(way_out(*remedy)),
        ImportError::Head { remedy, .. } => CliError::usage(error.to_string()).with_hints(way_out(*remedy)),
        ImportError::MobileBertKey { .. } => CliError::from(error).with_hint(
            "where it is absent, transformers takes \"relu\" and \"no_norm\", and directories that this program wrote earlier mean \
             \"gelu\" and \"layer_norm\"; add what is meant",
        ),
        ImportError::UntiedWords { .. } => CliError::from(error).with_hint(
            "a masked-LM head is supported with the word table as its output weights; --encoder-only leaves it behind",
        ),
        ImportError::Config(_) => {
            CliError::from(error).with_hint("--config takes the checkpoint's config.json")
        },
        ImportError::ReferenceConfig { .. } => CliError::from(error)
            .with_hint("a reference configuration is {\"config\": {...}, \"ffn_expressions\": [...]}"),
        ImportError::Weights(_) => CliError::from(error)
            .with_hint("SOURCE is a folder, a .safetensors file, a PyTorch file such as pytorch_model.bin, or the .index.json of several"),
        ImportError::Misfit(_) if chosen.format == Format::Hf && !chosen.args.encoder_only => CliError::from(error).with_hint(
            "the weights must belong to --config; --encoder-only leaves behind what is outside the encoder",
        ),
        ImportError::Misfit(_) | ImportError::Foreign { .. } => {
            CliError::from(error).with_hint("the weights must belong to --config")
        }
        ImportError::Unbuildable { .. } | ImportError::Tokenizer(_) => error.into(),
    }
}

fn card(chosen: &Chosen<'_>, config: &BertConfig, model: &TaskModel) -> String {
    let name = |path: &Path| path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let source = match ::hub::repo_of_snapshot(&chosen.args.source) {
        Some(repo) => format!("{repo}` of the Hugging Face hub, file `{}", name(&chosen.files.weights)),
        None => name(&chosen.files.weights),
    };
    let count = model.count(config.max_position_embeddings.min(128));
    let format = match chosen.format {
        Format::Hf => "Hugging Face's tensor names",
        Format::Reference => "the tensor names of EfficientBERT's released code",
    };
    format!(
        "# {}\n\nImported from `{}` ({format}) by `efficientbert import`; the weights were not changed except for being cut to \
         the sizes in `config.json`.\n\n| | |\n|---|---|\n| layers | {} |\n| hidden width | {} |\n| parameters | {} |\n\
         | multiply-adds, {} tokens | {:.3} GMAC |\n\nScores and latency have not been measured.\n",
        name(&chosen.args.out),
        source,
        config.num_hidden_layers,
        config.hidden_size,
        grouped(count.params()),
        count.seq,
        gmac(count.macs()),
    )
}
