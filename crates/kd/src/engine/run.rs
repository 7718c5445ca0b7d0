//! The loop.

use bert_core::weights::{apply_internal, collect_internal};
use burn::module::Module;
use burn::tensor::Device;
use durable::checkpoint::CheckpointStore;
use rand::RngCore;

use super::state::{Best, State};
use super::{Devices, Evaluation, Job, Monitor, NotFinite, Part, StepReport, TrainConfig, TrainEvent};
use crate::optim::{Gradients, Pace, first_without_match};
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
/// parameters that has none, an optimiser other than the checkpoint's, an
/// interruption (after a checkpoint), unreadable data, or a file that cannot be written.
pub fn train<M: Module>(
    model: M,
    devices: impl Into<Devices>,
    job: &dyn Job<M>,
    config: &TrainConfig,
    store: Option<&CheckpointStore>,
    monitor: &mut dyn Monitor,
) -> Result<Trained<M>> {
    config.validate()?;
    let devices = &devices.into();
    config.precision.check(devices)?;
    let mut state = State::new(model.train(), config);
    check_groups(&state.model, config)?;
    if let Some(store) = store {
        let latest = store.latest()?;
        for skipped in &latest.skipped {
            let reason = skipped.reason.to_string();
            monitor.event(&TrainEvent::SkippedCheckpoint { step: skipped.step, reason });
        }
        if let Some(checkpoint) = &latest.checkpoint {
            state.restore(checkpoint, config)?;
            // A process that was killed between a save and the clearing away after it left too many.
            store.retain(config.keep_last, None)?;
            let best = state.best.as_ref().map(|best| best.evaluation.score);
            monitor.event(&TrainEvent::Resumed { step: state.step, best });
        }
    }
    let mut saved = state.step;
    let mut tokens = 0;
    state.progress.finished |= state.step >= config.steps;
    while !state.progress.finished {
        let outcome = advance(state, devices, job, config, &mut tokens, monitor);
        let result;
        (state, result) = outcome;
        if let Err(error) = result {
            // What is better than everything that was saved must not be lost with this process.
            let unsaved = state.best.as_ref().is_some_and(|best| best.step > saved);
            if let Some(store) = store.filter(|_| unsaved && error.is_divergence()) {
                state.save(store, config)?;
                monitor.event(&TrainEvent::Checkpoint { step: state.step });
            }
            return Err(error);
        }
        let finished = state.progress.finished;
        let checkpoint_due =
            finished || config.checkpoint_every > 0 && state.step.is_multiple_of(config.checkpoint_every);
        let interrupted = !finished && monitor.interrupted();
        if let Some(store) = store.filter(|_| checkpoint_due || interrupted) {
            state.save(store, config)?;
            saved = state.step;
            monitor.event(&TrainEvent::Checkpoint { step: state.step });
        }
        if interrupted {
            return Err(Error::Interrupted { step: state.step });
        }
    }
    finish(state, config)
}

fn check_groups<M: Module>(model: &M, config: &TrainConfig) -> Result<()> {
    if config.groups.is_empty() {
        return Ok(());
    }
    let paths: Vec<String> = collect_internal(model).0.into_keys().collect();
    let Some(pattern) = first_without_match(&config.groups, &paths) else { return Ok(()) };
    let example = paths.get(paths.len() / 2).map_or("", String::as_str);
    let message = format!(
        "pattern `{pattern}`: no parameter of the model is left for it; one of them is `{example}`, and of several patterns \
         the first counts"
    );
    Err(Error::Setting { field: "groups", message })
}

