//! The loop.

use bert_core::weights::{apply_internal, collect_internal};
use burn::module::Module;
use burn::tensor::Device;
use durable::checkpoint::CheckpointStore;
use rand::RngCore;

use super::state::{Best, State};
use super::{Evaluation, Job, Monitor, StepReport, TrainConfig, TrainEvent};
use crate::optim::{Gradients, linear_warmup_decay};
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
}

/// Trains `model` on `device`, resuming from `store` if it holds a checkpoint that verifies.
///
/// A training stopped anywhere and started again with the same arguments gives the same weights
/// as one that was not stopped (same device and number of threads): data, dropout and learning
/// rate are functions of the step number, and a checkpoint holds weights, moments and the best
/// weights exactly. On the CPU the weights do not depend on the number of threads either. On other devices dropout draws
/// from the device's generator, which burn keeps once per process: with dropout, two trainings at the same time in one
/// process disturb each other's draws there.
///
/// # Errors
/// A loss or gradient that is not finite (naming the step; the last checkpoint stays), an
/// interruption (after a checkpoint), unreadable data, or a file that cannot be written.
pub fn train<M: Module>(
    model: M,
    device: &Device,
    job: &mut dyn Job<M>,
    config: &TrainConfig,
    store: Option<&CheckpointStore>,
    monitor: &mut dyn Monitor,
) -> Result<Trained<M>> {
    config.validate()?;
    let mut state = State::new(model.train(), config);
    if let Some(store) = store {
        let latest = store.latest()?;
        for skipped in &latest.skipped {
            let reason = skipped.reason.to_string();
            monitor.event(&TrainEvent::SkippedCheckpoint { step: skipped.step, reason });
        }
        if let Some(checkpoint) = &latest.checkpoint {
            state.restore(checkpoint, config)?;
            monitor.event(&TrainEvent::Resumed { step: state.step });
        }
    }
    while state.step < config.steps {
        let report;
        (state, report) = fused_ops::awake(|| step(state, device, job, config))?;
        if state.step.is_multiple_of(config.log_every) || state.step == config.steps {
            monitor.event(&TrainEvent::Step(&report));
        }
        let at = |every: u64| every > 0 && state.step.is_multiple_of(every);
        let finished = state.step == config.steps;
        let checkpoint_due = at(config.checkpoint_every) || finished;
        if at(config.eval_every) || finished {
            evaluate(&mut state, job, config, monitor)?;
        }
        let interrupted = !finished && monitor.interrupted();
        if let Some(store) = store.filter(|_| checkpoint_due || interrupted) {
            state.save(store)?;
            monitor.event(&TrainEvent::Checkpoint { step: state.step });
        }
        if interrupted {
            return Err(Error::Interrupted { step: state.step });
        }
    }
    finish(state, config)
}

fn step<M: Module>(
    state: State<M>,
    device: &Device,
    job: &mut dyn Job<M>,
    config: &TrainConfig,
) -> Result<(State<M>, StepReport)> {
    // By value: the optimiser updates in place the weights that nobody else holds.
    let State { model, mut optimizer, step, best, last } = state;
    // Masks of dropout follow from a seed per step, which leaves nothing to save: on the CPU by the scope, elsewhere by
    // the device's generator.
    let seed = durable::rng::keyed(config.seed, "dropout", &[step]).next_u64();
    device.seed(seed);
    let terms = config.precision.scope(|| fused_ops::with_dropout_seed(seed, || job.loss(&model, step)))?;
    let loss = terms.total();
    let values: Vec<(&'static str, f64)> =
        terms.0.iter().map(|(name, t)| (*name, f64::from(t.clone().inner().into_scalar::<f32>()))).collect();
    if let Some((name, _)) = values.iter().find(|(_, v)| !v.is_finite()) {
        return Err(Error::NotFinite { step, what: format!("loss term `{name}`") });
    }
    drop(terms);
    let gradients = Gradients::of(&loss, &model);
    drop(loss);
    let norm = gradients.global_norm();
    if !norm.is_finite() {
        return Err(Error::NotFinite { step, what: "gradient norm".into() });
    }
    let factor = linear_warmup_decay(step, config.warmup_steps(), config.steps);
    let lr = config.learning_rate * factor;
    let scale = Gradients::clip_factor(norm, config.clip_norm);
    let model = optimizer.step(model, gradients, scale, lr);
    let report = StepReport {
        step: step + 1,
        total: config.steps,
        loss: values.iter().map(|(_, v)| v).sum(),
        terms: values,
        grad_norm: norm,
        learning_rate: lr,
    };
    Ok((State { model, optimizer, step: step + 1, best, last }, report))
}

fn evaluate<M: Module>(
    state: &mut State<M>,
    job: &mut dyn Job<M>,
    config: &TrainConfig,
    monitor: &mut dyn Monitor,
) -> Result<()> {
    let Some(evaluation) = job.evaluate(&state.model.valid())? else { return Ok(()) };
    if !evaluation.score.is_finite() {
        return Err(Error::NotFinite { step: state.step, what: "evaluation score".into() });
    }
    let best = state.best.as_ref().is_none_or(|b| evaluation.score > b.evaluation.score);
    monitor.event(&TrainEvent::Evaluated { step: state.step, evaluation: &evaluation, best });
    if best && config.keep_best {
        let weights = collect_internal(&state.model);
        state.best = Some(Best { step: state.step, evaluation: evaluation.clone(), weights });
    }
    state.last = Some(evaluation);
    Ok(())
}

fn finish<M: Module>(state: State<M>, config: &TrainConfig) -> Result<Trained<M>> {
    let model = state.model.valid();
    match state.best.filter(|_| config.keep_best) {
        Some(best) => Ok(Trained {
            model: apply_internal(model, best.weights, "best weights".as_ref())?,
            evaluation: Some(best.evaluation),
            step: best.step,
        }),
        None => Ok(Trained { model, evaluation: state.last, step: state.step }),
    }
}
