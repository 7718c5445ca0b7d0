//! `search`: the main job.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use clap::Args;
use glue_squad::task::Task;
use kd::cache::ByteSize;
use pipeline::events::{Host, RunEvent};
use pipeline::import::must_be_imported;
use pipeline::recipe::{Difference, Moved, Override, Recipe, differences, load_beside};
use pipeline::{FromRecipe, Outcome, RunOptions};
use report::ChangedSetting;
use run_store::lock::Holder;
use serde_json::json;

use crate::context::Context;
use crate::error::{CliError, ResultExt};
use crate::hub::Named;
use crate::inputs::{nothing_to_resume, quoted, refuse_run_folder};
use crate::own_task::OwnTaskArgs;
use crate::trim_vocab::TrimVocabArgs;
use crate::units::parse_count;
use crate::watch::Watch;
use crate::{environment, free, interrupt, models, output, tasks};

/// The recipe that is run where none is named.
const DEFAULT_RECIPE: &str = "pocket";

/// Options of `search`.
#[derive(Args, Debug, Default)]
pub struct SearchArgs {
    /// A published recipe (pocket, smoke, minilm-quick, minilm, tinybert-quick, from-text, paper) or a TOML file [default: pocket].
    #[arg(long, value_name = "NAME|FILE")]
    pub(super) recipe: Option<String>,
    /// The run folder [default: runs/RECIPE].
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Continue the run in the folder with its own recipe: give the command line that started it with --resume added, or --out alone.
    /// Other settings are refused. --teacher, --data and --corpus name inputs that were moved, or replace inputs that no finished phase
    /// has used.
    #[arg(long)]
    pub(super) resume: bool,
    /// Seed of everything random.
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// Change one key of the recipe, for example search.stage1.trials=20.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) set: Vec<Override>,
    /// The teacher: a model directory, or its name on the Hugging Face hub.
    #[arg(long, value_name = "DIR|ORG/NAME")]
    pub(super) teacher: Option<PathBuf>,
    /// The tasks, in place of the recipe's: names, or TOML files that describe them.
    #[arg(long = "task", value_name = "TASK|FILE", value_parser = tasks::parse)]
    pub(super) tasks: Vec<Task>,
    /// Folder of GLUE tasks, or of the files of described tasks.
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Text for general distillation: files, folders of .txt files, or one folder that `data pack` made.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub(super) corpus: Vec<PathBuf>,
    /// Fewest parameters of the student, for example 15M.
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub(super) min_params: Option<u64>,
    /// Most parameters of the student.
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub(super) max_params: Option<u64>,
    /// Most multiply-adds (counted once) of the student, for example 1.6G.
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub(super) max_macs: Option<u64>,
    /// Largest file of the student's weights, for example 27MB.
    #[arg(long, value_name = "SIZE")]
    pub(super) max_bytes: Option<ByteSize>,
    /// Longest latency of the student, milliseconds: predicted for candidates, measured for the winner.
    #[arg(long, value_name = "MS")]
    pub(super) max_latency_ms: Option<f64>,
    /// Predict latencies from this table, which `bench --table` makes for the recipe; without one a search with a latency limit
    /// measures its own at the start.
    #[arg(long, value_name = "FILE")]
    pub(super) latency_table: Option<PathBuf>,
    /// Write event files for TensorBoard into DIR, a folder for each phase.
    #[arg(long, value_name = "DIR")]
    pub(super) tensorboard: Option<PathBuf>,
    /// Steps between two reports of a training [default: the recipe's `log_every`, or 10].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) log_every: Option<u64>,
    /// Print the comparison as JSON.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) trim: TrimVocabArgs,
    #[command(flatten)]
    pub(super) own: OwnTaskArgs,
}

impl SearchArgs {
    /// The values that may name something on the Hugging Face hub.
    pub(super) fn named(&mut self) -> Vec<Named<'_>> {
        let teacher = self.teacher.as_mut().map(|path| Named::model("--teacher", path));
        self.own.named().into_iter().chain(teacher).collect()
    }
}

