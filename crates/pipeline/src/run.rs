//! The phases in order.

use std::path::Path;

use bert_core::{BertConfig, ModelDir, Package, TaskModel, WEIGHTS_FILE};
use burn::tensor::Device;
use kd::cache::{ByteSize, Place};
use predict::majority::MajorityBaseline;
use run_store::lock::Holder;
use run_store::rundir::{RunFolder, RunPaths};
use serde_json::Value;
use train::engine::Devices;

use crate::events::{Host, RunEvent};
use crate::inputs::Inputs;
use crate::latency::{Limit, Verdict, Wanted, median_ms, on_cpu};
use crate::phase::{self, CacheRoom, Context, FinalModel, PhaseSpec, SearchParts, Teachers, Winner, phases};
use crate::recipe::{Change, Moved, Recipe};
use crate::record::{Record, Resumed};
use crate::summary::{self, Models};
use crate::{Error, Result, check, disk};

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
    pub changes: Vec<Change>,
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
    /// Teacher, baseline and student side by side.
    pub comparison: Vec<report::ModelRow>,
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
    let (teacher, given) = check::given(recipe, options.folder)?;
    // Longer sequences can be neither counted nor timed.
    let latency = recipe.latency.within(teacher.max_position_embeddings);
    let cut = (latency != recipe.latency)
        .then(|| format!("latency.seq {}: cut to the models' {} positions", recipe.latency.seq, latency.seq));
    let recipe = &Recipe { latency, ..recipe.clone() };
    let phases = &phases(recipe)[..];
    check::before_training((recipe, phases), parts, &teacher, &options.devices)?;
    let mut limit = None;
    if !finished {
        // There is no log yet, and large data take a while.
        host.event(&RunEvent::Note { message: "reading the inputs".into() });
        check::read(recipe, given.as_ref(), host.stop())?;
        let frame = phase::frame(recipe, &teacher);
        let space = phase::first_space(parts, recipe, &frame)?;
        let maker = options.environment.maker(host.now_ms());
        let device = options.devices.main();
        let wanted = Wanted { recipe, frame: &frame, device, maker, paths: &before, resume };
        limit = Limit::prepare(wanted, &*space, host)?;
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
        .chain(passed_over)
        .chain(replaced)
        .chain(room.story)
        .chain(disk);
    for message in notes {
        run.emit(RunEvent::Note { message })?;
    }
    if let Some(outcome) = finished_before(paths)? {
        run.emit(RunEvent::Note { message: "this run was finished before; nothing was done again".into() })?;
        summary::write_report(paths, run.parts.read_study(paths)?.as_deref())?;
        if read_run_json(&paths.run_json())?[CHECKPOINTS] == REMOVED {
            // A process that was killed right at its end may have left some.
            run.clear_checkpoints();
        }
        return Ok(outcome);
    }
    let environment = &options.environment;
    let changes = if resume { summary::stored_changes(paths)? } else { Some(options.changes) };
    let about = |comparison: Option<&[report::ModelRow]>| {
        let mut json = summary::run_json(recipe, environment, changes.as_deref(), comparison);
        if comparison.is_some() {
            json[CHECKPOINTS] = REMOVED.into();
        }
        summary::with_latency(json, paths)
    };
    run_store::atomic::write_json(paths.run_json(), &about(None)?)?;
    let result = work(&mut run, &about);
    if let Err(error) = &result
        && !error.is_interruption()
    {
        // The error itself is worth more than one of the log.
        let _ = run.emit(RunEvent::Failed { message: error.to_string() });
    }
    result
}

/// All phases; `about` makes `run.json` of the comparison.
fn work(run: &mut Context<'_>, about: &dyn Fn(Option<&[report::ModelRow]>) -> Result<Value>) -> Result<Outcome> {
    let recipe = run.recipe;
    let teachers = phase::teacher(run)?;
    let frame = phase::frame(recipe, &teachers.config);
    let warm = phase::warm_up(run, &frame, &teachers)?;
    let winner = phase::search(run, &frame, &teachers, warm.clone())?;
    let student = phase::student(run, &frame, &teachers, &warm, &winner)?;
    let majority = majority(run)?;
    save_student(run, &student, &winner, &majority)?;
    let student_params = student.model.count(recipe.latency.seq).params_without_fit();
    let baseline = match recipe.final_.baseline {
        true => Some(phase::baseline(run, &frame, &teachers, student_params)?),
        false => None,
    };
    run.clear_cache();
    let comparison = compare(run, &teachers, (student, winner.latency.as_ref()), baseline, &majority)?;
    run_store::atomic::write_json(run.paths.run_json(), &about(Some(&comparison))?)?;
    run.emit(RunEvent::Note { message: "comparison measured".into() })?;
    summary::write_report(run.paths, run.parts.read_study(run.paths)?.as_deref())?;
    // Last: until here the run may have to be resumed.
    run.clear_checkpoints();
    let architecture = winner.genome.layers().iter().map(ToString::to_string).collect();
    Ok(Outcome { comparison, architecture })
}

