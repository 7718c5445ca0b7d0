//! The phases in order.

use std::collections::BTreeMap;
use std::path::Path;

use bert_core::BertConfig;
use burn::tensor::Device;
use durable::lock::Holder;
use durable::rundir::{RunFolder, RunPaths};
use kd::engine::Devices;
use kd::majority::MajorityBaseline;
use searched_ffn::{AnyModel, ModelDir, Package, WEIGHTS_FILE};
use serde_json::Value;

use crate::check;
use crate::events::{Host, RunEvent};
use crate::inputs::Inputs;
use crate::latency::median_ms;
use crate::phase::{self, Context, FinalModel, Teachers, Winner};
use crate::recipe::{Change, Moved, Recipe};
use crate::summary::{self, Models};
use crate::{Error, Result};

/// How to run.
#[derive(Debug)]
pub struct RunOptions<'a> {
    /// The run folder.
    pub folder: &'a Path,
    /// Go on with the run that the folder holds, whose inputs may have moved.
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

/// Runs a recipe from the beginning or from wherever the folder's run stopped.
///
/// A killed run that is resumed gives the same trials, scores and weights as one that was not
/// killed (CPU, same number of threads, no latency limit).
///
/// # Errors
/// See [`Error`]. What was finished stays in the folder; a run that cannot start leaves none.
pub fn run(recipe: &Recipe, options: RunOptions<'_>, host: &mut dyn Host) -> Result<Outcome> {
    let text = recipe.to_toml()?;
    let resume = options.resume.is_some();
    let recipe = &options.resume.unwrap_or_default().apply(recipe)?;
    let given = recipe.data.glue.is_some().then(|| Inputs::open(recipe, options.folder)).transpose()?;
    let teacher = check::teacher_config(recipe, options.devices.main())?;
    // Longer sequences can be neither counted nor timed.
    let latency = recipe.latency.within(teacher.max_position_embeddings);
    let cut = (latency != recipe.latency)
        .then(|| format!("latency.seq {}: cut to the models' {} positions", recipe.latency.seq, latency.seq));
    let recipe = &Recipe { latency, ..recipe.clone() };
    check::before_training(recipe, &teacher, &options.devices)?;
    let folder = match resume {
        true => RunFolder::open_for_resume(options.folder, &text, &options.holder)?,
        false => RunFolder::create(options.folder, &text, &options.holder)?,
    };
    if resume {
        sweep(folder.paths().root())?;
    }
    let inputs = match open_inputs(recipe, given, folder.paths()) {
        Ok(inputs) => inputs,
        Err(e) => {
            if !resume {
                folder.discard()?;
            }
            return Err(e);
        }
    };
    let paths = folder.paths();
    let hash = folder.config_hash().to_string();
    let mut run = Context::new(recipe, &inputs, paths, &hash, options.devices, host)?;
    for message in folder.previous().story().into_iter().chain(cut) {
        run.emit(RunEvent::Note { message })?;
    }
    if let Some(outcome) = finished_before(paths)? {
        run.emit(RunEvent::Note { message: "this run was finished before; nothing was done again".into() })?;
        summary::write_report(paths)?;
        return Ok(outcome);
    }
    let environment = &options.environment;
    let changes = if resume { summary::stored_changes(paths)? } else { Some(options.changes) };
    let about = |comparison: Option<&[report::ModelRow]>| {
        summary::run_json(recipe, environment, changes.as_deref(), comparison)
    };
    durable::atomic::write_json(paths.run_json(), &about(None))?;
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
fn work(run: &mut Context<'_>, about: &dyn Fn(Option<&[report::ModelRow]>) -> Value) -> Result<Outcome> {
    let recipe = run.recipe;
    let teachers = phase::teacher(run)?;
    let frame = phase::frame(recipe, &teachers.config);
    let warm = phase::warm_up(run, &frame, &teachers)?;
    let winner = phase::search(run, &frame, &teachers, warm.clone())?;
    let student = phase::student(run, &frame, &teachers, &warm, &winner)?;
    let majority = majority(run)?;
    save_student(run, &student, &winner, &majority)?;
    let student_params = student.model.count(&student.config, recipe.latency.seq).params_without_fit();
    let baseline = match recipe.final_.baseline {
        true => Some(phase::baseline(run, &frame, &teachers, student_params)?),
        false => None,
    };
    run.clear_cache();
    let comparison = compare(run, &teachers, student, baseline, &majority)?;
    durable::atomic::write_json(run.paths.run_json(), &about(Some(&comparison)))?;
    run.emit(RunEvent::Note { message: "comparison measured".into() })?;
    summary::write_report(run.paths)?;
    let architecture = winner.genome.layers().iter().map(ToString::to_string).collect();
    Ok(Outcome { comparison, architecture })
}

/// What one answer to every example of a task scores on the dev sets.
fn majority(run: &Context<'_>) -> Result<Vec<MajorityBaseline>> {
    let phase = &run.recipe.final_.task;
    let (train, dev) = (run.inputs.train(run.recipe, phase)?, run.inputs.dev(run.recipe, phase)?);
    Ok(MajorityBaseline::of_sets(&train, &dev)?)
}

/// Opens what the run reads and compares it with what it was started with; the sizes of its parts are checked too, which shows only
/// once the examples are counted.
fn open_inputs(recipe: &Recipe, given: Option<Inputs>, paths: &RunPaths) -> Result<Inputs> {
    let inputs = match given {
        Some(inputs) => inputs,
        None => Inputs::open(recipe, &paths.root().join("data"))?,
    };
    same_inputs(&paths.root().join("inputs.json"), &inputs.digests(recipe)?)?;
    if !paths.study().exists() {
        let search = &recipe.search;
        for phase in [&search.stage1.proxy.task, &search.stage2.proxy.task, &search.stage3.task] {
            inputs.search(recipe, phase).map_err(|e| Error::Mismatch(e.to_string()))?;
        }
    }
    Ok(inputs)
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
    let (config, _) = ModelDir::outline(&paths.student(), &Device::flex())?;
    let architecture = config.layers.into_iter().map(|layer| layer.expression).collect();
    Ok(Some(Outcome { comparison, architecture }))
}

/// Keeps the digests of everything the run reads, or compares them with those it was started with: checkpoints and trials
/// of other data must not be mixed.
fn same_inputs(path: &Path, found: &BTreeMap<String, String>) -> Result<()> {
    let before: BTreeMap<String, String> = match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|e| Error::RunFile { path: path.to_path_buf(), message: e.to_string() })?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Ok(durable::atomic::write_json(path, found)?);
        }
        Err(source) => return Err(Error::Io { action: "read", path: path.to_path_buf(), source }),
    };
    let names = before.keys().chain(found.keys());
    match names.into_iter().find(|name| before.get(*name) != found.get(*name)) {
        Some(name) => Err(Error::Mismatch(format!(
            "{name} is not what this run was started with; put it back, or start a new run in another folder"
        ))),
        None => Ok(()),
    }
}

