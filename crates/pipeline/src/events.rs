//! What a watcher is told, and what `log.jsonl` holds.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use train::engine::{Monitor, TrainEvent};

use crate::phase::Forecast;

/// How the message of a [`RunEvent::Note`] begins that must be seen in every mode.
pub const NOTED_WARNING: &str = "warning: ";

/// One event of a run; one line of `log.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RunEvent {
    /// What the run is going to do, before it begins.
    Plan {
        /// Its phases, with measured times.
        #[serde(flatten)]
        forecast: Forecast,
    },
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
        /// Real tokens in the batches since the step before that was reported, by this process; 0 where nobody can tell.
        #[serde(default)]
        tokens: u64,
        /// These tokens by the seconds that went by, evaluations and checkpoints included.
        #[serde(default)]
        tokens_per_second: Option<f64>,
        /// Resident memory of the process, MiB.
        #[serde(default)]
        memory_mib: Option<f64>,
    },
    /// A training goes on from a checkpoint. Steps after it that were reported before are done again: their later lines count.
    Resumed {
        /// Name of the phase.
        phase: String,
        /// Steps done.
        step: u64,
        /// Best score so far, if best weights are kept.
        #[serde(default)]
        best: Option<f64>,
    },
    /// A checkpoint did not verify.
    PassedOver {
        /// Name of the phase.
        phase: String,
        /// Its step.
        step: u64,
        /// Why.
        reason: String,
    },
    /// A step was left out, since its loss or gradient is not finite.
    Skipped {
        /// Name of the phase.
        phase: String,
        /// The step, from 0.
        step: u64,
        /// What is not finite.
        what: String,
        /// Skipped steps in a row, this one included.
        in_a_row: u32,
    },
    /// A training ended before its last step, since it did not get better.
    StoppedEarly {
        /// Name of the phase.
        phase: String,
        /// Steps done.
        step: u64,
        /// Evaluations since the last improvement.
        waited: u64,
    },
    /// How far something is that is done within one step or trial: an evaluation, the training of a candidate. It is shown and not
    /// logged.
    Within {
        /// Name of the phase.
        phase: String,
        /// What it is.
        what: String,
        /// Of what there are so many: steps, examples.
        unit: String,
        /// How many are done.
        done: u64,
        /// How many there are.
        total: u64,
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
    /// The run or the training ended with an error; what was done before is kept.
    Failed {
        /// The error.
        message: String,
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
            | Self::Resumed { phase, .. }
            | Self::PassedOver { phase, .. }
            | Self::Skipped { phase, .. }
            | Self::StoppedEarly { phase, .. }
            | Self::Within { phase, .. }
            | Self::Evaluated { phase, .. }
            | Self::Trial { phase, .. }
            | Self::Rejected { phase, .. }
            | Self::TeacherCache { phase, .. }
            | Self::PhaseFinished { phase, .. } => Some(phase),
            Self::Plan { .. } | Self::Failed { .. } | Self::Note { .. } => None,
        }
    }

    /// Whether it belongs into the log: what is over with the next step does not.
    pub fn is_lasting(&self) -> bool {
        !matches!(self, Self::Within { .. })
    }

    /// What happened in a training, as an event of the phase; `None` for what is not worth a line.
    ///
    /// Speed and memory are open: see [`Pace`].
    pub fn of_training(phase: &str, event: &TrainEvent<'_>) -> Option<Self> {
        let phase = phase.to_string();
        Some(match event {
            TrainEvent::Resumed { step, best } => Self::Resumed { phase, step: *step, best: *best },
            TrainEvent::SkippedCheckpoint { step, reason } => {
                Self::PassedOver { phase, step: *step, reason: reason.clone() }
            }
            TrainEvent::Step(r) => Self::Step {
                phase,
                step: r.step,
                total: r.total,
                loss: r.loss,
                terms: r.terms.iter().map(|(n, v)| ((*n).to_string(), *v)).collect(),
                learning_rate: r.learning_rate,
                grad_norm: r.grad_norm,
                tokens: r.tokens,
                tokens_per_second: None,
                memory_mib: None,
            },
            TrainEvent::Evaluating { done, total, .. } => Self::Within {
                phase,
                what: "evaluation".into(),
                unit: "examples".into(),
                done: *done as u64,
                total: *total as u64,
            },
            TrainEvent::Evaluated { step, evaluation, best } => Self::Evaluated {
                phase,
                step: *step,
                score: evaluation.score,
                metrics: evaluation.metrics.clone(),
                best: *best,
            },
            TrainEvent::NotFinite { step, what, skipped: Some(in_a_row) } => {
                Self::Skipped { phase, step: *step, what: (*what).to_string(), in_a_row: *in_a_row }
            }
            TrainEvent::NotFinite { step, what, skipped: None } => {
                Self::Note { message: format!("{phase}: step {step}: {what} is not finite; the training stops") }
            }
            TrainEvent::Overflow { step, scale } => Self::Note {
                message: format!(
                    "{phase}: step {step}: a gradient is out of f16's range; taken again with a loss scale of {scale}"
                ),
            },
            TrainEvent::StoppedEarly { step, waited } => Self::StoppedEarly { phase, step: *step, waited: *waited },
            TrainEvent::Growing { done, total } => {
                Self::Within { phase, what: "learned growth".into(), unit: "steps".into(), done: *done, total: *total }
            }
            TrainEvent::Grown { step, first, last } => Self::Note {
                message: format!(
                    "{phase}: after step {step}: the encoder grew; its loss was {first:.3} at first, {last:.3} at the end of learning to grow"
                ),
            },
            TrainEvent::Checkpoint { .. } => return None,
        })
    }
}