/// Runs the command.
///
/// # Errors
/// A recipe that is not usable (exit code 2), a run that failed (1) or was interrupted (130).
pub fn run(mut args: SearchArgs, context: &Context) -> Result<(), CliError> {
    args.take_tasks(context)?;
    let args = &args;
    let (recipe, folder) = recipe_and_folder(args)?;
    let resume = args.resume.then(|| moved(args)).transpose()?;
    let moved = resume.as_ref().and_then(|moved| moved.teacher.as_ref());
    if let Some(dir) = moved.or(recipe.teacher.model.as_ref()) {
        refuse_run_folder("`teacher.model` (--teacher)", dir)?;
        if must_be_imported(dir) {
            models::check_model_directory("`teacher.model` (--teacher)", dir)?;
        }
    }
    let watch = Watch::new(&context.progress, args.tensorboard.as_deref(), true)?;
    interrupt::install(&context.progress)?;
    let started = environment::now_ms();
    let options = RunOptions {
        folder: &folder,
        changes: if resume.is_some() { Vec::new() } else { changed(args, &recipe)? },
        resume,
        devices: context.devices.clone(),
        holder: Holder::this_process(environment::host_name(), pipeline::summary::utc(started)),
        environment: environment::describe(context, started),
    };
    context.progress.message(&format!("recipe {} -> {}", recipe.name, folder.display()));
    let mut host = Terminal { watch, log_every: args.log_every };
    let outcome = pipeline::run(&recipe, options, &mut FromRecipe, &mut host)
        .map_err(|e| explain(e, &folder, &limits(args, &recipe), args.resume))?;
    context.progress.finish();
    for warning in warnings(&outcome) {
        context.progress.warn(&warning);
    }
    show(&outcome, &folder, args.json)
}

fn recipe_and_folder(args: &SearchArgs) -> Result<(Recipe, PathBuf), CliError> {
    let named = args.recipe.as_deref().unwrap_or(DEFAULT_RECIPE);
    let default_folder = || {
        let stem = Path::new(named).file_stem().map_or(named.to_string(), |s| s.to_string_lossy().into_owned());
        Path::new("runs").join(stem)
    };
    let folder = args.out.clone().unwrap_or_else(default_folder);
    let overrides = overrides(args)?;
    if args.resume {
        let path = folder.join(run_store::rundir::RECIPE);
        if !path.is_file() {
            return Err(nothing_to_resume("", &folder, "run", &folder));
        }
        let recipe = pipeline::recipe::load(&path.to_string_lossy(), &[]).or_usage()?;
        agree(args, &overrides, &recipe, &folder)?;
        return Ok((recipe, folder));
    }
    let overrides = [overrides, input_overrides(args)?].concat();
    let recipe = pipeline::recipe::load(named, &overrides).or_usage()?;
    Ok((with_absolute_paths(recipe)?, folder))
}

/// The recipe with its inputs as they will be found from wherever the run is resumed.
fn with_absolute_paths(mut recipe: Recipe) -> Result<Recipe, CliError> {
    let inputs = recipe.data.glue.iter_mut().chain(&mut recipe.data.corpus).chain(&mut recipe.teacher.model);
    let inputs = inputs.chain(&mut recipe.compare.checkpoints);
    let inputs = inputs.chain(&mut recipe.search.latency_table).chain(&mut recipe.search.fidelities);
    for path in inputs {
        *path = std::path::absolute(&*path).context(format!("{}", path.display()))?;
    }
    Ok(recipe)
}

/// Refuses settings of the command line that say otherwise than `run`, the recipe of the run in `folder`, which goes on with its own.
fn agree(args: &SearchArgs, overrides: &[Override], run: &Recipe, folder: &Path) -> Result<(), CliError> {
    if args.recipe.is_none() && overrides.is_empty() {
        return Ok(());
    }
    let own = folder.join(run_store::rundir::RECIPE).to_string_lossy().into_owned();
    let named = args.recipe.as_deref().unwrap_or(&own);
    let given = load_beside(named, overrides, run).or_usage();
    let given = given.hint("--resume --out DIR continues with the run's own recipe; nothing else is needed")?;
    let found = differences(run, &with_absolute_paths(given)?).or_usage()?;
    if found.is_empty() {
        return Ok(());
    }
    let lines = found.iter().map(|difference: &Difference| format!("\n  {difference}")).collect::<String>();
    let message = format!("--resume: the run in {} was started with other settings:{lines}", folder.display());
    let hint = format!(
        "`efficientbert search --resume --out {}` continues with those of the run; to change them, start a new run in another folder",
        quoted(folder)
    );
    Err(CliError::usage(message).with_hint(hint))
}

impl SearchArgs {
    /// Takes the tasks that are named or described as changes of the recipe.
    fn take_tasks(&mut self, context: &Context) -> Result<(), CliError> {
        let is_own = self.own.is_given() || self.tasks.iter().any(Task::is_described);
        if is_own {
            let chosen = self.own.or_of(&self.tasks, self.data.as_deref(), context)?;
            (self.tasks, self.data) = (chosen.tasks, chosen.data);
        }
        if !self.tasks.is_empty() {
            let tasks = self.tasks.iter().map(toml::Value::try_from).collect::<Result<Vec<_>, _>>();
            let tasks = tasks.context("--task").or_usage()?;
            self.set.push(Override { key: "tasks".into(), value: toml::Value::Array(tasks).to_string() });
        }
        Ok(())
    }
}

