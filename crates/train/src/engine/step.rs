//! One step: the losses and gradients of its parts, and the update.

use burn::module::Module;
use burn::tensor::Device;
use rand::RngCore;

use super::loss_scale::LossScale;
use super::state::State;
use super::{Devices, Job, MicroBatch, Monitor, StepReport, TrainConfig, TrainEvent};
use crate::optim::{Gradients, Pace};
use crate::{Error, Result};

/// Losses and gradients of a step.
pub(super) enum Measured {
    Finite(Finite),
    /// What is not finite.
    NotFinite(String),
}

pub(super) struct Finite {
    terms: Vec<(&'static str, f64)>,
    /// Of the loss times the loss scale.
    gradients: Gradients,
    /// Of the gradients divided by the loss scale.
    norm: f64,
    loss_scale: Option<LossScale>,
}

/// The losses and gradients of the step that is next. In `f16`, a step whose gradients are out of range is taken again with half
/// the loss scale, until that is 1.
pub(super) fn measure<M: Module>(
    state: &State<M>,
    devices: &Devices,
    job: &dyn Job<M>,
    config: &TrainConfig,
    monitor: &mut dyn Monitor,
) -> Result<Measured> {
    let mut loss_scale = state.loss_scale.clone();
    loop {
        let factor = LossScale::factor_of(loss_scale.as_ref());
        let (terms, gradients) = match sum_of_parts((&state.model, state.step), factor, devices, job, config)? {
            Sum::Finite(terms, gradients) => (terms, gradients),
            Sum::NotFinite(what) => return Ok(Measured::NotFinite(what)),
        };
        let norm = gradients.global_norm() / factor;
        if norm.is_finite() {
            return Ok(Measured::Finite(Finite { terms, gradients, norm, loss_scale }));
        }
        let Some(halved) = loss_scale.as_ref().and_then(LossScale::halved) else {
            return Ok(Measured::NotFinite("gradient norm".into()));
        };
        monitor.event(&TrainEvent::Overflow { step: state.step, scale: halved.factor() });
        loss_scale = Some(halved);
    }
}

/// The loss of a step and its gradients by the parameters of `model`, whatever becomes of them.
///
/// # Errors
/// As the job's loss; [`Error::NotFinite`].
pub(crate) fn loss_and_gradients<M: Module>(
    (model, step): (&M, u64),
    devices: &Devices,
    job: &dyn Job<M>,
    config: &TrainConfig,
) -> Result<(f64, Gradients)> {
    match sum_of_parts((model, step), 1.0, devices, job, config)? {
        Sum::Finite(terms, gradients) if gradients.global_norm().is_finite() => {
            Ok((terms.iter().map(|(_, value)| value).sum(), gradients))
        }
        Sum::Finite(..) => Err(Error::NotFinite { step, what: "gradient norm".into() }),
        Sum::NotFinite(what) => Err(Error::NotFinite { step, what }),
    }
}

/// Losses and gradients of a step, or of a part of it.
enum Sum {
    /// Terms, and gradients of their sum times the loss scale.
    Finite(Vec<(&'static str, f64)>, Gradients),
    /// The loss that is not finite.
    NotFinite(String),
}

/// The parts of a step, one on each device at a time; sums in the order of the parts.
fn sum_of_parts<M: Module>(
    (model, step): (&M, u64),
    factor: f64,
    devices: &Devices,
    job: &dyn Job<M>,
    config: &TrainConfig,
) -> Result<Sum> {
    let mut sums: Vec<(&'static str, f64)> = Vec::new();
    let mut gradients = Gradients::default();
    let together = devices.count();
    let mut copies = devices.copies(model);
    for round in 0..config.accumulate {
        let results = devices.each(model, &mut copies, |place, model, device| {
            let part = MicroBatch { step, index: round * together + place, of: config.accumulate * together };
            measure_part(model, part, factor, device, job, config)
        });
        for result in results {
            let (terms, found) = match result? {
                Sum::Finite(terms, found) => (terms, found),
                not_finite => return Ok(not_finite),
            };
            for (name, value) in terms {
                match sums.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, sum)) => *sum += value,
                    None => sums.push((name, value)),
                }
            }
            gradients.add(found.to_device(devices.main()));
        }
    }
    let pace = Pace { step, groups: &config.groups, ..Pace::uniform(0.0, 1.0) };
    gradients.retain(|path| !pace.rests(path));
    Ok(Sum::Finite(sums, gradients))
}

/// A part without examples has no terms and no gradients.
fn measure_part<M: Module>(
    model: &M,
    part: MicroBatch,
    factor: f64,
    device: &Device,
    job: &dyn Job<M>,
    config: &TrainConfig,
) -> Result<Sum> {
    // Masks of dropout follow from a seed per part, which leaves nothing to save: on the CPU by the scope, elsewhere by
    // the device's generator.
    let counters = [part.step, u64::from(part.index)];
    let counters = if part.of == 1 { &counters[..1] } else { &counters[..] };
    let seed = run_store::rng::keyed(config.seed, "dropout", counters).next_u64();
    device.seed(seed);
    let terms = fused_ops::with_precision(config.precision, || {
        fused_ops::with_dropout_seed(seed, || config.quantization_aware.scope(|| job.loss(model, part, device)))
    })?;
    if terms.0.is_empty() {
        return Ok(Sum::Finite(Vec::new(), Gradients::default()));
    }
    let loss = terms.total();
    let loss = if factor == 1.0 { loss } else { loss * factor };
    // Back-propagated before a value is asked for: a device would stand still meanwhile.
    let gradients = Gradients::of(&loss, model);
    let mut values = Vec::with_capacity(terms.0.len());
    for (name, term) in terms.0 {
        let value = f64::from(term.inner().into_scalar::<f32>());
        if !value.is_finite() {
            return Ok(Sum::NotFinite(format!("loss term `{name}`")));
        }
        values.push((name, value));
    }
    Ok(Sum::Finite(values, gradients))
}

/// By value: the optimizer updates weights in place where nothing else holds them.
pub(super) fn update<M: Module>(state: State<M>, measured: Finite, config: &TrainConfig) -> (State<M>, StepReport) {
    let State { model, mut optimizer, step, ends, best, last, mut progress, .. } = state;
    let Finite { terms, gradients, norm, mut loss_scale } = measured;
    let learning_rate = config.learning_rate * config.schedule.factor(step, config.warmup_steps(), config.steps);
    let factor = LossScale::factor_of(loss_scale.as_ref());
    let scale = Gradients::clip_factor(norm, config.clip_norm) / factor;
    let model = optimizer.step(model, gradients, &Pace { learning_rate, scale, step, groups: &config.groups });
    progress.skipped = 0;
    if let Some(scale) = &mut loss_scale {
        scale.grow();
    }
    let report = StepReport {
        step: step + 1,
        total: config.steps,
        loss: terms.iter().map(|(_, v)| v).sum(),
        terms,
        grad_norm: norm,
        learning_rate,
        tokens: 0,
    };
    (State { model, optimizer, step: step + 1, ends, best, last, progress, loss_scale }, report)
}

#[cfg(test)]
mod tests {
    use bert_core::weights::collect_internal;
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::Tensor;

