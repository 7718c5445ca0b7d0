//! What all phases share.

use std::path::PathBuf;
use std::sync::Arc;

use bert_core::TaskModel;
use burn::tensor::Device;
use kd::cache::{ByteSize, CacheReport, CacheStorage, Expected, Format, TeacherCache, TeacherLayers};
use kd::job::{TaskTeacher, TaskTeachers, Teacher};
use kd::objective::{Plan, Source};
use run_store::checkpoint::CheckpointStore;
use run_store::log::JsonlWriter;
use run_store::rundir::RunPaths;
use serde::{Deserialize, Serialize};
use train::engine::{Devices, Job, TrainConfig, Trained, keep_result, reached, train};

use super::batch_order::BatchOrders;
use super::{PhaseId, PhaseSpec, SearchParts, Teachers, TunedTeacher};
use crate::events::{Host, Pace, PhaseMonitor, RunEvent};
use crate::inputs::Inputs;
use crate::latency::Limit;
use crate::recipe::{Phase, Recipe};
use crate::teachers::{KeptAnswers, teacher_on};
use crate::{Error, Result};

/// Folder of the teacher's answers in a run folder, where the recipe wants them on the disk; gone once the run is finished.
const CACHE: &str = "teacher-cache";

/// Teachers of a phase's distillation, for any plan of what is learned from them.
pub(crate) struct TeachersOfPhase<'t> {
    teachers: &'t Teachers,
    source: Source,
    devices: Devices,
    /// The cache before them, where another training of the run sees the same batches.
    kept: Option<(Arc<TeacherCache>, Expected)>,
}

impl<'t> TeachersOfPhase<'t> {
    /// The teacher that answers what `plan` asks.
    ///
    /// # Errors
    /// Teachers of several tasks that do not go together.
    pub fn of(&self, plan: &Plan) -> Result<Box<dyn Teacher + 't>> {
        let kept = |of: &'t TunedTeacher| {
            let (cache, expected) = self.kept.clone()?;
            Some(KeptAnswers { cache, identity: of.identity.clone(), layers: TeacherLayers::of(plan), expected })
        };
        let asked = |of: &'t TunedTeacher| teacher_on(&self.devices, &of.model, kept(of));
        let teachers = self.teachers;
        Ok(match (self.source, &teachers.tuned[..]) {
            (Source::Text, _) => asked(&teachers.general),
            (Source::Tasks, [one]) => asked(one),
            (Source::Tasks, several) => {
                let of_task = |of: &'t TunedTeacher| TaskTeacher {
                    name: of.phase.clone(),
                    config: &of.config,
                    teacher: asked(of),
                    head: 0,
                };
                Box::new(TaskTeachers::new(asked(&teachers.general), several.iter().map(of_task).collect())?)
            }
        })
    }
}

/// One line of `log.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// Unix time, milliseconds.
    pub time_ms: i64,
    /// What happened.
    #[serde(flatten)]
    pub event: RunEvent,
}

/// A run in progress.
pub struct Context<'a> {
    /// The effective recipe.
    pub recipe: &'a Recipe,
    /// Its phases.
    pub phases: &'a [PhaseSpec<'a>],
    /// What it reads.
    pub inputs: &'a Inputs,
    /// Where it writes.
    pub paths: &'a RunPaths,
    /// Hash of the effective recipe; ties checkpoints to it.
    pub config_hash: &'a str,
    /// Devices without autodiff that share the steps of trainings.
    pub devices: Devices,
    /// The main one of them: what is no training is done there.
    pub device: Device,
    /// The program around.
    pub host: &'a mut dyn Host,
    /// What its search is made of.
    pub parts: &'a mut dyn SearchParts,
    /// What holds its search to a latency, if anything does.
    pub limit: Option<Limit>,
    /// The teacher's answers, if they are kept.
    cache: Option<Arc<TeacherCache>>,
    log: JsonlWriter,
    pace: Pace,
    log_error: Option<run_store::Error>,
}

