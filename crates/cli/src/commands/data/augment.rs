//! `data augment`.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Once;

use bert_core::WEIGHTS_FILE;
use clap::Args;
use glue_squad::task::{Split, Task, TaskKind};
use kd::augment::{AugmentProgress, AugmentSettings, Augmented, Augmenter, Pairs, WordSource};
use serde_json::{Value, json};

use crate::context::Context;
use crate::device::DeviceKind;
use crate::error::{CliError, ResultExt};
use crate::hub::Named;
use crate::inputs::must_exist;
use crate::output::{print, print_json};
use crate::predictor::PrecisionArgs;
use crate::tasks;
use crate::training::shown;
use crate::units::grouped;
use crate::{interrupt, models};

/// What stands beside the training set: settings, sources and counts.
const RECORD: &str = "augmentation.json";

#[derive(Args, Debug)]
#[command(after_help = "\
Examples
  efficientbert data augment --task rte --data glue --teacher models/minilm --out glue-aug
  efficientbert data augment --task sst-2 --data glue --teacher models/bert-base --out glue-aug --precision bf16
  efficientbert distill ... --task rte --data glue-aug

Every word that is no stop word is replaced with --probability by one of --candidates words, --copies times for each text. The \
masked-language-model head of the teacher says which words fit (`cls.predictions.*`, as BertForMaskedLM has them; a fine-tuned teacher \
has none: name the model that it was made of), its embeddings which are similar. OUT holds the original rows and behind them the copies, \
without repetitions, as train.tsv in GLUE's layout, copies of the development and test files, and augmentation.json with the settings. \
The result is the same whatever the number of threads.")]
pub struct AugmentArgs {
    /// A GLUE task with a training set.
    #[arg(long, value_name = "TASK", value_parser = tasks::parse)]
    task: Task,
    /// Folder of GLUE tasks, the task's own folder, or a training file.
    #[arg(long, value_name = "DIR|FILE")]
    data: PathBuf,
    /// Model directory that proposes words.
    #[arg(long, value_name = "DIR")]
    teacher: PathBuf,
    /// Folder of GLUE tasks to put the task into.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Copies that are drawn for every text.
    #[arg(long, value_name = "N", default_value_t = 20)]
    copies: usize,
    /// Number of words that a word may be replaced by.
    #[arg(long, value_name = "K", default_value_t = 15)]
    candidates: usize,
    /// Probability that a word is replaced.
    #[arg(long, value_name = "P", default_value_t = 0.4)]
    probability: f64,
    /// Where candidates come from.
    #[arg(long, value_enum, value_name = "SOURCE", default_value_t = WordSource::Auto)]
    source: WordSource,
    /// Pairs: whether a copy changes one of its texts or both.
    #[arg(long, value_enum, value_name = "HOW", default_value_t = Pairs::Each)]
    pairs: Pairs,
    /// The head sees the original behind the masked text, as in TinyBERT's released script: candidates are nearer to the word.
    #[arg(long)]
    see_original: bool,
    /// Seed of the draws.
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// Only the first rows of the training set.
    #[arg(long, value_name = "ROWS")]
    limit: Option<usize>,
    #[command(flatten)]
    precision: PrecisionArgs,
    /// Replace what an earlier call has written for the task.
    #[arg(long)]
    force: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl AugmentArgs {
    /// The values that may name something on the Hugging Face hub.
    pub(super) fn named(&mut self) -> Vec<Named<'_>> {
        vec![Named::model("--teacher", &mut self.teacher)]
    }
}

