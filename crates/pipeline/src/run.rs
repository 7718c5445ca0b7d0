//! The phases in order.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use bert_core::{BertConfig, ModelDir, Package, TaskModel, WEIGHTS_FILE};
use burn::tensor::Device;
use kd::cache::{ByteSize, CacheStorage};
use predict::majority::MajorityBaseline;
use run_store::lock::Holder;
use run_store::rundir::{RunFolder, RunPaths};
use serde_json::Value;
use train::engine::Devices;

use crate::events::{Host, NOTED_WARNING, RunEvent};
use crate::input_record::{Record, Resumed};
use crate::inputs::Inputs;
use crate::latency::{Limit, Timed, Verdict, Wanted, median_ms, on_cpu};
use crate::phase::{self, CacheRoom, Context, FinalModel, Found, Network, PhaseSpec, SearchParts, Teachers, phases};
use crate::recipe::{Moved, Recipe};
use crate::report_scores::Scores;
use crate::{Error, Result, check_teacher, comparison, disk, preflight, run_json, summary};

/// Key of `run.json` that says what became of the checkpoints of a finished run, and its value; runs of earlier versions kept them.
const CHECKPOINTS: &str = "checkpoints";
const REMOVED: &str = "removed";

/// How to run.
#[derive(Debug)]
pub struct RunOptions<'a> {
    /// The run folder.
    pub folder: &'a Path,
    /// Go on with the run that the folder holds, whose inputs may have moved, or be others where no finished phase has used them.
    pub resume: Option<Moved>,
    /// What a new run has otherwise than its recipe, for the report; one that goes on has it from when it was started.
    pub changes: Vec<report::ChangedSetting>,
    /// Devices without autodiff; trainings share their steps among them, everything else is done on the main one.
    pub devices: Devices,
    /// Who holds the folder: this process.
    pub holder: Holder,
    /// Versions, machine and the like for `run.json` and the report.
    pub environment: summary::Environment,
}

/// What a finished run hands back.
#[derive(Debug)]
pub struct Outcome {
    /// Teacher, student and what it is compared with, side by side.
    pub comparison: Vec<report::ModelRow>,
    /// What the search has gained over each of these networks, a sentence each.
    pub gains: Vec<String>,
    /// The found feed-forwards, one expression per layer.
    pub architecture: Vec<String>,
}