/// Completes the events of trainings with what a clock and the operating system say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// When the tokens of the next step began to be counted.
    since_ms: Option<i64>,
}

impl Pace {
    /// Writes speed and memory into a step; `now_ms` is Unix time.
    pub fn complete(&mut self, event: &mut RunEvent, now_ms: i64, memory: Option<f64>) {
        match event {
            // The first step has to wait for this one.
            RunEvent::PhaseStarted { .. } | RunEvent::Resumed { .. } => self.since_ms = Some(now_ms),
            RunEvent::Step { tokens, tokens_per_second, memory_mib, .. } => {
                let since = self.since_ms.replace(now_ms);
                let took = since.map(|since| (now_ms - since) as f64 / 1e3).filter(|&seconds| seconds > 0.0);
                *tokens_per_second = took.filter(|_| *tokens > 0).map(|seconds| *tokens as f64 / seconds);
                *memory_mib = memory;
            }
            _ => {}
        }
    }
}

/// The program around a run: clock, terminal, interrupt.
pub trait Host {
    /// Called as things happen.
    fn event(&mut self, event: &RunEvent);

    /// Unix time, milliseconds.
    fn now_ms(&self) -> i64;

    /// Resident memory of this process, MiB, if that is known.
    fn memory_mib(&self) -> Option<f64> {
        None
    }

    /// Steps between two reports of a training, if others than the recipe's.
    fn log_every(&self) -> Option<u64> {
        None
    }

    /// Memory that this process could still take before the machine or its container has none, in bytes, if that is known.
    fn free_memory(&self) -> Option<u64> {
        None
    }

    /// Bytes that can still be written on the disk of `folder`, which need not exist yet, if that is known.
    fn free_disk(&self, folder: &Path) -> Option<u64> {
        let _ = folder;
        None
    }

    /// Set when the run shall stop: at the next step, or the next batch of an evaluation.
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
        if matches!(event, TrainEvent::Resumed { .. }) && !self.resumed {
            return;
        }
        if let Some(event) = RunEvent::of_training(self.phase, event) {
            (self.emit)(event);
        }
    }

    fn interrupted(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(tokens: u64) -> RunEvent {
        let report = train::engine::StepReport {
            step: 3,
            total: 9,
            loss: 0.5,
            terms: vec![("label", 0.5)],
            grad_norm: 1.0,
            learning_rate: 0.1,
            tokens,
        };
        RunEvent::of_training("teacher", &TrainEvent::Step(&report)).unwrap()
    }

    #[test]
    fn speed_is_tokens_by_the_time_since_the_step_before_or_the_start() {
        let mut pace = Pace::default();
        let mut speed = |mut event: RunEvent, now| {
            pace.complete(&mut event, now, Some(64.0));
            match event {
                RunEvent::Step { tokens_per_second, memory_mib, .. } => {
                    assert_eq!(memory_mib, Some(64.0));
                    tokens_per_second
                }
                _ => None,
            }
        };
        assert_eq!(speed(step(10), 5), None, "nobody knows since when");
        speed(RunEvent::PhaseStarted { phase: "teacher".into(), total: 9, done: 0 }, 1000);
        assert_eq!(speed(step(300), 3000), Some(150.0));
        assert_eq!(speed(step(300), 3500), Some(600.0));
        assert_eq!(speed(step(300), 3500), None, "no time went by");
        assert_eq!(speed(step(0), 9000), None, "tokens that nobody counts have no speed");
        speed(RunEvent::Resumed { phase: "teacher".into(), step: 2, best: None }, 20_000);
        assert_eq!(speed(step(100), 21_000), Some(100.0), "a pause between two processes does not count");
    }

    #[test]
    fn lines_of_older_logs_are_still_read() {
        let old = r#"{"event":"step","phase":"a","step":1,"total":2,"loss":1.0,"terms":[],"learning_rate":0.1,"grad_norm":1.0}"#;
        let event: RunEvent = serde_json::from_str(old).unwrap();
        assert!(matches!(event, RunEvent::Step { tokens: 0, tokens_per_second: None, .. }), "{event:?}");
    }
}