/// What one answer to every example of a task scores on the dev sets.
fn majority(run: &Context<'_>) -> Result<Vec<MajorityBaseline>> {
    let phase = &run.recipe.final_.task;
    let (train, dev) = (run.inputs.train(run.recipe, phase)?, run.inputs.dev(run.recipe, phase)?);
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
        None => Inputs::open(recipe, &paths.root().join("data"))?,
    };
    // Before what an unfinished phase did with another input is dropped.
    if study.is_none() {
        let search = &recipe.search;
        for phase in [&search.stage1.proxy.task, &search.stage2.proxy.task, &search.stage3.task] {
            inputs.search(recipe, phase).map_err(|e| Error::Mismatch(e.to_string()))?;
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

/// What the cache may keep, and what is to be said of the disk.
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
    let disk = disk_story((recipe, phases), teacher, &room, paths, device, host)?;
    Ok((room, disk))
}

/// What the run will take of the disk, and whether that is there.
fn disk_story(
    (recipe, phases): (&Recipe, &[PhaseSpec<'_>]),
    teacher: &BertConfig,
    room: &CacheRoom,
    paths: &RunPaths,
    device: &Device,
    host: &dyn Host,
) -> Result<Vec<String>> {
    let cache = if recipe.teacher.cache.place == Place::Disk { room.bytes.0 } else { 0 };
    let needs = disk::needs((recipe, phases), teacher, (cache, disk::bytes_below(&paths.root().join("data"))), device)?;
    let there = disk::bytes_below(paths.root());
    let free = host.free_disk(paths.root()).map(|free| free.saturating_add(there));
    Ok(disk::story(needs, free))
}

/// The outcome of a run that has its student and its comparison already.
fn finished_before(paths: &RunPaths) -> Result<Option<Outcome>> {
    if !paths.run_json().exists() || !paths.student().join(WEIGHTS_FILE).exists() {
        return Ok(None);
    }
    let run = read_run_json(&paths.run_json())?;
    let bad = |e: serde_json::Error| Error::RunFile { path: paths.run_json(), message: e.to_string() };
    let Some(comparison) = summary::stored_comparison(&run).map_err(bad)?.filter(|_| run["finished"] == true) else {
        return Ok(None);
    };
    let (config, _) = model_dir::outline(&paths.student())?;
    let architecture = config.layers.into_iter().map(|layer| layer.expression).collect();
    Ok(Some(Outcome { comparison, architecture }))
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
    let run = read_run_json(&path)?;
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
    let io = |source| Error::Io { action: "list", path: dir.to_path_buf(), source };
    for entry in std::fs::read_dir(dir).map_err(io)? {
        let entry = entry.map_err(io)?;
        if entry.file_type().map_err(io)?.is_dir() {
            sweep(&entry.path())?;
        }
    }
    Ok(())
}

fn save_student(run: &Context<'_>, student: &FinalModel, winner: &Winner, majority: &[MajorityBaseline]) -> Result<()> {
    let card = summary::model_card(run.recipe, student, winner, majority);
    let files = run.inputs.encoder.files(student.config.max_position_embeddings)?;
    let package = Package { card: &card, files: &files, keep_fit: false };
    ModelDir::save(&run.paths.student(), &student.config, &student.model, package)?;
    Ok(())
}

/// Measures the models side by side.
fn compare(
    run: &Context<'_>,
    teachers: &Teachers,
    (student, verdict): (FinalModel, Option<&Verdict>),
    baseline: Option<FinalModel>,
    majority: &[MajorityBaseline],
) -> Result<Vec<report::ModelRow>> {
    let settings = run.recipe.latency;
    let time = |model: &TaskModel, config: &BertConfig| median_ms(model, config, settings, &run.device);
    // Where there are several, they are of one size.
    let teacher = FinalModel {
        config: teachers.config.clone(),
        model: teachers.tuned[0].model.clone(),
        evaluation: teachers.evaluation.clone(),
    };
    let models = Models {
        latency: [
            Some(time(&teacher.model, &teacher.config)?),
            baseline.as_ref().map(|b| time(&b.model, &b.config)).transpose()?,
            // What it was chosen by is what it takes.
            Some(verdict.map_or_else(|| time(&student.model, &student.config), |verdict| Ok(verdict.measured_ms))?),
        ],
        teacher,
        baseline,
        student,
    };
    let mut rows = summary::comparison(run.recipe, &models, majority);
    if let (Some(row), Some(verdict)) = (rows.iter_mut().find(|row| row.role == report::Role::Student), verdict) {
        row.note = format!("latency as measured for the search; {:.4} ms were predicted", verdict.predicted_ms);
    }
    Ok(rows)
}

/// Reads `run.json` of a run folder.
///
/// # Errors
/// The file is missing or not JSON.
pub(crate) fn read_run_json(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Io {
        action: "read",
        path: path.to_path_buf(),
        source,
    })?;
    let wrong = |message: String| Error::RunFile { path: path.to_path_buf(), message };
    let value: Value = serde_json::from_str(&text).map_err(|e| wrong(format!("not the run.json of a run: {e}")))?;
    if value.is_object() { Ok(value) } else { Err(wrong("not the run.json of a run: no JSON object".into())) }
}
