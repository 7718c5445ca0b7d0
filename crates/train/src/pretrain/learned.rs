//! How an encoder grows is learned (LiGO, Wang et al. 2023).

use bert_core::TaskModel;
use bert_core::weights::Tensors;
use burn::module::Module;
use growth::{Ligo, LigoConfig};

use crate::engine::{Devices, Job, Monitor, Precision, TrainConfig, TrainEvent, loss_and_gradients};
use crate::optim::{Gradients, OptimizerConfig, OptimizerKind, Rule, gradients_of};
use crate::{Error, Result};

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
        let config = OptimizerConfig::of(OptimizerKind::AdamW);
        let learning_rate = settings.learning_rate;
        let rule = Rule { config, learning_rate, weight_decay: 0.0, scale: clip, adapts: false, matrix: None };
        let update = rule.adamw(done as u32 + 1);
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
