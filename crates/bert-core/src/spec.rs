//! Layers of burn from their descriptions; weights are lazy until loaded or initialized.

use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::tensor::Device;
use encoder_spec::Shape;

pub(crate) fn linear(spec: &encoder_spec::Linear<Shape>, device: &Device) -> Linear {
    LinearConfig::new(spec.inputs(), spec.outputs()).with_bias(spec.bias.is_some()).init(device)
}

/// Makes an embedding table of the shape that a description names.
///
/// # Panics
/// `shape` is not that of a matrix; a description's tables are.
pub(crate) fn table(shape: &Shape, device: &Device) -> Embedding {
    EmbeddingConfig::new(shape[0], shape[1]).init(device)
}