/// Runs a recipe from the beginning or from wherever the folder's run stopped, with a search made of `parts`.
///
/// A killed run that is resumed gives the same trials, scores and weights as one that was not
/// killed (CPU, same number of threads).
///
/// # Errors
/// See [`Error`]. What was finished stays in the folder; a run that cannot start leaves none.
pub fn run(
    recipe: &Recipe,
    options: RunOptions<'_>,
    parts: &mut dyn SearchParts,
    host: &mut dyn Host,
) -> Result<Outcome> {
    let text = recipe.to_toml()?;
    let resume = options.resume.is_some();
    if !resume {
        // Before anything is read, which may take a while.
        RunFolder::check_free(options.folder)?;
    }
    let before = RunPaths::new(options.folder);
    if resume && let Some(holder) = run_store::lock::working(options.folder) {
        // Before anything is read, too.
        return Err(run_store::Error::Locked { folder: options.folder.to_owned(), holder }.into());
    }
    let recorded = if resume { Record::read(&before)? } else { None };
    let last = recorded.as_ref().map(|record| record.moved.clone()).unwrap_or_default();
    let said = options.resume.unwrap_or_default();
    let asked = said.news(recipe, &last);
    let moved = asked.or(&last);
    let passed_over = said.passed_over(&moved);
    let recipe = &moved.apply(recipe)?;
    let finished = resume && finished_before(&before)?.is_some();
    if resume && !finished {
        refuse_emptied(&before)?;
    }
    let (teacher, given) = preflight::given(recipe, options.folder, host.stop())?;
    // Longer sequences can be neither counted nor timed.
    let latency = recipe.latency.within(teacher.max_position_embeddings);
    let cut = (latency != recipe.latency)
        .then(|| format!("latency.seq {}: cut to the models' {} positions", recipe.latency.seq, latency.seq));
    let recipe = &Recipe { latency, ..recipe.clone() };
    let phases = &phases(recipe)[..];
    preflight::before_training((recipe, phases), parts, (&teacher, given.as_ref()), &options.devices)?;
    let heads = check_teacher::own_heads(recipe, phases, &teacher)?;
    let mut judged = Vec::new();
    let mut limit = None;
    let mut scores = None;
    if !finished {
        // There is no log yet, and large data take a while.
        host.event(&RunEvent::Note { message: "reading the inputs".into() });
        // A run that goes on was begun with this teacher.
        let heads = if resume { &[][..] } else { &heads };
        scores = Some(Scores::read(recipe, &before)?);
        judged = preflight::read(recipe, heads, given.as_ref(), host.stop())?;
        let frame = phase::frame(recipe, &teacher);
        let maker = options.environment.maker(host.now_ms());
        let device = options.devices.main();
        let wanted = Wanted { recipe, frame: &frame, device, maker, paths: &before, resume };
        limit = match &recipe.search.encoder {
            Some(choices) => {
                let space = phase::encoder_space(recipe, choices, &frame)?;
                Limit::prepare(wanted, &Timed::Encoders(&space), host)?
            }
            None => {
                let space = phase::first_space(parts, recipe, &frame)?;
                Limit::prepare(wanted, &Timed::FeedForwards(&*space), host)?
            }
        };
    }
    let folder = match resume {
        true => RunFolder::open_for_resume(options.folder, &text, &options.holder)?,
        false => RunFolder::create(options.folder, &text, &options.holder)?,
    };
    let paths = folder.paths();
    let hash = folder.config_hash().to_string();
    if resume {
        sweep(paths.root())?;
    }
    let study = parts.read_study(paths)?;
    let resumed = Resumed { recipe, paths, config_hash: &hash, study: study.as_deref(), finished, asked: &asked };
    let opened = open_inputs(given, &resumed, (recorded, moved)).and_then(|(inputs, replaced)| {
        limit.as_mut().map_or(Ok(()), |limit| limit.keep(paths))?;
        scores.map_or(Ok(()), |scores: Scores| scores.keep(paths))?;
        let (room, disk) = match finished {
            true => (CacheRoom { bytes: ByteSize(0), story: None }, Vec::new()),
            false => rooms((recipe, phases), (&inputs, &teacher), paths, options.devices.main(), host)?,
        };
        Ok((inputs, replaced, room, disk))
    });
    let (inputs, replaced, room, disk) = match opened {
        Ok(opened) => opened,
        Err(e) => {
            if !resume {
                folder.discard()?;
            }
            return Err(e);
        }
    };
    let mut run = Context::new((recipe, phases), &inputs, paths, &hash, options.devices, room.bytes, (parts, host))?;
    run.limit = limit;
    let notes = folder
        .previous()
        .story()
        .into_iter()
        .chain(cut)
        .chain(judged.into_iter().map(|note| format!("{NOTED_WARNING}{note}")))
        .chain(passed_over)
        .chain(replaced)
        .chain(room.story)
        .chain(disk);
    for message in notes {
        run.emit(RunEvent::Note { message })?;
    }
    if let Some(outcome) = finished_before(paths)? {
        run.emit(RunEvent::Note { message: "this run is already finished; nothing was done".into() })?;
        summary::write_report(paths, run.parts.read_study(paths)?.as_deref())?;
        if run_json::read(&paths.run_json())?[CHECKPOINTS] == REMOVED {
            // A process that was killed right at its end may have left some.
            run.clear_checkpoints();
        }
        return Ok(outcome);
    }
    let environment = &options.environment;
    let changes = if resume { run_json::stored_changes(paths)? } else { Some(options.changes) };
    let about = |comparison: Option<Compared<'_>>| {
        let mut json = summary::run_json(recipe, environment, changes.as_deref(), comparison);
        if comparison.is_some() {
            json[CHECKPOINTS] = REMOVED.into();
        }
        summary::with_latency(json, paths)
    };
    run_store::atomic::write_json(paths.run_json(), &about(None)?)?;
    let planned = if resume { Ok(()) } else { plan(&mut run, &teacher, room.bytes) };
    let result = planned.and_then(|()| work(&mut run, &about));
    if let Err(error) = &result
        && !error.is_interruption()
    {
        // The error itself is worth more than one of the log.
        let _ = run.emit(RunEvent::Failed { message: error.to_string() });
    }
    result
}

/// The comparison of a finished run, and what the search has gained.
type Compared<'a> = (&'a [report::ModelRow], &'a [String]);

/// Says what the run is going to do, and how long that takes where it can be measured.
fn plan(run: &mut Context<'_>, teacher: &BertConfig, room: ByteSize) -> Result<()> {
    run.emit(RunEvent::Note { message: "measuring a few steps of each training".into() })?;
    let in_memory = run.recipe.teacher.cache.place == CacheStorage::Memory;
    let forecast = phase::forecast(run, teacher, if in_memory { room.0 } else { 0 })?;
    let free = run.host.free_memory().filter(|&free| free < forecast.cache_bytes);
    run.emit(RunEvent::Plan { forecast })?;
    if let Some(free) = free {
        let message = format!("{NOTED_WARNING}only {} of memory are free for these answers", disk::size(free));
        run.emit(RunEvent::Note { message })?;
    }
    Ok(())
}

