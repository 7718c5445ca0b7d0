//! `trim`: a model with the word pieces that texts need.

use std::path::PathBuf;

use bert_core::{ModelDir, Package};
use clap::Args;
use glue_squad::task::Task;
use model_dir::card_with;
use pipeline::corpus::Corpus;
use pipeline::vocabulary::{Asked, OnDev, Sizes, Texts, Trim};
use serde_json::json;

use crate::context::Context;
use crate::error::CliError;
use crate::hub::Named;
use crate::inputs::must_all_exist;
use crate::models::{check_segments, load_with_tokenizer, origin, refuse_occupied, warn_of};
use crate::output::{print, print_json, table};
use crate::own_task::{ChosenData, OwnTaskArgs};
use crate::training::shown;
use crate::trim_vocab::stopped;
use crate::units::grouped;
use crate::{interrupt, tasks};

#[derive(Args, Debug)]
#[command(after_help = "\
Examples
  efficientbert trim --model teachers/sst-2 --task sst-2 --data glue --out small
  efficientbert trim --model minilm --train reviews.csv --text review --label stars --out small
  efficientbert trim --model minilm --corpus text/ --at-least 5 --out small

The model keeps its heads and weights; of the word table, and of a masked-language-model head, the rows of the kept pieces stay. A text of \
kept pieces is answered as before, to the bit. What is lost on other texts is measured on the dev sets of the tasks. `--trim-vocab` of \
`compress`, `search` and `distill` does the same to the teacher first.")]
pub struct TrimArgs {
    /// Model directory, or a checkpoint of transformers: a folder, or its name on the Hugging Face hub.
    #[arg(long, value_name = "DIR|ORG/NAME")]
    model: PathBuf,
    /// The task whose training texts decide: a name, or a TOML file that describes one; may be repeated.
    #[arg(long = "task", value_name = "TASK|FILE", value_parser = tasks::parse, required_unless_present_any = ["train", "corpus"])]
    tasks: Vec<Task>,
    /// Folder of GLUE tasks or of SQuAD, or of the files of a described task.
    #[arg(long, value_name = "DIR", requires = "tasks")]
    data: Option<PathBuf>,
    /// Texts that decide, in place of a task's: text files, or folders of .txt files.
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with_all = ["tasks", "train"])]
    corpus: Vec<PathBuf>,
    /// Keep pieces that stand so often at least in the texts.
    #[arg(long, value_name = "TIMES", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    at_least: u32,
    /// The model directory to make; it must not exist or be empty.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    own: OwnTaskArgs,
}

impl TrimArgs {
    /// The values that may name something on the Hugging Face hub.
    pub(super) fn named(&mut self) -> Vec<Named<'_>> {
        let mut named = self.own.named();
        named.push(Named::model("--model", &mut self.model));
        named
    }
}

pub fn run(args: &TrimArgs, context: &Context) -> Result<(), CliError> {
    refuse_occupied(&args.out)?;
    let ChosenData { tasks, data } = args.own.or_of(&args.tasks, args.data.as_deref(), context)?;
    let data = data.unwrap_or_default();
    let inputs = args.corpus.iter().map(|path| ("--corpus", path.as_path()));
    must_all_exist(inputs.chain((!tasks.is_empty()).then_some(("--data", data.as_path()))))?;
    let corpus = Corpus::find(&args.corpus)?;
    let (model, encoder) = load_with_tokenizer("--model", &args.model, context)?;
    check_segments("--model", &model.config, &encoder, tasks.iter().find(|task| task.is_pair()))?;
    warn_of(&encoder, context);
    interrupt::install(&context.progress)?;
    let texts = match tasks.is_empty() {
        true => Texts::Corpus(&corpus),
        false => Texts::Tasks { tasks: &tasks, data: &data, most: None },
    };
    let positions = model.config.max_position_embeddings;
    let trim = Trim::of(&encoder, texts, positions, args.at_least, interrupt::flag()).map_err(stopped)?;
    context.progress.message(&trim.said());
    let trimmed = trim.model(&model, &context.device)?;
    let on_dev = |task| {
        let asked = Asked { task, data: &data, positions, models: Some(([&model, &trimmed], usize::MAX)) };
        OnDev::of(&trim, &asked, &context.device, interrupt::flag()).map_err(stopped)
    };
    let asked = tasks.iter().filter(|task| task.squad().is_none() || data.is_dir());
    let dev = asked.map(on_dev).collect::<Result<Vec<OnDev>, CliError>>()?;
    let name = args.out.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let lines: String = dev.iter().map(|lost| format!("\n{lost}.\n")).collect();
    let card = format!("# {name}\n\n`{}` with fewer word pieces: {}.\n{lines}", shown(&args.model), trim.said());
    let card = card_with(&card, &origin(&args.model), &[]);
    let files = trim.encoder.files(positions)?;
    let package = Package { card: &card, files: &files, keep_fit: true };
    ModelDir::save(&args.out, &trimmed.config, &trimmed.model, package)?;
    show(args, Sizes::of(&model, &trimmed), &dev)
}

fn show(args: &TrimArgs, sizes: Sizes, dev: &[OnDev]) -> Result<(), CliError> {
    if args.json {
        return print_json(&json!({ "out": args.out, "sizes": sizes, "dev": dev }));
    }
    let two = |[before, after]: [u64; 2]| [grouped(before), grouped(after)];
    let percent = |part: f64| format!("{:.2}%", 100.0 * part);
    let row = |name: String, [before, after]: [String; 2]| vec![name, before, after];
    let mut rows = vec![
        row("word pieces".into(), two(sizes.pieces.map(|pieces| pieces as u64))),
        row("parameters".into(), two(sizes.params)),
        row("bytes of weights".into(), two(sizes.bytes)),
    ];
    for lost in dev {
        let of_dev = |what: &str| format!("{} dev: {what}", lost.task);
        rows.push(row(of_dev("tokens encoded otherwise"), [String::new(), percent(lost.changed_part())]));
        rows.push(row(of_dev("unknown tokens"), lost.unknown.map(percent)));
        if let Some(score) = lost.score {
            rows.push(row(of_dev("score"), score.values.map(|value| format!("{:.2}", 100.0 * value))));
        }
    }
    print(&table(&["", "before", "after"], &rows, false))
}