/// One step, and the evaluation that is due after it. The state comes back in any case; after a failed step it is that before it.
fn advance<M: Module>(
    mut state: State<M>,
    devices: &Devices,
    job: &dyn Job<M>,
    config: &TrainConfig,
    tokens: &mut u64,
    monitor: &mut dyn Monitor,
) -> (State<M>, Result<()>) {
    let step = state.step;
    let measured = match fused_ops::awake(|| measure(&state.model, step, devices, job, config)) {
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
            (state, report) = fused_ops::awake(|| update(state, measured, config));
            if state.step.is_multiple_of(config.log_every) || state.step == config.steps {
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
    let mut finished = state.step == config.steps;
    if finished || config.eval_every > 0 && state.step.is_multiple_of(config.eval_every) {
        match evaluate(&mut state, devices.main(), job, config, monitor) {
            Ok(enough) => finished |= enough,
            Err(error) => return (state, Err(error)),
        }
    }
    state.progress.finished = finished;
    (state, Ok(()))
}

/// Losses and gradients of a step.
enum Measured {
    Finite(Finite),
    /// What is not finite.
    NotFinite(String),
}

struct Finite {
    terms: Vec<(&'static str, f64)>,
    gradients: Gradients,
    norm: f64,
}

/// The parts of a step, one on each device at a time; sums in the order of the parts.
fn measure<M: Module>(
    model: &M,
    step: u64,
    devices: &Devices,
    job: &dyn Job<M>,
    config: &TrainConfig,
) -> Result<Measured> {
    let mut sums: Vec<(&'static str, f64)> = Vec::new();
    let mut gradients: Option<Gradients> = None;
    let together = devices.count();
    let mut copies = devices.copies(model);
    for round in 0..config.accumulate {
        let results = devices.each(model, &mut copies, |place, model, device| {
            let part = Part { step, index: round * together + place, of: config.accumulate * together };
            measure_part(model, part, device, job, config)
        });
        for result in results {
            let (terms, found) = match result? {
                MeasuredPart::Nothing => continue,
                MeasuredPart::NotFinite(what) => return Ok(Measured::NotFinite(what)),
                MeasuredPart::Finite(terms, found) => (terms, found),
            };
            for (name, value) in terms {
                match sums.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, sum)) => *sum += value,
                    None => sums.push((name, value)),
                }
            }
            match &mut gradients {
                Some(sum) => sum.add(found),
                None => gradients = Some(found),
            }
        }
    }
    let mut gradients = gradients.unwrap_or_default();
    let pace = Pace { step, groups: &config.groups, ..Pace::uniform(0.0, 1.0) };
    gradients.retain(|path| !pace.rests(path));
    let norm = gradients.global_norm();
    Ok(match norm.is_finite() {
        true => Measured::Finite(Finite { terms: sums, gradients, norm }),
        false => Measured::NotFinite("gradient norm".into()),
    })
}

/// Losses and gradients of a part of a step.
enum MeasuredPart {
    /// It has no examples.
    Nothing,
    /// What is not finite.
    NotFinite(String),
    Finite(Vec<(&'static str, f64)>, Gradients),
}

fn measure_part<M: Module>(
    model: &M,
    part: Part,
    device: &Device,
    job: &dyn Job<M>,
    config: &TrainConfig,
) -> Result<MeasuredPart> {
    // Masks of dropout follow from a seed per part, which leaves nothing to save: on the CPU by the scope, elsewhere by
    // the device's generator.
    let counters = [part.step, u64::from(part.index)];
    let counters = if part.of == 1 { &counters[..1] } else { &counters[..] };
    let seed = durable::rng::keyed(config.seed, "dropout", counters).next_u64();
    device.seed(seed);
    let terms = config.precision.scope(|| fused_ops::with_dropout_seed(seed, || job.loss(model, part, device)))?;
    if terms.0.is_empty() {
        return Ok(MeasuredPart::Nothing);
    }
    let loss = terms.total();
    let mut values = Vec::with_capacity(terms.0.len());
    for (name, term) in terms.0 {
        let value = f64::from(term.inner().into_scalar::<f32>());
        if !value.is_finite() {
            return Ok(MeasuredPart::NotFinite(format!("loss term `{name}`")));
        }
        values.push((name, value));
    }
    Ok(MeasuredPart::Finite(values, Gradients::of(&loss, model)))
}

/// By value: the optimiser updates in place the weights that nobody else holds.
fn update<M: Module>(state: State<M>, measured: Finite, config: &TrainConfig) -> (State<M>, StepReport) {
    let State { model, mut optimizer, step, best, last, mut progress } = state;
    let Finite { terms, gradients, norm } = measured;
    let learning_rate = config.learning_rate * config.schedule.factor(step, config.warmup_steps(), config.steps);
    let scale = Gradients::clip_factor(norm, config.clip_norm);
    let model = optimizer.step(model, gradients, &Pace { learning_rate, scale, step, groups: &config.groups });
    progress.skipped = 0;
    let report = StepReport {
        step: step + 1,
        total: config.steps,
        loss: terms.iter().map(|(_, v)| v).sum(),
        terms,
        grad_norm: norm,
        learning_rate,
        tokens: 0,
    };
    (State { model, optimizer, step: step + 1, best, last, progress }, report)
}

/// Evaluates and keeps what is best; true if the training is to end because it does not get better.
fn evaluate<M: Module>(
    state: &mut State<M>,
    device: &Device,
    job: &dyn Job<M>,
    config: &TrainConfig,
    monitor: &mut dyn Monitor,
) -> Result<bool> {
    let Some(evaluation) = job.evaluate(&state.model.valid(), state.step, device)? else { return Ok(false) };
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
    if enough && state.step < config.steps {
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