/// All phases; `about` makes `run.json` of the comparison.
fn work(run: &mut Context<'_>, about: &dyn Fn(Option<Compared<'_>>) -> Result<Value>) -> Result<Outcome> {
    let recipe = run.recipe;
    let teachers = phase::teacher(run)?;
    let frame = phase::frame(recipe, &teachers.config);
    let (warm, winner) = match &recipe.search.encoder {
        Some(choices) => (None, phase::search_encoders(run, choices, &frame, &teachers)?),
        None => {
            let warm = phase::warm_up(run, &frame, &teachers)?;
            let winner = phase::search(run, &frame, &teachers, warm.clone())?;
            (Some(warm), winner)
        }
    };
    let found = Found { frame: &frame, teachers: &teachers, warm: warm.as_ref(), winner: &winner, best_random: None };
    let majority = majority(run)?;
    let mut trained = Vec::new();
    for network in Network::of(recipe) {
        let found = Found { best_random: comparison::best_random(&trained), ..found };
        let models = phase::final_models(run, network, found)?;
        // At once, so that it is there whatever becomes of the comparison.
        if let (true, Some(best)) = (network.is_handed_over(), best(&models)) {
            save_student(run, best, &majority)?;
        }
        if !network.is_handed_over() || models.len() > 1 {
            for model in &models {
                phase::save_compared(run, model, &comparison::compared_card(recipe, model, &majority))?;
            }
        }
        trained.extend(models);
    }
    run.clear_cache();
    let comparison = compare(run, &teachers, (&trained, winner.latency.as_ref()), &majority)?;
    let gains = comparison::gains(&trained);
    run_store::atomic::write_json(run.paths.run_json(), &about(Some((&comparison, &gains)))?)?;
    run.emit(RunEvent::Note { message: "comparison measured".into() })?;
    summary::write_report(run.paths, run.parts.read_study(run.paths)?.as_deref())?;
    // Last: until here the run may have to be resumed.
    run.clear_checkpoints();
    let architecture = winner.config.layers.iter().map(|layer| layer.expression.clone()).collect();
    Ok(Outcome { comparison, gains, architecture })
}

/// The one with the best held-out score; of equal ones the first.
fn best(models: &[FinalModel]) -> Option<&FinalModel> {
    let better = |best: &FinalModel, model: &FinalModel| model.held_out > best.held_out;
    models.iter().reduce(|best, model| if better(best, model) { model } else { best })
}

/// What one answer to every example of a task scores on the dev sets.
fn majority(run: &Context<'_>) -> Result<Vec<MajorityBaseline>> {
    let phase = &run.recipe.final_.task;
    let (train, _) = run.inputs.tasks(run.recipe, phase)?;
    let dev = run.inputs.dev(run.recipe, &run.recipe.tasks, phase)?;
    Ok(MajorityBaseline::of_sets(|task| train.labels(task), &dev)?)
}

/// Opens what the run reads and compares it with what it was started with, which gives what is to be said about that; the sizes of its
/// parts are checked too, which shows only once the examples are counted.
fn open_inputs(
    given: Option<Inputs>,
    resumed: &Resumed<'_>,
    (recorded, moved): (Option<Record>, Moved),
) -> Result<(Inputs, Vec<String>)> {
    let Resumed { recipe, paths, study, .. } = *resumed;
    let inputs = match given {
        Some(inputs) => inputs,
        None => Inputs::open(recipe, &paths.root().join("data"), &AtomicBool::new(false))?,
    };
    // Before what an unfinished phase did with another input is dropped.
    if study.is_none() {
        let search = &recipe.search;
        for phase in [&search.stage1.proxy.task, &search.stage2.proxy.task, &search.stage3.task] {
            inputs.tasks(recipe, phase).map_err(|e| Error::Mismatch(e.to_string()))?;
        }
    }
    let now = Record { moved, digests: inputs.digests(recipe)? };
    let replaced = match recorded {
        Some(recorded) => resumed.settle(&recorded, &now)?,
        None => {
            now.write(paths)?;
            Vec::new()
        }
    };
    Ok((inputs, replaced))
}

