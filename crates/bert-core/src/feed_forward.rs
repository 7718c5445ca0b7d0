//! The feed-forward part of a layer: the trait and its plain implementations.

use burn::module::{Module, ModuleDisplay};
use burn::nn::{Dropout, DropoutConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use fused_ops::{Ffn, Program, dense, ffn_block};

use crate::{Activation, BertConfig, Norm};

/// The feed-forward part of an encoder layer, residuals and norms included.
///
/// # Shapes
/// `[batch, seq, width] -> [batch, seq, width]`
pub trait FeedForward: Module + ModuleDisplay + Sync {
    /// Applies the feed-forward.
    fn forward(&self, x: Tensor<3>) -> Tensor<3>;
}

/// BERT's feed-forward: `y = Norm(x + dropout(W2 act(W1 x + b1) + b2))`.
#[derive(Module, Debug)]
pub struct PlainFfn {
    /// Expansion, width to inner width.
    pub dense1: Linear,
    /// Contraction, inner width to width.
    pub dense2: Linear,
    /// Norm after the residual.
    pub norm: Norm,
    dropout: Dropout,
    #[module(skip)]
    activation: Activation,
}

impl PlainFfn {
    /// Builds one feed-forward of `config.inner_width()` and `config.intermediate_size`, with `eps` in its norm.
    fn new(config: &BertConfig, eps: f64, device: &Device) -> Self {
        let (width, inner) = (config.inner_width(), config.intermediate_size);
        Self {
            dense1: LinearConfig::new(width, inner).init(device),
            dense2: LinearConfig::new(inner, width).init(device),
            norm: Norm::new(config.normalization_type, width, eps, device),
            dropout: DropoutConfig::new(config.hidden_dropout_prob).init(),
            activation: config.hidden_act,
        }
    }
}

impl FeedForward for PlainFfn {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let function = self.activation.into();
        if let Some(norm) = self.norm.layer_norm() {
            let [_, inner] = self.dense1.weight.lazy_shape().dims();
            let ffn = Ffn::new(&self.dense1, &self.dense2, inner, &self.dropout);
            return ffn_block(x, &ffn, Program::plain(function), norm);
        }
        let inner = fused_ops::dense_activated(&self.dense1, x.clone(), function);
        self.norm.forward_residual(dense(&self.dense2, inner), x, &self.dropout)
    }
}

/// One or more plain feed-forwards in a row, each with its own weights (MobileBERT stacks 4; BERT 1).
#[derive(Module, Debug)]
pub struct StackedFfn {
    /// The feed-forwards in order of application.
    pub blocks: Vec<PlainFfn>,
}

impl StackedFfn {
    /// Builds `config.num_feedforward_networks` feed-forwards.
    pub fn new(config: &BertConfig, device: &Device) -> Self {
        let blocks = (1..=config.num_feedforward_networks).map(|i| {
            let is_last = i == config.num_feedforward_networks;
            let eps = if is_last { config.outer_norm_eps() } else { config.layer_norm_eps };
            PlainFfn::new(config, eps, device)
        });
        Self { blocks: blocks.collect() }
    }
}

impl FeedForward for StackedFfn {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.blocks.iter().fold(x, |x, block| block.forward(x))
    }
}
