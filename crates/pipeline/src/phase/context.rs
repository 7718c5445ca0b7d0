//! What all phases share.

use std::path::PathBuf;

use burn::module::Module;
use burn::tensor::Device;
use durable::checkpoint::CheckpointStore;
use durable::log::JsonlWriter;
use durable::rundir::RunPaths;
use kd::engine::{Job, Trained, reached, train};
use serde::{Deserialize, Serialize};

use crate::events::{Host, Pace, PhaseMonitor, RunEvent};
use crate::inputs::Inputs;
use crate::recipe::{Phase, Recipe};
use crate::{Error, Result};

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
    /// What it reads.
    pub inputs: &'a Inputs,
    /// Where it writes.
    pub paths: &'a RunPaths,
    /// Hash of the effective recipe; ties checkpoints to it.
    pub config_hash: &'a str,
    /// Device without autodiff.
    pub device: Device,
    /// The program around.
    pub host: &'a mut dyn Host,
    log: JsonlWriter,
    pace: Pace,
    log_error: Option<durable::Error>,
}

impl<'a> Context<'a> {
    /// Opens the log of a run.
    ///
    /// # Errors
    /// The log cannot be opened.
    pub fn new(
        recipe: &'a Recipe,
        inputs: &'a Inputs,
        paths: &'a RunPaths,
        config_hash: &'a str,
        device: Device,
        host: &'a mut dyn Host,
    ) -> Result<Self> {
        let log = JsonlWriter::open(paths.log())?;
        Ok(Self { recipe, inputs, paths, config_hash, device, host, log, pace: Pace::default(), log_error: None })
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
    pub(super) fn note(&mut self, mut event: RunEvent) {
        let time_ms = self.host.now_ms();
        self.pace.complete(&mut event, time_ms, self.host.memory_mib());
        let line = LogLine { time_ms, event };
        if let Err(error) = self.log.append(&line) {
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

    /// Runs a phase with its start and end logged; one whose `total` steps or trials are all `done`
    /// was logged by an earlier process, so it only hands its result back.
    ///
    /// # Errors
    /// What `work` gives, or a log that cannot be written.
    pub fn phase<T>(
        &mut self,
        name: &str,
        total: u64,
        done: u64,
        work: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.check_stop()?;
        if done >= total {
            return work(self);
        }
        let start = self.host.now_ms();
        self.emit(RunEvent::PhaseStarted { phase: name.into(), total, done })?;
        let result = work(self)?;
        let seconds = (self.host.now_ms() - start) as f64 / 1e3;
        self.emit(RunEvent::PhaseFinished { phase: name.into(), seconds })?;
        Ok(result)
    }

    /// Trains with checkpoints under `FOLDER/PHASE/`, resuming where a killed run stopped.
    ///
    /// # Errors
    /// As [`train`].
    pub fn train<M: Module>(
        &mut self,
        phase: &str,
        model: M,
        job: &mut dyn Job<M>,
        settings: &Phase,
    ) -> Result<Trained<M>> {
        for message in self.inputs.take_notes() {
            self.note(RunEvent::Note { message });
        }
        let store = CheckpointStore::new(self.folder(phase), self.config_hash);
        store.clean_stale_temps()?;
        let far = reached(&store).map_err(|source| Error::Training { phase: phase.into(), source })?;
        let done = if far.finished { settings.steps } else { far.step };
        let seed = self.seed_of(phase);
        let stop = self.host.stop();
        let device = self.device.clone();
        self.phase(phase, settings.steps, done, |run| {
            let resumed = (1..settings.steps).contains(&done);
            let mut monitor = PhaseMonitor { phase, resumed, emit: &mut |event| run.note(event), stop };
            train(model, &device, job, &settings.train_config(seed), Some(&store), &mut monitor)
                .map_err(|source| Error::Training { phase: phase.into(), source })
        })
    }

    /// Folder of a phase; its name is the phase's, which may have parts (`final/task`).
    pub fn folder(&self, phase: &str) -> PathBuf {
        self.paths.root().join(phase)
    }

    /// Seed of a phase's training.
    pub fn seed_of(&self, phase: &str) -> u64 {
        use rand::RngCore;
        durable::rng::keyed(self.recipe.seed, phase, &[]).next_u64()
    }
}