/// What the cache may keep; and what the run will take of the disk, with a warning where that is not there.
fn rooms(
    (recipe, phases): (&Recipe, &[PhaseSpec<'_>]),
    (inputs, teacher): (&Inputs, &BertConfig),
    paths: &RunPaths,
    device: &Device,
    host: &dyn Host,
) -> Result<(CacheRoom, Vec<String>)> {
    // Of other devices than the processor nobody knows how much memory is free.
    let free = on_cpu(device).then(|| host.free_memory()).flatten();
    let room = phase::cache_room((recipe, phases), inputs, teacher, free)?;
    let cache = if recipe.teacher.cache.place == CacheStorage::Disk { room.bytes.0 } else { 0 };
    let needs = disk::needs((recipe, phases), teacher, (cache, disk::bytes_below(&paths.root().join("data"))), device)?;
    let there = disk::bytes_below(paths.root());
    let free = host.free_disk(paths.root()).map(|free| free.saturating_add(there));
    Ok((room, disk::story(needs, free)))
}

/// The outcome of a run that has its student and its comparison already.
fn finished_before(paths: &RunPaths) -> Result<Option<Outcome>> {
    if !paths.run_json().exists() || !paths.student().join(WEIGHTS_FILE).exists() {
        return Ok(None);
    }
    let run = run_json::read(&paths.run_json())?;
    let bad = |e: serde_json::Error| Error::RunFile { path: paths.run_json(), message: e.to_string() };
    let Some(comparison) = run_json::stored_comparison(&run).map_err(bad)?.filter(|_| run["finished"] == true) else {
        return Ok(None);
    };
    let gains = run_json::stored_gains(&run).map_err(bad)?;
    let (config, _) = model_dir::outline(&paths.student())?;
    let architecture = config.layers.into_iter().map(|layer| layer.expression).collect();
    Ok(Some(Outcome { comparison, gains, architecture }))
}

/// Refuses to go on with a finished run whose student was removed.
///
/// # Errors
/// The run was finished, and its student is gone: its checkpoints are too, so that everything would be trained again.
fn refuse_emptied(paths: &RunPaths) -> Result<()> {
    let path = paths.run_json();
    if !path.exists() {
        return Ok(());
    }
    let run = run_json::read(&path)?;
    if run["finished"] != true || run[CHECKPOINTS] != REMOVED {
        return Ok(());
    }
    let student = paths.student();
    let message = format!(
        "the run is finished, but {} holds no model any more; put it back, or start a new run in another folder",
        student.display()
    );
    Err(Error::RunFile { path, message })
}

/// Removes what a killed process was writing, here and in the folders below; the run's lock is held.
fn sweep(dir: &Path) -> Result<()> {
    run_store::atomic::clean_stale_temps(dir)?;
    for entry in std::fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let path = entry.map_err(Error::io("list", dir))?.path();
        if path.is_dir() && !path.is_symlink() {
            sweep(&path)?;
        }
    }
    Ok(())
}

fn save_student(run: &Context<'_>, student: &FinalModel, majority: &[MajorityBaseline]) -> Result<()> {
    let card = summary::model_card(run.recipe, student, majority) + &run.inputs.card_line();
    let files = run.inputs.encoder.files(student.config.max_position_embeddings)?;
    let package = Package { card: &card, files: &files, keep_fit: false };
    let dir = match student.network {
        Network::Student => run.paths.student(),
        smaller => run.paths.root().join(smaller.folder()).join("model"),
    };
    ModelDir::save(&dir, &student.config, &student.model, package)?;
    Ok(())
}

fn compare(
    run: &Context<'_>,
    teachers: &Teachers,
    (trained, verdict): (&[FinalModel], Option<&Verdict>),
    majority: &[MajorityBaseline],
) -> Result<Vec<report::ModelRow>> {
    let settings = run.recipe.latency;
    let time = |model: &TaskModel, config: &BertConfig| median_ms(model, config, settings, &run.device);
    // Where there are several, they are of one size.
    let teacher =
        comparison::teacher_row(run.recipe, teachers, time(&teachers.tuned[0].model, &teachers.config)?, majority);
    let mut rows = vec![teacher];
    for models in comparison::compared(trained) {
        let first = models[0];
        // What the student was chosen by is what it takes.
        let verdict = verdict.filter(|_| first.network == Network::Student);
        let latency = verdict.map_or_else(|| time(&first.model, &first.config), |verdict| Ok(verdict.measured_ms))?;
        let mut row = comparison::final_row(run.recipe, &models, latency, majority);
        if let Some(verdict) = verdict {
            let predicted =
                format!("latency as measured for the search; {:.4} ms were predicted", verdict.predicted_ms);
            row.note = if row.note.is_empty() { predicted } else { format!("{}; {predicted}", row.note) };
        }
        rows.push(row);
    }
    rows.extend(comparison::majority_row(majority));
    Ok(rows)
}