/// Removes what a killed process was writing, here and in the folders below; the run's lock is held.
fn sweep(dir: &Path) -> Result<()> {
    durable::atomic::clean_stale_temps(dir)?;
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
    student: FinalModel,
    baseline: Option<FinalModel>,
    majority: &[MajorityBaseline],
) -> Result<Vec<report::ModelRow>> {
    let settings = run.recipe.latency;
    let time = |model: &AnyModel, config: &BertConfig| median_ms(model, config, settings, &run.device);
    // Where there are several, they are of one size.
    let teacher = FinalModel {
        config: teachers.config.clone(),
        model: AnyModel::Plain(teachers.tuned[0].model.clone()),
        evaluation: teachers.evaluation.clone(),
    };
    let models = Models {
        latency: [
            Some(time(&teacher.model, &teacher.config)?),
            baseline.as_ref().map(|b| time(&b.model, &b.config)).transpose()?,
            Some(time(&student.model, &student.config)?),
        ],
        teacher,
        baseline,
        student,
    };
    Ok(summary::comparison(run.recipe, &models, majority))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resume_with_other_data_names_the_file_that_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inputs.json");
        let digests = |train: &str| {
            BTreeMap::from([("SST-2 train.tsv".to_string(), train.to_string()), ("tokenizer".into(), "t".into())])
        };
        same_inputs(&path, &digests("a")).unwrap();
        same_inputs(&path, &digests("a")).unwrap();
        let message = same_inputs(&path, &digests("b")).unwrap_err().to_string();
        assert!(message.contains("SST-2 train.tsv"), "{message}");
        same_inputs(&path, &digests("a")).unwrap();
        let fewer = BTreeMap::from([("tokenizer".to_string(), "t".to_string())]);
        assert!(same_inputs(&path, &fewer).is_err());
    }
}
