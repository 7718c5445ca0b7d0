//! LayerNorm and MobileBERT's NoNorm behind one type.

use burn::module::{Initializer, Module, Param};
use burn::nn::Dropout;
use burn::tensor::{Device, Tensor};
use encoder_spec::{Normalization, Shape};
use fused_ops::Affine;

/// Normalization with a learned scale and shift over the last axis.
///
/// - LayerNorm: `y = (x - mean) / sqrt(var + eps) * weight + bias`
/// - NoNorm (MobileBERT, Sun et al. 2020): `y = x * weight + bias`
///
/// Without a bias it is 0.
#[derive(Module, Debug)]
pub struct Norm {
    /// Scale, `[width]`.
    pub weight: Param<Tensor<1>>,
    /// Shift, `[width]`.
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    kind: Normalization,
}

impl Norm {
    /// Scale 1, shift 0, as described.
    pub fn new(spec: &encoder_spec::Norm<Shape>, device: &Device) -> Self {
        Self {
            weight: Initializer::Ones.init([spec.weight[0]], device),
            bias: spec.bias.as_ref().map(|bias| Initializer::Zeros.init([bias[0]], device)),
            kind: spec.kind,
        }
    }

    /// Computes the norm over the last axis.
    ///
    /// # Shapes
    /// - input and output: `[..., width]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match self.kind {
            Normalization::LayerNorm { eps } => fused_ops::layer_norm(x, self.affine(eps)),
            Normalization::NoNorm => x * self.weight.val().unsqueeze() + self.shift().unsqueeze(),
        }
    }

    /// `Norm(residual + dropout(x))`, the end of every block.
    ///
    /// # Shapes
    /// - `x`, `residual`, output: `[..., width]`
    pub fn forward_residual<const D: usize>(&self, x: Tensor<D>, residual: Tensor<D>, dropout: &Dropout) -> Tensor<D> {
        match self.kind {
            Normalization::LayerNorm { eps } => fused_ops::residual_layer_norm(x, residual, dropout, self.affine(eps)),
            Normalization::NoNorm => self.forward(residual + fused_ops::dropout(x, dropout)),
        }
    }

    /// Scale, shift and epsilon, where this is layer normalization.
    pub fn layer_norm(&self) -> Option<Affine> {
        match self.kind {
            Normalization::LayerNorm { eps } => Some(self.affine(eps)),
            Normalization::NoNorm => None,
        }
    }

    fn shift(&self) -> Tensor<1> {
        match &self.bias {
            Some(bias) => bias.val(),
            None => self.weight.val().zeros_like(),
        }
    }

    fn affine(&self, eps: f64) -> Affine {
        Affine { weight: self.weight.val(), bias: self.shift(), eps }
    }
}
