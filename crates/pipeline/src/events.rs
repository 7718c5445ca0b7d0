//! What a watcher is told, and what `log.jsonl` holds.

use std::sync::atomic::{AtomicBool, Ordering};

use kd::engine::{Monitor, TrainEvent};
use serde::{Deserialize, Serialize};

/// One event of a run; one line of `log.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RunEvent {
    /// A phase begins (or goes on after a resume).
    PhaseStarted {
        /// Name of the phase.
        phase: String,
        /// Steps or trials in all.
        total: u64,
        /// Done already.
        done: u64,
    },
    /// Progress of a training.
    Step {
        /// Name of the phase.
        phase: String,
        /// Steps done.
        step: u64,
        /// Steps in all.
        total: u64,
        /// Sum of the loss terms.
        loss: f64,
        /// Each loss term.
        terms: Vec<(String, f64)>,
        /// Learning rate used.
        learning_rate: f64,
        /// Global gradient norm before clipping.
        grad_norm: f64,
    },
    /// An evaluation on the dev sets (or on held-out examples).
    Evaluated {
        /// Name of the phase.
        phase: String,
        /// Steps done.
        step: u64,
        /// What decides which weights are best.
        score: f64,
        /// Everything measured.
        metrics: std::collections::BTreeMap<String, f64>,
        /// Whether it is the best so far.
        best: bool,
    },
    /// A trial of the search ended.
    Trial {
        /// Name of the phase.
        phase: String,
        /// Number within the stage.
        number: u64,
        /// Trials in all.
        total: u64,
        /// Fitness, if it has one.
        score: Option<f64>,
        /// Parameters.
        params: u64,
        /// Whether it is the best so far.
        best: bool,
        /// Why it failed, if it did.
        reason: Option<String>,
    },
    /// A candidate was not evaluated.
    Rejected {
        /// Name of the phase.
        phase: String,
        /// Why.
        reason: String,
    },
    /// What the teacher's kept answers were good for in a phase.
    TeacherCache {
        /// Name of the phase.
        phase: String,
        /// Batches whose answers were there.
        hits: u64,
        /// Batches that the teacher had to be asked about.
        misses: u64,
        /// Of these, how many could not be kept.
        refused: u64,
        /// Damaged or foreign entries, computed again.
        broken: u64,
        /// Entries kept at the end of the phase.
        entries: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// A phase ended.
    PhaseFinished {
        /// Name of the phase.
        phase: String,
        /// Seconds of this process spent in it.
        seconds: f64,
    },
    /// Something worth knowing.
    Note {
        /// The text.
        message: String,
    },
}

impl RunEvent {
    /// Name of the phase that the event belongs to, if it belongs to one.
    pub fn phase(&self) -> Option<&str> {
        match self {
            Self::PhaseStarted { phase, .. }
            | Self::Step { phase, .. }
            | Self::Evaluated { phase, .. }
            | Self::Trial { phase, .. }
            | Self::Rejected { phase, .. }
            | Self::TeacherCache { phase, .. }
            | Self::PhaseFinished { phase, .. } => Some(phase),
            Self::Note { .. } => None,
        }
    }
}

/// The program around a run: clock, terminal, interrupt.
pub trait Host {
    /// Called as things happen.
    fn event(&mut self, event: &RunEvent);

    /// Unix time, milliseconds.
    fn now_ms(&self) -> i64;

    /// Set when the run shall stop at the next step.
    fn stop(&self) -> &'static AtomicBool;
}

/// Passes a training's events to a run's watcher.
pub(crate) struct PhaseMonitor<'a> {
    pub phase: &'a str,
    /// Whether going on in the middle is worth a note; a finished training is only read back.
    pub resumed: bool,
    pub emit: &'a mut dyn FnMut(RunEvent),
    pub stop: &'a AtomicBool,
}

impl Monitor for PhaseMonitor<'_> {
    fn event(&mut self, event: &TrainEvent<'_>) {
        let phase = self.phase.to_string();
        let event = match event {
            TrainEvent::Resumed { .. } if !self.resumed => return,
            TrainEvent::Resumed { step } => RunEvent::Note { message: format!("{phase}: resumed at step {step}") },
            TrainEvent::SkippedCheckpoint { step, reason } => {
                RunEvent::Note { message: format!("{phase}: checkpoint {step} passed over: {reason}") }
            }
            TrainEvent::Step(r) => RunEvent::Step {
                phase,
                step: r.step,
                total: r.total,
                loss: r.loss,
                terms: r.terms.iter().map(|(n, v)| ((*n).to_string(), *v)).collect(),
                learning_rate: r.learning_rate,
                grad_norm: r.grad_norm,
            },
            TrainEvent::Evaluated { step, evaluation, best } => RunEvent::Evaluated {
                phase,
                step: *step,
                score: evaluation.score,
                metrics: evaluation.metrics.clone(),
                best: *best,
            },
            TrainEvent::NotFinite { step, what, skipped } => {
                let then = match skipped {
                    Some(in_a_row) => format!("skipped, {in_a_row} in a row"),
                    None => "the training stops".into(),
                };
                RunEvent::Note { message: format!("{phase}: step {step}: {what} is not finite; {then}") }
            }
            TrainEvent::StoppedEarly { step, waited } => {
                let message =
                    format!("{phase}: stopped early after step {step}: {waited} evaluations without improvement");
                RunEvent::Note { message }
            }
            TrainEvent::Checkpoint { .. } => return,
        };
        (self.emit)(event);
    }

    fn interrupted(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}