/// What a new run has otherwise than its recipe.
fn changed(args: &SearchArgs, recipe: &Recipe) -> Result<Vec<ChangedSetting>, CliError> {
    let overrides = [overrides(args)?, input_overrides(args)?].concat();
    pipeline::recipe::changes(args.recipe.as_deref().unwrap_or(DEFAULT_RECIPE), recipe, &overrides).or_usage()
}

/// Where the inputs of a resumed run are now.
fn moved(args: &SearchArgs) -> Result<Moved, CliError> {
    let absolute = |path: &PathBuf| std::path::absolute(path).context(format!("{}", path.display()));
    Ok(Moved {
        teacher: args.teacher.as_ref().map(absolute).transpose()?,
        glue: args.data.as_ref().map(absolute).transpose()?,
        corpus: args.corpus.iter().map(absolute).collect::<Result<_, _>>()?,
    })
}

/// The options that name inputs, as keys of the recipe.
fn input_overrides(args: &SearchArgs) -> Result<Vec<Override>, CliError> {
    let text = |path: &PathBuf| -> Result<String, CliError> {
        let path = path.to_str().ok_or_else(|| CliError::usage(format!("{}: not UTF-8", path.display())))?;
        Ok(json!(path).to_string())
    };
    let mut all = Vec::new();
    for (key, path) in [("teacher.model", &args.teacher), ("data.glue", &args.data)] {
        if let Some(path) = path {
            all.push(Override { key: key.into(), value: text(path)? });
        }
    }
    if !args.corpus.is_empty() {
        let paths = args.corpus.iter().map(text).collect::<Result<Vec<_>, _>>()?;
        all.push(Override { key: "data.corpus".into(), value: format!("[{}]", paths.join(",")) });
    }
    Ok(all)
}

/// The other options, as keys of the recipe.
fn overrides(args: &SearchArgs) -> Result<Vec<Override>, CliError> {
    let mut all = args.set.clone();
    let mut push = |key: &str, value: String| all.push(Override { key: key.into(), value });
    if let Some(seed) = args.seed {
        push("seed", seed.to_string());
    }
    if let Some(least) = args.trim.trim_vocab {
        push("teacher.trim_vocab", least.to_string());
    }
    for (key, value) in [
        ("budget.min_params", args.min_params),
        ("budget.max_params", args.max_params),
        ("budget.max_macs", args.max_macs),
        ("budget.max_bytes", args.max_bytes.map(|size| size.0)),
    ] {
        if let Some(value) = value {
            push(key, value.to_string());
        }
    }
    if let Some(ms) = args.max_latency_ms {
        if !(ms > 0.0 && ms.is_finite()) {
            return Err(CliError::usage(format!("--max-latency-ms {ms}: must be above 0")));
        }
        push("budget.max_latency_ms", format!("{ms:?}"));
    }
    if let Some(path) = &args.latency_table {
        let path = std::path::absolute(path).context(format!("{}", path.display()))?;
        let path = path.to_str().ok_or_else(|| CliError::usage(format!("{}: not UTF-8", path.display())))?;
        push("search.latency_table", json!(path).to_string());
    }
    Ok(all)
}

/// Where each limit of the budget comes from.
fn limits(args: &SearchArgs, recipe: &Recipe) -> String {
    let budget = &recipe.budget;
    let given = [
        ("min_params", "--min-params", args.min_params.is_some(), budget.min_params.is_some()),
        ("max_params", "--max-params", args.max_params.is_some(), budget.max_params.is_some()),
        ("max_macs", "--max-macs", args.max_macs.is_some(), budget.max_macs.is_some()),
        ("max_bytes", "--max-bytes", args.max_bytes.is_some(), budget.max_bytes.is_some()),
        ("max_latency_ms", "--max-latency-ms", args.max_latency_ms.is_some(), budget.max_latency_ms.is_some()),
    ];
    let said = given.into_iter().filter(|(.., set)| *set).map(|(key, option, is_option, _)| {
        let key_set = |set: &&Override| set.key == format!("budget.{key}") || set.key == "budget";
        let origin = match args.set.iter().rev().find(key_set) {
            // Options are applied after them.
            _ if is_option => option.to_owned(),
            Some(set) => format!("--set {}", set.key),
            None => format!("the recipe `{}`", recipe.name),
        };
        format!("{key} comes from {origin}")
    });
    said.collect::<Vec<_>>().join(", ")
}