pub fn run(args: &AugmentArgs, context: &Context) -> Result<(), CliError> {
    let task = task(args)?;
    let settings = settings(args);
    settings.check().or_usage()?;
    if context.kind() != DeviceKind::Cpu {
        return Err(CliError::usage("--device: words are looked up on the cpu; leave the option out"));
    }
    must_exist("--data", [&args.data])?;
    let source = TaskFiles::find(task, &args.data)?;
    let folder = args.out.join(task.folder());
    let train = folder.join(task.file_name(Split::Train));
    refuse_occupied(&folder, &source, args.force)?;
    models::check_model_directory("--teacher", &args.teacher)?;
    let encoder = models::tokenizer_alone(&args.teacher)?;
    models::warn_of(&encoder, context);
    let precision = args.precision.precision;
    let augmenter = Augmenter::load(&args.teacher, encoder, settings.clone(), precision, context.threads);
    let mut augmenter = augmenter.hint(models::IMPORT_HINT)?;
    if args.source == WordSource::Auto && !augmenter.uses_mlm() {
        context.progress.message(&format!(
            "{}: no masked-language-model head; candidates are the nearest words of its embeddings",
            args.teacher.display()
        ));
    }
    let record = AugmentationRecord { task, args, settings: &settings, uses_mlm: augmenter.uses_mlm() };
    let inputs = record.inputs(&source)?;
    interrupt::install(&context.progress)?;
    std::fs::create_dir_all(&folder)
        .map_err(|e| CliError::failed(format!("cannot create {}: {e}", folder.display())))?;
    let started = Once::new();
    let mut show = |progress: AugmentProgress| {
        started.call_once(|| context.progress.start("augment", progress.total, "rows"));
        context.progress.step(progress.rows, &[("added", progress.added as f64)]);
        if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let done = augmenter.write(task, &source.train, &train, &mut show);
    context.progress.finish();
    let done = match done {
        Err(kd::Error::Train(train::Error::Interrupted { step })) => {
            return Err(CliError::interrupted(format!("after {step} rows; {} was not written", train.display())));
        }
        done => done?,
    };
    let copied = source.copy_others(&folder)?;
    let report = record.report(&inputs, &done, &copied);
    run_store::atomic::write_json(folder.join(RECORD), &report)?;
    if args.json { print_json(&report) } else { print(&as_text(&done, &train, &copied)) }
}

fn task(args: &AugmentArgs) -> Result<TaskKind, CliError> {
    let (task, answers) = (&args.task, args.task.trained_as());
    if answers != task {
        let message = format!("--task {task}: has no training set; it is answered by a model of {answers}");
        return Err(CliError::usage(message).with_hint(format!("use --task {answers}")));
    }
    if task.is_described() {
        return Err(CliError::usage(format!("--task {task}: only training sets of GLUE are augmented so far")));
    }
    task.glue().ok_or_else(|| {
        let message = format!("--task {task}: answers are spans of the text, which replaced words would change");
        CliError::usage(message).with_hint("TinyBERT, too, trains on SQuAD's own questions only")
    })
}

fn settings(args: &AugmentArgs) -> AugmentSettings {
    AugmentSettings {
        copies: args.copies,
        candidates: args.candidates,
        probability: args.probability,
        source: args.source,
        pairs: args.pairs,
        sees_original: args.see_original,
        seed: args.seed,
        limit: args.limit,
    }
}

/// Files of the task.
struct TaskFiles {
    train: Vec<PathBuf>,
    /// Development and test files and their places in the task's folder.
    others: Vec<(PathBuf, PathBuf)>,
}

impl TaskFiles {
    fn find(task: TaskKind, data: &Path) -> Result<Self, CliError> {
        let (dir, train) = if data.is_file() {
            let parent = data.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            (parent, vec![data.to_owned()])
        } else {
            (data, task.find_all(data, Split::Train).context("--data")?)
        };
        let mut others: Vec<(PathBuf, PathBuf)> = Vec::new();
        // MNLI's folder holds two sets.
        let here = |of: &TaskKind| of.task().trained_as() == task.task() && of.folder() == task.folder();
        let tasks = TaskKind::ALL.into_iter().filter(here);
        for (task, split) in tasks.flat_map(|task| [(task, Split::Dev), (task, Split::Test)]) {
            // A data set may be without; whoever needs the file will say so.
            let Ok((folder, files)) = task.find_in(dir, split) else { continue };
            for file in files {
                let place = file.strip_prefix(&folder).map_or_else(|_| file.clone(), Path::to_owned);
                if !others.iter().any(|(other, _)| *other == file) {
                    others.push((file, place));
                }
            }
        }
        Ok(Self { train, others })
    }

    /// Copies what is not the training set into `folder`; the names.
    fn copy_others(&self, folder: &Path) -> Result<Vec<String>, CliError> {
        let mut copied = Vec::new();
        for (from, place) in &self.others {
            let to = folder.join(place);
            if let Some(parent) = to.parent() {
                std::fs::create_dir_all(parent)
                    .map_err(|e| CliError::failed(format!("cannot create {}: {e}", parent.display())))?;
            }
            let mut file = std::fs::File::open(from)
                .map_err(|e| CliError::failed(format!("cannot read {}: {e}", from.display())))?;
            run_store::atomic::write_with(&to, |out| std::io::copy(&mut file, out).map(|_| ()))?;
            copied.push(place.display().to_string());
        }
        Ok(copied)
    }
}

/// Before anything is read: what is there stays unless `force` is given, and the data is never replaced by its copies.
fn refuse_occupied(folder: &Path, source: &TaskFiles, force: bool) -> Result<(), CliError> {
    let place = std::fs::canonicalize(folder).ok();
    for path in source.train.iter().chain(source.others.iter().map(|(path, _)| path)) {
        let inside = std::fs::canonicalize(path).ok().zip(place.as_ref());
        if inside.is_some_and(|(path, place)| path.starts_with(place)) {
            let message = format!("--out: {} is the folder of the data itself", folder.display());
            return Err(CliError::usage(message).with_hint("name another folder"));
        }
    }
    if force && folder.join(RECORD).is_file() {
        return Ok(());
    }
    models::refuse_occupied(folder).map_err(|error| {
        if force && folder.is_dir() {
            let message =
                format!("--out {}: has no {RECORD}, so nothing says that an earlier call wrote it", folder.display());
            return CliError::usage(message)
                .with_hint("nothing was changed; remove what is not needed, or name another folder");
        }
        CliError::usage(error.message())
            .with_hint("nothing was changed; --force replaces what an earlier call has written")
    })
}

/// What is written about a run.
struct AugmentationRecord<'a> {
    task: TaskKind,
    args: &'a AugmentArgs,
    settings: &'a AugmentSettings,
    uses_mlm: bool,
}