impl<'a> Context<'a> {
    /// Opens the log of a run, and the cache of its teacher, which keeps `room` bytes at most.
    ///
    /// # Errors
    /// The log or the folder of the cache cannot be opened.
    pub fn new(
        (recipe, phases): (&'a Recipe, &'a [PhaseSpec<'a>]),
        inputs: &'a Inputs,
        paths: &'a RunPaths,
        config_hash: &'a str,
        devices: Devices,
        room: ByteSize,
        (parts, host): (&'a mut dyn SearchParts, &'a mut dyn Host),
    ) -> Result<Self> {
        let log = JsonlWriter::open(paths.log())?;
        let settings = recipe.teacher.cache;
        let cache = match settings.place {
            CacheStorage::Off => None,
            // Rounded answers are rounded whether they are kept or not.
            _ if room == ByteSize(0) && settings.format == Format::F32 => None,
            CacheStorage::Memory => Some(TeacherCache::in_memory(room, settings.format)),
            CacheStorage::Disk => Some(TeacherCache::in_folder(paths.root().join(CACHE), room, settings.format)?),
        };
        let cache = cache.map(Arc::new);
        Ok(Self {
            recipe,
            phases,
            inputs,
            paths,
            config_hash,
            device: devices.main().clone(),
            devices,
            host,
            parts,
            limit: None,
            cache,
            log,
            pace: Pace::default(),
            log_error: None,
        })
    }

    /// Logs an event and tells the host.
    ///
    /// # Errors
    /// The log could not be written, now or by an earlier event.
    pub fn emit(&mut self, event: RunEvent) -> Result<()> {
        self.note(event);
        self.log_error.take().map_or(Ok(()), |e| Err(e.into()))
    }

    /// Logs an event; a failure to do so surfaces with the next [`Context::emit`].
    pub(crate) fn note(&mut self, mut event: RunEvent) {
        let time_ms = self.host.now_ms();
        self.pace.complete(&mut event, time_ms, self.host.memory_mib());
        let line = LogLine { time_ms, event };
        if line.event.is_lasting()
            && let Err(error) = self.log.append(&line)
        {
            self.log_error.get_or_insert(error);
        }
        self.host.event(&line.event);
    }

    /// Whether the host asked to stop.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if so.
    pub fn check_stop(&self) -> Result<()> {
        if self.host.stop().load(std::sync::atomic::Ordering::SeqCst) { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Runs a phase, of whose `total` steps or trials `done` are done, with its start and end logged; one that is `over` was logged
    /// by an earlier process, so it only hands its result back.
    ///
    /// # Errors
    /// What `work` gives, or a log that cannot be written.
    pub fn phase<T>(
        &mut self,
        spec: &PhaseSpec<'_>,
        (total, done): (u64, u64),
        over: bool,
        work: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.check_stop()?;
        if over {
            return work(self);
        }
        let start = self.host.now_ms();
        self.emit(RunEvent::PhaseStarted { phase: spec.name.clone(), total, done })?;
        let before = self.cache_report();
        let result = work(self)?;
        self.tell_cache(spec, before);
        let seconds = (self.host.now_ms() - start) as f64 / 1e3;
        self.emit(RunEvent::PhaseFinished { phase: spec.name.clone(), seconds })?;
        Ok(result)
    }

    /// Trains with checkpoints under `FOLDER/PHASE/`, resuming where a killed run stopped. Once it is finished, the result alone is kept
    /// of them: the phases after it, and those of a resumed run, need nothing else.
    ///
    /// # Errors
    /// As [`train`](fn@train).
    pub fn train(
        &mut self,
        spec: &PhaseSpec<'_>,
        model: TaskModel,
        job: &dyn Job<TaskModel>,
    ) -> Result<Trained<TaskModel>> {
        let (phase, settings) = (spec.name.as_str(), &spec.training()?.settings);
        for message in self.inputs.take_notes() {
            self.note(RunEvent::Note { message });
        }
        let store = CheckpointStore::new(self.folder(phase), self.config_hash);
        store.clean_stale_temps()?;
        let far = reached(&store).map_err(|source| Error::Training { phase: phase.into(), source })?;
        let done = if far.finished { settings.train.steps } else { far.step };
        let config = self.train_config(settings, self.seed_of(phase));
        let stop = self.host.stop();
        let devices = self.devices.clone();
        let trained = self.phase(spec, (settings.train.steps, done), far.finished, |run| {
            let resumed = done > 0 && !far.finished;
            let mut monitor = PhaseMonitor { phase, resumed, emit: &mut |event| run.note(event), stop };
            train(model, &devices, job, &config, Some(&store), &mut monitor)
                .map_err(|source| Error::Training { phase: phase.into(), source })
        })?;
        // What could not be removed takes room and does no harm.
        if let Err(e) = keep_result(&store) {
            self.note(RunEvent::Note { message: format!("{phase}: its checkpoints stay as they are: {e}") });
        }
        Ok(trained)
    }

    /// Whether a checkpoint of the training `phase` has its weights already.
    pub(super) fn has_begun(&self, phase: PhaseId) -> Result<bool> {
        let spec = self.spec(phase)?;
        let store = CheckpointStore::new(self.folder(&spec.name), self.config_hash);
        let far = reached(&store).map_err(|source| Error::Training { phase: spec.name.clone(), source })?;
        Ok(far.finished || far.step > 0)
    }

    /// Settings of the training `phase` for the engine, which reports as often as the program or the recipe wants it.
    pub(crate) fn train_config(&self, phase: &Phase, seed: u64) -> TrainConfig {
        let usual = phase.train_config(seed);
        let log_every = self.host.log_every().or(self.recipe.log_every);
        TrainConfig { log_every: log_every.unwrap_or(usual.log_every), ..usual }
    }

    /// Whether answers of the teacher are kept.
    pub(super) fn has_cache(&self) -> bool {
        self.cache.is_some()
    }

    /// The teacher of a phase's distillation on `source`, on tasks each task's own where they have them; with the cache before it
    /// where another training of the run sees the same batches.
    pub(crate) fn teacher_for<'t>(
        &self,
        phase: PhaseId,
        source: Source,
        teachers: &'t Teachers,
        plan: &Plan,
    ) -> Result<Box<dyn Teacher + 't>> {
        self.teachers_for(phase, source, teachers).of(plan)
    }

    /// The same before it is known what is learned from it.
    pub(super) fn teachers_for<'t>(
        &self,
        phase: PhaseId,
        source: Source,
        teachers: &'t Teachers,
    ) -> TeachersOfPhase<'t> {
        let expected = BatchOrders::of(self.recipe, self.phases).expected(phase, source);
        let kept = self.cache.clone().zip(expected);
        TeachersOfPhase { teachers, source, devices: self.devices.clone(), kept }
    }

