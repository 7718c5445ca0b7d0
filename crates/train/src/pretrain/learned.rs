//! How an encoder grows is learned (LiGO, Wang et al. 2023).

use bert_core::TaskModel;
use bert_core::weights::Tensors;
use burn::module::Module;
use cpu_kernels::elementwise::optimizer::{AdamWStep, MomentStep};
use growth::{Ligo, LigoConfig};

use crate::engine::{Devices, Job, Monitor, Precision, TrainConfig, TrainEvent, loss_and_gradients};
use crate::optim::{Gradients, gradients_of};
use crate::{Error, Result};

/// Decays of the moments, and what is added to their quotient's divisor.
const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPS: f64 = 1e-8;

/// Where the steps of a growth are taken.
pub(super) struct Place<'a> {
    pub devices: &'a Devices,
    pub config: &'a TrainConfig,
    /// Steps of the training before it. The batches are those of the steps that follow.
    pub begins: u64,
}

/// Refuses `f16`, which would need a scale of the loss.
///
/// # Errors
/// If it is that.
pub(super) fn check_precision(precision: Precision) -> Result<()> {
    match precision {
        Precision::F16 => Err(Error::Mismatch("a growth cannot be learned in f16; bf16 and f32 can".into())),
        Precision::F32 | Precision::Bf16 => Ok(()),
    }
}

/// Learns the matrices of `ligo` by AdamW without decay: `config.steps` steps at a constant rate. The loss is that of `job` for the large model that `ligo`
/// makes of the weights `small`, which `build` puts into a model. Gradients are clipped as the training clips its own. Gives the weights of the
/// large model.
///
/// # Errors
/// `f16`; a loss or gradient that is not finite, which no step is skipped for; a stop, as [`Error::Interrupted`]: nothing of it is kept, and
/// the next process begins it again.
pub(super) fn learn(
    mut ligo: Ligo,
    settings: &LigoConfig,
    small: &Tensors,
    job: &dyn Job<TaskModel>,
    build: impl Fn(Tensors) -> Result<TaskModel>,
    place: &Place<'_>,
    monitor: &mut dyn Monitor,
) -> Result<Tensors> {
    let Place { devices, config, begins } = *place;
    check_precision(config.precision)?;
    let grown = |e: growth::Error| Error::Mismatch(e.to_string());
    let mut moments: Vec<[Vec<f32>; 2]> =
        ligo.parameters().0.values().map(|matrix| [0, 1].map(|_| vec![0.0; matrix.data.len()])).collect();
    let mut losses = Vec::new();
    for done in 0..settings.steps {
        if monitor.interrupted() {
            return Err(Error::Interrupted { step: begins });
        }
        let model = build(ligo.expand(small).map_err(grown)?)?.train();
        let step = |model: &TaskModel| loss_and_gradients((model, begins + done), devices, job, config);
        let (loss, gradients) = fused_ops::busy_wait(|| step(&model)).map_err(|error| match error {
            Error::NotFinite { what, .. } => Error::Mismatch(format!(
                "learned growth after step {begins}, step {} of {}: {what} is not finite; lower `learning_rate` of `ligo`",
                done + 1,
                settings.steps
            )),
            other => other,
        })?;
        losses.push(loss);
        let pulled = ligo.pullback(small, &gradients_of(model, gradients)).map_err(grown)?;
        let squares = pulled.0.values().flat_map(|matrix| &matrix.data).map(|g| f64::from(*g).powi(2));
        let clip = Gradients::clip_factor(squares.sum::<f64>().sqrt(), config.clip_norm);
        let update = update(done as i32 + 1, settings.learning_rate, clip);
        for (((_, matrix), gradient), [m, v]) in ligo.parameters_mut().zip(pulled.0.values()).zip(&mut moments) {
            update.update(matrix, &gradient.data, m, v);
        }
        monitor.event(&TrainEvent::Growing { done: done + 1, total: settings.steps });
    }
    if let (Some(first), Some(last)) = (losses.first(), losses.last()) {
        monitor.event(&TrainEvent::Grown { step: begins, first: *first, last: *last });
    }
    ligo.expand(small).map_err(grown)
}

/// Step `t` of AdamW, counted from 1, whose gradients are multiplied by `scale`.
fn update(t: i32, learning_rate: f64, scale: f64) -> AdamWStep {
    AdamWStep {
        moments: MomentStep {
            scale: scale as f32,
            beta1: BETA1 as f32,
            keep1: (1.0 - BETA1) as f32,
            beta2: BETA2 as f32,
            keep2: (1.0 - BETA2) as f32,
            root: (1.0 / (1.0 - BETA2.powi(t)).sqrt()) as f32,
            eps: EPS as f32,
        },
        decay: 1.0,
        step_size: (learning_rate / (1.0 - BETA1.powi(t))) as f32,
    }
}
