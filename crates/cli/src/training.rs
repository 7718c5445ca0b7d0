//! A training that commands run: its options, its checkpoints beside the model directory to be made, its progress.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

use bert_core::{BertConfig, ModelDir, Package, TaskModel};
use clap::Args;
use pipeline::disk::{Needs, bytes_below, checkpoints, story, weights};
use pipeline::events::{NOTED_WARNING, Pace, RunEvent};
use pipeline::input_files::{Files, digests};
use pipeline::method::Method;
use pipeline::phase::LogLine;
use pipeline::recipe::{Difference, differing_keys};
use run_store::checkpoint::CheckpointStore;
use run_store::lock::Holder;
use run_store::log::JsonlWriter;
use run_store::rundir::{RECIPE, RunFolder};
use serde::Serialize;
use train::data::BatchSettings;
use train::engine::{Job, Monitor, Reached, TrainConfig, TrainEvent, Trained, reached, train};
use train::keys::TrainingKeys;
use train::pretrain::Growing;

use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::given::{GivenOptions, training_folder};
use crate::inputs::nothing_to_resume;
use crate::models::refuse_occupied;
use crate::output::print_json;
use crate::tasks::TrainingTasks;
use crate::tensorboard::Boards;
use crate::training_summary::{TrainingResult, TrainingSummary};
use crate::watch::Watch;
use crate::{environment, free, interrupt};

/// Says that the trained model is being written; from then on `--out` is ours.
const FINISHED: &str = "finished";
/// Examples per step, where nothing says how many.
const BATCH_SIZE: u32 = 32;
/// The learning rate, where nothing says which.
const LEARNING_RATE: f64 = 5e-5;
/// Steps between checkpoints, where nothing says how many.
const CHECKPOINT_EVERY: u64 = 200;
/// Where the checkpoints stand in the folder of a training.
const CHECKPOINTS: &str = "checkpoints";
/// The same, with its number, of a stage of a training in stages.
const STAGE: &str = "stage-";
/// The training's log, in the model directory.
const LOG: &str = "log.jsonl";

/// Options of every training.
#[derive(Args, Debug)]
pub struct TrainingArgs {
    /// The model directory to make; it must be new or empty. Until it is complete, checkpoints are kept in DIR.training.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Continue the training in DIR.training with the options that it was started with. Options that are given again must be the same,
    /// except for paths of inputs that were moved.
    #[arg(long)]
    pub resume: bool,
    /// Seed of everything random.
    #[arg(long, value_name = "N", default_value_t = 42, value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub seed: u64,
    /// Write event files for TensorBoard into DIR.
    #[arg(long, value_name = "DIR")]
    tensorboard: Option<PathBuf>,
    #[command(flatten)]
    keys: TrainingKeys,
    /// Settings of this training, and for `distill` what is learned: mobilebert-auxiliary, mobilebert-joint,
    /// mobilebert-progressive, mobilebert-words, mobilebert-answers, or a TOML file; options take precedence over it.
    #[arg(long = "method", value_name = "NAME|FILE", value_parser = Method::from_str)]
    pub file: Option<Method>,
    /// Everything that was given, for the training that goes on.
    #[arg(skip)]
    pub given: GivenOptions,
}

impl TrainingArgs {
    /// Refuses, before anything is read, what could not be written or resumed in the end.
    ///
    /// # Errors
    /// An occupied or unusable `--out`, nothing to resume, something that only `--resume` may go on with, or a learning
    /// rate that is no positive number.
    pub fn check(&self) -> Result<(), CliError> {
        self.config(1).validate().or_usage()?;
        if let Some(board) = &self.tensorboard {
            Boards::check(board)?;
        }
        if let Some(board) = &self.tensorboard
            && std::path::absolute(board)?.starts_with(std::path::absolute(&self.out)?)
        {
            let message = format!("--tensorboard {}: lies in --out, which the model replaces", board.display());
            return Err(CliError::usage(message).with_hint("name a folder beside it"));
        }
        let folder = self.folder()?;
        let started = folder.join(RECIPE).is_file();
        if self.resume && !started {
            return Err(nothing_to_resume("--resume", &folder, "training", &self.out));
        }
        if !self.resume && started && has_checkpoint(&folder)? {
            let message = format!("{} holds the checkpoints of an unfinished training", folder.display());
            let hint = format!("{}; or name another --out", self.given.resume(&self.out, "cpu"));
            return Err(CliError::usage(message).with_hint(hint));
        }
        if folder.join(FINISHED).is_file() { Ok(()) } else { refuse_occupied(&self.out) }
    }