impl AugmentationRecord<'_> {
    /// Names and digests of what is read.
    fn inputs(&self, source: &TaskFiles) -> Result<Value, CliError> {
        let digest = |path: &Path| -> Result<Value, CliError> {
            Ok(json!({ "path": shown(path), "sha256": run_store::hash::file(path)? }))
        };
        let train = source.train.iter().map(|path| digest(path)).collect::<Result<Vec<_>, _>>()?;
        Ok(json!({ "train": train, "teacher": digest(&self.args.teacher.join(WEIGHTS_FILE))? }))
    }

    fn report(&self, inputs: &Value, done: &Augmented, copied: &[String]) -> Value {
        let source = match (self.settings.source, self.uses_mlm) {
            (WordSource::Mlm, _) => "mlm",
            (WordSource::Auto, true) => "mlm and embeddings",
            _ => "embeddings",
        };
        json!({
            "task": self.task.name(), "out": shown(&self.args.out), "teacher": shown(&self.args.teacher), "source": source,
            "precision": if self.uses_mlm { self.args.precision.precision.name() } else { "f32" },
            "settings": self.settings, "inputs": inputs, "counts": done, "copied": copied,
            "version": env!("CARGO_PKG_VERSION"),
        })
    }
}

fn as_text(done: &Augmented, train: &Path, copied: &[String]) -> String {
    let Augmented { rows, added, dropped, words, words_by_mlm } = *done;
    let others = if copied.is_empty() { "no other files".to_owned() } else { copied.join(", ") };
    format!(
        "{} rows and {} copies of them, {} repetitions left out: {}\n\
         {} words that may be replaced, {} with candidates of the masked-language-model head\n\
         copied beside it: {others}\n",
        grouped(rows),
        grouped(added),
        grouped(dropped),
        train.display(),
        grouped(words),
        grouped(words_by_mlm),
    )
}