    use super::*;
    use crate::engine::{Evaluated, LossTerms, Precision, Stage, Watch};

    /// A loss of the weights alone.
    struct Of(fn(Tensor<2>) -> Tensor<2>);

    impl Job<Linear> for Of {
        fn loss(&self, model: &Linear, _: MicroBatch, _: &Device) -> Result<LossTerms> {
            Ok(LossTerms(vec![("of weights", self.0(model.weight.val()).sum())]))
        }
        fn evaluate(&self, _: &Linear, _: u64, _: &Device, _: &mut Watch<'_>) -> Evaluated {
            Ok(None)
        }
    }

    #[derive(Default)]
    struct Overflows(Vec<(u64, f64)>);

    impl Monitor for Overflows {
        fn event(&mut self, event: &TrainEvent<'_>) {
            if let TrainEvent::Overflow { step, scale } = event {
                self.0.push((*step, *scale));
            }
        }
    }

    /// Before the first step, with a loss scale or without. The processor has no `f16`; where gradients end does not matter here.
    fn state(scaled: bool) -> State<Linear> {
        let device = Device::flex();
        device.seed(1);
        let stage = Stage::whole(&config());
        let mut state = State::new(LinearConfig::new(3, 2).init(&device).train(), &config(), &stage).unwrap();
        state.loss_scale = scaled.then(|| LossScale::of(Precision::F16)).flatten();
        state
    }

    fn config() -> TrainConfig {
        TrainConfig::new(10, 0.1)
    }

    #[test]
    fn gradients_out_of_range_halve_the_loss_scale_and_change_nothing_else() {
        // f32 ends at 3.4e38.
        let (job, devices) = (Of(|w| w * 1e35), Devices::from(Device::flex()));
        let step = |scaled| {
            let (state, mut said) = (state(scaled), Overflows::default());
            let Ok(Measured::Finite(measured)) = measure(&state, &devices, &job, &config(), &mut said) else {
                panic!("finite");
            };
            (update(state, measured, &config()), said.0)
        };
        let ((scaled, report), overflows) = step(true);
        assert_eq!(overflows, [32768.0, 16384.0, 8192.0, 4096.0, 2048.0].map(|scale| (0, scale)));
        assert_eq!(scaled.loss_scale.unwrap().factor(), 2048.0);
        let ((plain, expected), none) = step(false);
        assert!(none.is_empty() && plain.loss_scale.is_none());
        assert_eq!(report, expected, "loss and norm are those without the scale");
        assert!((report.grad_norm / (1e35 * 6f64.sqrt()) - 1.0).abs() < 1e-6);
        assert_eq!(collect_internal(&scaled.model), collect_internal(&plain.model));
    }

    #[test]
    fn a_gradient_that_no_scale_makes_finite_is_a_divergence_and_leaves_the_scale_alone() {
        let (state, mut said) = (state(true), Overflows::default());
        // The gradient of a root is infinite at 0.
        let job = Of(|w| (w.clone() - w).sqrt());
        let measured = measure(&state, &Devices::from(Device::flex()), &job, &config(), &mut said);
        assert!(matches!(measured, Ok(Measured::NotFinite(what)) if what == "gradient norm"));
        assert_eq!((said.0.len(), said.0.last()), (16, Some(&(0, 1.0))));
        assert_eq!(state.loss_scale, LossScale::of(Precision::F16));
    }
}