    /// Where checkpoints stand: beside `--out`, so that both are on one disk.
    fn folder(&self) -> Result<PathBuf, CliError> {
        training_folder(&self.out)
            .ok_or_else(|| CliError::usage(format!("--out {}: does not end in a folder name", self.out.display())))
    }

    /// Whether an option or the method file says how many steps or epochs there are.
    pub fn counts_steps(&self) -> bool {
        let keys = self.keys();
        keys.steps.is_some() || keys.epochs.is_some()
    }

    /// The learning rate where neither an option nor the method file has one.
    pub fn or_learning_rate(&mut self, usual: f64) {
        let learning_rate = self.keys().learning_rate.unwrap_or(usual);
        self.keys.learning_rate = Some(learning_rate);
    }

    /// The settings of both, options before those of the method file.
    fn keys(&self) -> TrainingKeys {
        self.file.as_ref().map_or_else(|| self.keys.clone(), |method| self.keys.or(&method.settings.train))
    }

    /// Optimizer steps over data of `per_epoch` batches.
    pub fn steps(&self, per_epoch: u64) -> u64 {
        let keys = self.keys();
        keys.steps.unwrap_or_else(|| keys.epochs.unwrap_or(1).saturating_mul(per_epoch))
    }

    /// Sequences that the steps need at most; `None` for all there are.
    pub fn sequences(&self) -> Option<usize> {
        let keys = self.keys();
        keys.steps
            .and_then(|s| usize::try_from(s.saturating_mul(u64::from(keys.batch_size.unwrap_or(BATCH_SIZE)))).ok())
    }

    pub fn max_len(&self, chosen: &TrainingTasks) -> u32 {
        self.keys().max_len.unwrap_or_else(|| chosen.default_length())
    }

    /// `--max-len`, where it is given, by the method file too.
    pub fn given_max_len(&self) -> Option<usize> {
        self.keys().max_len.map(|given| given as usize)
    }

    /// Whether more evaluations than one at the end are asked for.
    pub fn evaluates_often(&self) -> bool {
        self.keys().eval_every.is_some_and(|steps| steps > 0)
    }

    pub fn batches(&self, max_len: usize) -> BatchSettings {
        let keys = self.keys();
        let usual = BatchSettings::new(keys.batch_size.unwrap_or(BATCH_SIZE) as usize, max_len, self.seed);
        BatchSettings { length_window: keys.length_window.map_or(usual.length_window, |n| n as usize), ..usual }
    }

    fn config(&self, steps: u64) -> TrainConfig {
        let usual = TrainConfig::new(steps, LEARNING_RATE);
        let usual = TrainConfig { seed: self.seed, checkpoint_every: CHECKPOINT_EVERY, ..usual };
        self.keys().resolve(usual)
    }
}

/// Whether anything of the training in `folder` was saved.
fn has_checkpoint(folder: &Path) -> Result<bool, CliError> {
    let there = |name: &str| Ok::<bool, CliError>(!CheckpointStore::new(folder.join(name), "").steps()?.is_empty());
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let stages: Vec<String> = names.filter(|name| name.starts_with(STAGE)).collect();
    for name in stages.iter().map(String::as_str).chain([CHECKPOINTS]) {
        if there(name)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What decides the result: a resumed training must have the same.
#[derive(Serialize)]
struct RecordedTraining<'a, S> {
    batch_size: usize,
    max_len: usize,
    length_window: usize,
    training: &'a TrainConfig,
    command: &'a S,
    /// SHA-256 of every file that it reads.
    sha256: BTreeMap<String, String>,
}

/// A training with its folder locked.
pub struct Training<'a> {
    context: &'a Context,
    args: &'a TrainingArgs,
    config: TrainConfig,
    folder: RunFolder,
}

