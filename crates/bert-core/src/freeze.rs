//! Models for inference on processors.

use cpu_runtime::Precision;
use encoder_spec::{BertConfig, Encoder};

use crate::error::Result;
use crate::task_model::TaskModel;

/// Compiles `model`, whose configuration is `config`, for inference in `precision`.
///
/// A searched model may be larger than its configuration says (a supernet); the configuration's part of it is taken.
///
/// # Errors
/// The configuration is not valid, or the model is not its model.
pub fn freeze(model: &TaskModel, config: &BertConfig, precision: Precision) -> Result<cpu_runtime::Model> {
    let tensors = model.collect_internal().0.into_iter().map(|(path, tensor)| (path, tensor.into())).collect();
    let encoder = Encoder::describe(config, model.parts())?;
    // The projection that distillation alone needs may have been left out.
    let encoder = Encoder { fit: encoder.fit.filter(|_| model.has_fit()), ..encoder };
    Ok(cpu_runtime::Model::compile(encoder.filled(tensors)?, precision)?)
}
