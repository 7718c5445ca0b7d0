//! The loop.

use std::ops::ControlFlow;

use bert_core::weights::{Tensors, apply_internal, collect_internal, parameter_shapes};
use burn::module::Module;
use burn::tensor::Device;
use run_store::checkpoint::CheckpointStore;

use super::state::{Best, State};
use super::step::{Measured, measure, update};
use super::{Devices, Evaluation, Job, Monitor, NotFinite, TrainConfig, TrainEvent};
use crate::optim::check_groups;
use crate::{Error, Result};

/// The result of a training.
#[derive(Debug)]
pub struct Trained<M> {
    /// The best evaluated weights if `keep_best` and anything was evaluated, else the last.
    pub model: M,
    /// Evaluation of `model`, if there was one.
    pub evaluation: Option<Evaluation>,
    /// Steps after which `model` was reached.
    pub step: u64,
    /// Steps of the training; fewer than its settings say where it was stopped early.
    pub steps: u64,
}

/// Trains `model`, which is on the main device of `devices`, on all of them, resuming from `store` if it holds a checkpoint that verifies.
///
/// A training stopped anywhere and started again with the same arguments gives the same weights
/// as one that was not stopped (same devices and number of threads): data, dropout and learning
/// rate are functions of the step number, and a checkpoint holds weights, moments and the best
/// weights exactly, and where early stop and skipped steps stand. On the CPU the weights do not depend on the number of threads
/// either. On other devices dropout draws
/// from the device's generator, which burn keeps once per process: with dropout, two trainings at the same time in one
/// process disturb each other's draws there.
///
/// # Errors
/// A loss or gradient that is not finite (naming the step), where the settings do not skip it or too many were skipped: the last
/// checkpoint stays, and where better weights were found since then, one with them is written. A group of
/// parameters that has none, an optimizer other than the checkpoint's, an
/// interruption, between steps or in an evaluation (after a checkpoint), unreadable data, or a file that cannot be written.
pub fn train<M: Module>(
    model: M,
    devices: impl Into<Devices>,
    job: &dyn Job<M>,
    config: &TrainConfig,
    store: Option<&CheckpointStore>,
    monitor: &mut dyn Monitor,
) -> Result<Trained<M>> {
    train_stage(model, devices, job, config, &Stage::whole(config), store, monitor)
}

/// The steps of a training that [`train_stage`] runs, and what it begins with.
#[derive(Clone, Debug, Default)]
pub struct Stage {
    /// Steps that are done before it.
    pub begins: u64,
    /// The step after which it ends; the last stage's is that of the settings.
    pub ends: u64,
    /// Moments of the optimizer to begin with, as a checkpoint holds them; none for new ones.
    pub moments: Option<Tensors>,
}

impl Stage {
    /// All steps.
    pub fn whole(config: &TrainConfig) -> Self {
        Self { begins: 0, ends: config.steps, moments: None }
    }
}

/// [`train`](fn@train) of some of the steps of a training: data, dropout and learning rate are those of these steps of the whole. Each stage has
/// a store of its own; only the last one looks for the best weights of all of its evaluations.
///
/// # Errors
/// As [`train`](fn@train); moments that are incomplete.
pub fn train_stage<M: Module>(
    model: M,
    devices: impl Into<Devices>,
    job: &dyn Job<M>,
    config: &TrainConfig,
    stage: &Stage,
    store: Option<&CheckpointStore>,
    monitor: &mut dyn Monitor,
) -> Result<Trained<M>> {
    config.validate()?;
    let devices = &devices.into();
    devices.check_precision(config.precision)?;
    let mut state = State::new(model.train(), config, stage)?;
    if !config.groups.is_empty() {
        let paths: Vec<String> = parameter_shapes(&state.model).into_keys().collect();
        check_groups(&config.groups, &paths)?;
    }
    if let Some(store) = store {
        let latest = store.latest()?;
        for skipped in &latest.skipped {
            let reason = skipped.reason.to_string();
            monitor.event(&TrainEvent::SkippedCheckpoint { step: skipped.step, reason });
        }
        if let Some(checkpoint) = &latest.checkpoint {
            state.restore(checkpoint, job, config)?;
            // A process that was killed between a save and the clearing away after it left too many.
            store.retain(config.keep_last)?;
            let best = state.best.as_ref().map(|best| best.evaluation.score);
            monitor.event(&TrainEvent::Resumed { step: state.step, best });
        }
    }
    let mut saved = state.step;
    let mut tokens = 0;
    // What is open after the checkpoint's step failed when it was tried, or was cut off.
    if !state.progress.finished {
        let before = state.progress.clone();
        close(&mut state, devices, job, config, monitor)?;
        if let Some(store) = store.filter(|_| state.progress != before) {
            // In place of the checkpoint that says it is open.
            state.save(store, job, config)?;
            monitor.event(&TrainEvent::Checkpoint { step: state.step });
        }
    }
    while !state.progress.finished {
        let outcome = advance(state, devices, job, config, &mut tokens, monitor);
        let result;
        (state, result) = outcome;
        if let Err(error) = result {
            // What is better than everything that was saved must not be lost with this process; nor what is done before an
            // evaluation that was cut off.
            let unsaved = state.best.as_ref().is_some_and(|best| best.step > saved);
            let stopped = matches!(error, Error::Interrupted { .. });
            if let Some(store) = store.filter(|_| stopped || unsaved && error.is_divergence()) {
                state.save(store, job, config)?;
                monitor.event(&TrainEvent::Checkpoint { step: state.step });
            }
            return Err(error);
        }
        let finished = state.progress.finished;
        let checkpoint_due =
            finished || config.checkpoint_every > 0 && state.step.is_multiple_of(config.checkpoint_every);
        let interrupted = !finished && monitor.interrupted();
        if let Some(store) = store.filter(|_| checkpoint_due || interrupted) {
            state.save(store, job, config)?;
            saved = state.step;
            monitor.event(&TrainEvent::Checkpoint { step: state.step });
        }
        if interrupted {
            return Err(Error::Interrupted { step: state.step });
        }
    }
    finish(state, config)
}