fn explain(error: pipeline::Error, folder: &Path, limits: &str, resumed: bool) -> CliError {
    let resume = format!("continue with: efficientbert search --resume --out {}", quoted(folder));
    if error.is_interruption() && !folder.join(run_store::rundir::RECIPE).is_file() {
        return CliError::interrupted("stopped while the inputs were read; nothing was written");
    }
    if error.is_interruption() {
        return CliError::interrupted("the run was stopped; everything done is saved").with_hint(resume);
    }
    match &error {
        pipeline::Error::Inputs(problems) => {
            let said = match problems.iter().any(|problem| problem.usage) {
                true => CliError::usage(error.to_string()),
                false => CliError::failed(error.to_string()),
            };
            match (resumed, problems.iter().any(|problem| problem.missing)) {
                (false, _) => said,
                (true, true) => {
                    said.with_hint("if it was moved, name its new path: --resume takes --teacher, --data and --corpus")
                }
                (true, false) => said.with_hint(
                    "what no finished phase has used can be replaced: --resume takes --teacher, --data and --corpus",
                ),
            }
        }
        pipeline::Error::Recipe { .. } | pipeline::Error::Mismatch(_) => CliError::usage(error.to_string()),
        pipeline::Error::Storage(
            run_store::Error::RunExists { .. } | run_store::Error::NotEmpty { .. } | run_store::Error::NoRun { .. },
        ) => CliError::usage(error.to_string()),
        pipeline::Error::Search(nas::Error::Budget { .. } | nas::Error::Unreachable { .. }) => {
            CliError::usage(error.to_string()).with_hint(limits)
        }
        pipeline::Error::Table { .. } => CliError::usage(error.to_string()),
        // Nothing was begun.
        pipeline::Error::TooSlow(_) if !folder.join(run_store::rundir::RECIPE).is_file() => {
            CliError::usage(error.to_string()).with_hint(limits)
        }
        _ if folder.join(run_store::rundir::RECIPE).is_file() => CliError::from(error).with_hint(resume),
        _ => CliError::from(error),
    }
}

/// Why scores may be meaningless, with the model's name.
fn warnings(outcome: &Outcome) -> Vec<String> {
    let of_row = |row: &report::ModelRow| -> Vec<String> {
        row.warnings.iter().map(|warning| format!("{}: {warning}", row.name)).collect()
    };
    outcome.comparison.iter().flat_map(of_row).collect()
}

fn show(outcome: &Outcome, folder: &Path, as_json: bool) -> Result<(), CliError> {
    if as_json {
        return output::print_json(&json!({
            "run": folder,
            "architecture": outcome.architecture,
            "comparison": outcome.comparison,
            "gains": outcome.gains,
            "warnings": warnings(outcome),
        }));
    }
    let mut text = String::from("\n");
    text += &report::comparison_table_text(&outcome.comparison);
    for gain in &outcome.gains {
        text += &format!("\n{gain}\n");
    }
    text += &format!("\nfound {}", found_student(folder, &outcome.architecture)?);
    text += "\n";
    let smaller = ["small", "middle"].map(|name| folder.join("students").join(name).join("model"));
    for dir in smaller.iter().filter(|dir| dir.is_dir()) {
        text += &format!("student: {}\n", dir.display());
    }
    text +=
        &format!("student: {}\nreport:  {}\n", folder.join("student").display(), folder.join("report.html").display());
    output::print(&text)
}

/// The student's widths and layers, a line each.
fn found_student(folder: &Path, expressions: &[String]) -> Result<String, CliError> {
    let (config, student) = model_dir::outline(&folder.join("student"))?;
    let (layers, hidden) = (student.layers.len(), config.hidden_size);
    let mut text = format!("student, {layers} layers of {hidden} channels, word table {}:\n", config.embed_width());
    for (number, (layer, expression)) in (1..).zip(student.layers.iter().zip(expressions)) {
        let attention =
            layer.attention.as_ref().map(|a| format!("attention {} x {}", a.heads, a.width() / a.heads.max(1)));
        let blocks = &layer.feed_forward.blocks;
        let inner =
            blocks.first().map(|block| format!("{} x {} inner, {expression}", blocks.len(), block.dense1.outputs()));
        let parts: Vec<String> = attention.into_iter().chain(inner).collect();
        text += &format!("  layer {number:>2}  {}\n", parts.join(", "));
    }
    Ok(text)
}

/// The program around a run, or a measurement.
pub(super) struct Terminal<'a> {
    pub watch: Watch<'a>,
    pub log_every: Option<u64>,
}

impl Host for Terminal<'_> {
    fn event(&mut self, event: &RunEvent) {
        self.watch.show(event);
    }

    fn now_ms(&self) -> i64 {
        environment::now_ms()
    }

    fn memory_mib(&self) -> Option<f64> {
        environment::resident_mib()
    }

    fn log_every(&self) -> Option<u64> {
        self.log_every
    }

    fn free_memory(&self) -> Option<u64> {
        free::memory()
    }

    fn free_disk(&self, folder: &Path) -> Option<u64> {
        free::disk(folder)
    }

    fn stop(&self) -> &'static AtomicBool {
        interrupt::flag()
    }
}