    fn cache_report(&self) -> CacheReport {
        self.cache.as_ref().map(|cache| cache.report()).unwrap_or_default()
    }

    /// Tells what the cache was good for in a phase, and drops what nobody will ask for any more.
    fn tell_cache(&mut self, spec: &PhaseSpec<'_>, before: CacheReport) {
        let Some(cache) = self.cache.clone() else { return };
        for message in cache.take_notes() {
            self.note(RunEvent::Note { message });
        }
        let CacheReport { hits, misses, refused, broken, entries, bytes } = cache.report().since(before);
        if hits + misses > 0 {
            let phase = spec.name.clone();
            self.note(RunEvent::TeacherCache { phase, hits, misses, refused, broken, entries, bytes });
        }
        for order in BatchOrders::of(self.recipe, self.phases).over_after(spec.id) {
            cache.release(order);
        }
    }

    /// Removes what is left of the cache on the disk: a finished run has no use for it.
    pub(crate) fn clear_cache(&mut self) {
        let folder = self.paths.root().join(CACHE);
        self.cache = None;
        if !folder.is_dir() {
            return;
        }
        if let Err(e) = std::fs::remove_dir_all(&folder) {
            let message = format!("cannot remove {CACHE}: {e}; it is no longer needed");
            self.note(RunEvent::Note { message });
        }
    }

    /// Removes the checkpoints of all phases: a finished run has its models, and nothing is trained again.
    pub(crate) fn clear_checkpoints(&mut self) {
        for phase in self.phases.iter().filter(|phase| phase.has_checkpoints()) {
            let folder = self.folder(&phase.name);
            if let Err(e) = CheckpointStore::new(&folder, self.config_hash).clear() {
                let name = &phase.name;
                let message = format!("cannot remove the checkpoints in {name}: {e}; they are no longer needed");
                self.note(RunEvent::Note { message });
            }
            // Those that are empty; what else somebody put there stays.
            for parent in folder.ancestors().skip(1).take_while(|parent| *parent != self.paths.root()) {
                let _ = std::fs::remove_dir(parent);
            }
        }
    }

    pub(crate) fn spec(&self, id: PhaseId) -> Result<&'a PhaseSpec<'a>> {
        let missing = || Error::Mismatch(format!("a run of this recipe has no phase `{}`", id.name()));
        self.phases.iter().find(|phase| phase.id == id).ok_or_else(missing)
    }

    /// Folder of a phase; its name is the phase's, which may have parts (`final/task`).
    pub fn folder(&self, phase: &str) -> PathBuf {
        self.paths.root().join(phase)
    }

    /// Seed of a phase's training.
    pub fn seed_of(&self, phase: &str) -> u64 {
        use rand::RngCore;
        run_store::rng::keyed(self.recipe.seed, phase, &[]).next_u64()
    }
}