impl<'a> Training<'a> {
    /// Opens the training's folder, after everything that can be checked has been; `settings` are the command's own, `files` what it
    /// reads.
    ///
    /// # Errors
    /// Settings that no training has, or none on this device; a folder that cannot be written, is in use, or was started with other
    /// settings or files.
    pub fn open(
        context: &'a Context,
        args: &'a TrainingArgs,
        (steps, max_len): (u64, usize),
        settings: &impl Serialize,
        files: &Files,
    ) -> Result<Self, CliError> {
        let config = args.config(steps);
        config.validate().or_usage()?;
        context.devices.check_precision(config.precision).or_usage()?;
        interrupt::install(&context.progress)?;
        let BatchSettings { batch_size, length_window, .. } = args.batches(max_len);
        let text = toml::to_string_pretty(&RecordedTraining {
            batch_size,
            max_len,
            length_window,
            training: &config,
            command: settings,
            sha256: digests(files)?,
        })?;
        let started = pipeline::summary::utc(environment::now_ms());
        let holder = Holder::this_process(environment::host_name(), started);
        let path = args.folder()?;
        // Without a saved step there is nothing that other options or files could be mixed with.
        let anew = path.join(RECIPE).is_file() && !has_checkpoint(&path)?;
        if anew {
            RunFolder::remove(&path, &holder)?;
            if args.resume {
                context
                    .progress
                    .message(&format!("{}: no step was saved; the training starts from the beginning", path.display()));
            }
        }
        let folder = match args.resume && !anew {
            true => RunFolder::open_for_resume(path, &text, &holder),
            false => RunFolder::create(path, &text, &holder),
        };
        let folder = folder.map_err(|e| match e {
            run_store::Error::RecipeDiffers { path, line, recorded } => {
                let found = differing_keys(&recorded, &text).and_then(|found| told(&found));
                let difference = found.unwrap_or_else(|| format!("line {line} of its {RECIPE} differs"));
                CliError::usage(format!("{} was started with other options or files: {difference}", path.display()))
                    .with_hint("give options and files as they were, or name another --out")
            }
            other => other.into(),
        })?;
        // Of a training that goes on too: what was moved is elsewhere now.
        args.given.save(folder.paths().root())?;
        if let Some(story) = folder.previous().story() {
            context.progress.message(&story);
        }
        Ok(Self { context, args, config, folder })
    }

    /// Runs the training to its end, from the newest checkpoint if there is one.
    ///
    /// # Errors
    /// As [`train`](fn@train); after Ctrl-C a checkpoint is there.
    pub fn run(&self, phase: &str, model: TaskModel, job: &dyn Job<TaskModel>) -> Result<Trained<TaskModel>, CliError> {
        let store = self.store(CHECKPOINTS)?;
        let (far, weights) = (reached(&store)?, weights(&model));
        self.watched(phase, (far, weights), |config, monitor| {
            train(model, &self.context.devices, job, config, Some(&store), monitor)
        })
    }

    /// Checkpoints of stages, as many as there are, each in a folder of its own.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn stage_stores(&self, count: usize) -> Result<Vec<CheckpointStore>, CliError> {
        (0..count).map(|i| self.store(&format!("{STAGE}{}", i + 1))).collect()
    }

    /// [`Training::run`] of a training in stages, of which `largest` is the model with most weights.
    ///
    /// # Errors
    /// As there.
    pub fn run_growing(
        &self,
        phase: &str,
        first: TaskModel,
        largest: &TaskModel,
        growing: &Growing<'_>,
    ) -> Result<Trained<TaskModel>, CliError> {
        let mut far = Reached { step: 0, finished: false };
        for store in growing.stores {
            let stage = reached(store)?;
            far.step = far.step.max(stage.step);
            far.finished = stage.finished;
        }
        // A stage's checkpoints stay until the next one is done.
        self.watched(phase, (far, 2 * weights(largest)), |config, monitor| {
            growing.train(first, &self.context.devices, config, monitor)
        })
    }

    fn store(&self, name: &str) -> Result<CheckpointStore, CliError> {
        let store = CheckpointStore::new(self.folder.paths().root().join(name), self.folder.config_hash());
        store.clean_stale_temps()?;
        Ok(store)
    }

    /// Shows and logs what `work` does, which has come as far as `far` says.
    fn watched(
        &self,
        phase: &str,
        (far, weights): (Reached, u64),
        work: impl FnOnce(&TrainConfig, &mut dyn Monitor) -> train::Result<Trained<TaskModel>>,
    ) -> Result<Trained<TaskModel>, CliError> {
        let done = far.step;
        let watch = Watch::new(&self.context.progress, self.args.tensorboard.as_deref(), false)?;
        let log = JsonlWriter::open(self.folder.paths().log())?;
        let mut recorder = Recorder { phase, watch, log: Some(log), pace: Pace::default() };
        let open = !far.finished;
        let begun = Instant::now();
        if open {
            self.tell_room(weights);
            recorder.record(RunEvent::PhaseStarted { phase: phase.into(), total: self.config.steps, done });
        }
        let trained = work(&self.config, &mut recorder).map_err(|e| match e {
            train::Error::Interrupted { step } => {
                let device = self.context.names.to_string();
                CliError::interrupted(format!("stopped after step {step}; a checkpoint was saved"))
                    .with_hint(self.args.given.resume(&self.args.out, &device))
            }
            other => {
                recorder.record(RunEvent::Failed { message: other.to_string() });
                other.into()
            }
        })?;
        if open {
            let seconds = begun.elapsed().as_secs_f64();
            recorder.record(RunEvent::PhaseFinished { phase: phase.into(), seconds });
        }
        Ok(trained)
    }

    /// Says how much room checkpoints and model will take, and whether the disk has it; `weights` are the model's, in bytes.
    fn tell_room(&self, weights: u64) {
        let folder = self.folder.paths().root();
        // Whether it is evaluated is the job's to say; the larger size is said.
        let most = checkpoints(weights, &self.config, true) + weights;
        let there = bytes_below(folder);
        let free = free::disk(folder).map(|free| free.saturating_add(there));
        for line in story(Needs { most, left: weights }, free) {
            match line.strip_prefix(NOTED_WARNING) {
                Some(warning) => self.context.progress.warn(warning),
                None => self.context.progress.message(&line),
            }
        }
    }

    /// Writes the model directory with the training's log, removes the checkpoints, and says how it ended.
    ///
    /// # Errors
    /// A file cannot be written; the checkpoints stay, and `--resume` tries again.
    pub fn save(
        self,
        (config, model): (&BertConfig, &TaskModel),
        package: Package<'_>,
        done: &TrainingResult,
    ) -> Result<(), CliError> {
        let log = self.folder.paths().log();
        let ending = TrainingSummary::new(&self.args.out, done, &run_store::log::read::<LogLine>(&log)?.records);
        let bytes = std::fs::read(&log).context(format!("cannot read {}", log.display()))?;
        let files: Vec<_> = package.files.iter().cloned().chain([(LOG.to_owned(), bytes)]).collect();
        let package = Package { files: &files, ..package };
        let folder = self.folder.paths().root().to_owned();
        run_store::atomic::write_file(folder.join(FINISHED), b"")?;
        let again = "the training is finished; the same command with --resume writes the model";
        ModelDir::save(&self.args.out, config, model, package).hint(again)?;
        // The lock must end before its file can be removed on every system.
        drop(self.folder);
        if let Err(e) = std::fs::remove_dir_all(&folder) {
            self.context.progress.warn(&format!("cannot remove {}: {e}; it is no longer needed", folder.display()));
        }
        for warning in &ending.warnings {
            self.context.progress.warn(warning);
        }
        self.context.progress.summary(&ending.table());
        print_json(&ending)
    }
}