/// One step, and the evaluation that is due after it. The state comes back in any case: after a failed step as it was before it, after
/// a failed evaluation with that still open.
fn advance<M: Module>(
    mut state: State<M>,
    devices: &Devices,
    job: &dyn Job<M>,
    config: &TrainConfig,
    tokens: &mut u64,
    monitor: &mut dyn Monitor,
) -> (State<M>, Result<()>) {
    let step = state.step;
    let measured = match fused_ops::busy_wait(|| measure(&state, devices, job, config, monitor)) {
        Ok(measured) => measured,
        Err(error) => return (state, Err(error)),
    };
    match job.tokens(step) {
        Ok(more) => *tokens += more,
        Err(error) => return (state, Err(error)),
    }
    match measured {
        Measured::Finite(measured) => {
            let mut report;
            (state, report) = fused_ops::busy_wait(|| update(state, measured, config));
            job.finished(step);
            if state.step.is_multiple_of(config.log_every) || state.step == state.ends {
                report.tokens = std::mem::take(tokens);
                monitor.event(&TrainEvent::Step(&report));
            }
        }
        Measured::NotFinite(what) => {
            let in_a_row = state.progress.skipped + 1;
            let skip = config.on_not_finite == NotFinite::Skip && in_a_row <= config.max_skips;
            monitor.event(&TrainEvent::NotFinite { step, what: &what, skipped: skip.then_some(in_a_row) });
            if !skip {
                let what = match state.progress.skipped {
                    0 => what,
                    skipped => format!("after {skipped} skipped steps in a row, {what}"),
                };
                return (state, Err(Error::NotFinite { step, what }));
            }
            state.progress.skipped = in_a_row;
            state.step += 1;
        }
    }
    let ended = close(&mut state, devices, job, config, monitor);
    (state, ended)
}

/// What belongs to the end of the step that the state is at: the evaluation, if it is due, and whether the training is finished.
fn close<M: Module>(
    state: &mut State<M>,
    devices: &Devices,
    job: &dyn Job<M>,
    config: &TrainConfig,
    monitor: &mut dyn Monitor,
) -> Result<()> {
    let mut finished = state.step >= state.ends;
    let due = finished || config.eval_every > 0 && state.step.is_multiple_of(config.eval_every);
    if due && state.progress.evaluated < state.step {
        finished |= evaluate(state, devices.main(), job, config, monitor)?;
        state.progress.evaluated = state.step;
    }
    state.progress.finished = finished;
    Ok(())
}

/// Evaluates and keeps what is best; true if the training is to end because it does not get better.
fn evaluate<M: Module>(
    state: &mut State<M>,
    device: &Device,
    job: &dyn Job<M>,
    config: &TrainConfig,
    monitor: &mut dyn Monitor,
) -> Result<bool> {
    let step = state.step;
    let mut watch = |done, total| {
        monitor.event(&TrainEvent::Evaluating { step, done, total });
        if monitor.interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let scored = config.quantization_aware.scope(|| job.evaluate(&state.model.valid(), step, device, &mut watch));
    let evaluation = match scored {
        Err(Error::Predict(predict::Error::Stopped)) => return Err(Error::Interrupted { step }),
        result => result?,
    };
    let Some(evaluation) = evaluation else { return Ok(false) };
    if !evaluation.score.is_finite() {
        return Err(Error::NotFinite { step: state.step, what: "evaluation score".into() });
    }
    let best = state.best.as_ref().is_none_or(|b| evaluation.score > b.evaluation.score);
    monitor.event(&TrainEvent::Evaluated { step: state.step, evaluation: &evaluation, best });
    if best && config.keep_best {
        let weights = collect_internal(&state.model);
        state.best = Some(Best { step: state.step, evaluation: evaluation.clone(), weights });
    }
    let enough = state.progress.note(evaluation.score, config);
    state.last = Some(evaluation);
    if enough && state.step < state.ends {
        monitor.event(&TrainEvent::StoppedEarly { step: state.step, waited: state.progress.waited });
    }
    Ok(enough)
}

fn finish<M: Module>(state: State<M>, config: &TrainConfig) -> Result<Trained<M>> {
    let (model, steps) = (state.model.valid(), state.step);
    match state.best.filter(|_| config.keep_best) {
        Some(best) => Ok(Trained {
            model: apply_internal(model, best.weights, "best weights".as_ref())?,
            evaluation: Some(best.evaluation),
            step: best.step,
            steps,
        }),
        None => Ok(Trained { model, evaluation: state.last, step: steps, steps }),
    }
}