/// The model of a training, and how far it came.
pub fn taken_apart(trained: Trained<TaskModel>) -> (TaskModel, TrainingResult) {
    let Trained { model, evaluation, step, steps } = trained;
    (model, TrainingResult { steps, step, evaluation, majority: Vec::new() })
}

/// Shows a training's events and logs them.
struct Recorder<'a> {
    phase: &'a str,
    watch: Watch<'a>,
    /// `None` once it could not be written.
    log: Option<JsonlWriter>,
    pace: Pace,
}

impl Recorder<'_> {
    fn record(&mut self, mut event: RunEvent) {
        let time_ms = environment::now_ms();
        self.pace.complete(&mut event, time_ms, environment::resident_mib());
        let line = LogLine { time_ms, event };
        let log = self.log.as_mut().filter(|_| line.event.is_lasting());
        if let Some(Err(e)) = log.map(|log| log.append(&line)) {
            // The training is worth more than its log.
            self.log = None;
            self.watch.show(&RunEvent::Note { message: format!("{NOTED_WARNING}the log ends here: {e}") });
        }
        self.watch.show(&line.event);
    }
}

impl Monitor for Recorder<'_> {
    fn event(&mut self, event: &TrainEvent<'_>) {
        if let Some(event) = RunEvent::of_training(self.phase, event) {
            self.record(event);
        }
    }

    fn interrupted(&self) -> bool {
        interrupt::requested()
    }
}

/// A path as it stands in settings and model cards.
pub fn shown(path: &Path) -> String {
    crate::hub::shown(path)
}

/// What differs from the training that is resumed: an option before a file.
fn told(differences: &[Difference]) -> Option<String> {
    let option = differences.iter().find(|difference| !difference.key.starts_with("sha256."));
    let Difference { key, run, given } = option.or(differences.first())?;
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".into());
    Some(match (key.strip_prefix("sha256."), run, given) {
        (Some(file), Some(_), None) => format!("{file} is not among those of now"),
        (Some(file), None, _) => format!("{file} was not among those of then"),
        (Some(file), ..) => format!("{file} is not what it was then"),
        (None, run, given) => format!("`{key}` was {} and is now {}", shown(run), shown(given)),
    })
}
