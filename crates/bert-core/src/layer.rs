//! One encoder layer: attention, feed-forward, and MobileBERT's bottleneck around both.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use fused_ops::dense;

use crate::{Attention, AttentionInput, AttentionOutput, BertConfig, FeedForward, Keep, Norm};

/// MobileBERT's narrow inside (Sun et al. 2020): `b = Norm(W_in h)`, attention and feed-forwards
/// on `b`, then `h' = Norm(h + dropout(W_out x))`.
#[derive(Module, Debug)]
pub struct Bottleneck {
    /// Wide to narrow, the residual of attention.
    pub input: Linear,
    /// Norm after `input`; the reference re-implementation has none.
    pub input_norm: Option<Norm>,
    /// Wide to narrow for queries and keys, where they have their own.
    pub attention: Option<Linear>,
    /// Norm after `attention`.
    pub attention_norm: Option<Norm>,
    /// Narrow to wide.
    pub output: Linear,
    /// Norm of the layer's output.
    pub output_norm: Norm,
    dropout: Dropout,
    #[module(skip)]
    attention_input: AttentionInput,
}

impl Bottleneck {
    fn new(config: &BertConfig, device: &Device) -> Option<Self> {
        let b = config.bottleneck()?;
        let norm = |w| Norm::new(config.normalization_type, w, config.layer_norm_eps, device);
        let narrow = || LinearConfig::new(config.hidden_size, b.size).init(device);
        let shared = b.attention_input == AttentionInput::SharedKeyQuery;
        Some(Self {
            input: narrow(),
            input_norm: b.norm.then(|| norm(b.size)),
            attention: shared.then(narrow),
            attention_norm: (shared && b.norm).then(|| norm(b.size)),
            output: LinearConfig::new(b.size, config.hidden_size).init(device),
            output_norm: norm(config.hidden_size),
            dropout: DropoutConfig::new(config.hidden_dropout_prob).init(),
            attention_input: b.attention_input,
        })
    }

    fn narrow(&self, h: Tensor<3>) -> Tensor<3> {
        normed(dense(&self.input, h), self.input_norm.as_ref())
    }
}

fn normed(x: Tensor<3>, norm: Option<&Norm>) -> Tensor<3> {
    match norm {
        Some(norm) => norm.forward(x),
        None => x,
    }
}

/// One layer of the encoder.
#[derive(Module, Debug)]
pub struct EncoderLayer {
    /// Self-attention.
    pub attention: Attention,
    /// Feed-forward part.
    pub feed_forward: FeedForward,
    /// MobileBERT's bottleneck, if any.
    pub bottleneck: Option<Bottleneck>,
}

impl EncoderLayer {
    /// Builds a layer around a feed-forward of width `config.inner_width()`.
    pub fn new(config: &BertConfig, feed_forward: FeedForward, device: &Device) -> Self {
        Self { attention: Attention::new(config, device), feed_forward, bottleneck: Bottleneck::new(config, device) }
    }

    /// # Shapes
    /// - `h`: `[batch, seq, hidden]`
    /// - `mask_bias`: `[batch, 1, 1, seq]`
    /// - output: hidden `[batch, seq, hidden]` and what `keep` asks for, see [`AttentionOutput`]
    pub fn forward(&self, h: Tensor<3>, mask_bias: Tensor<4>, keep: Keep) -> AttentionOutput {
        let Some(b) = &self.bottleneck else {
            let out = self.attention.forward_self(h, mask_bias, keep);
            return AttentionOutput { hidden: self.feed_forward.forward(out.hidden), ..out };
        };
        let narrow = b.narrow(h.clone());
        let (query_input, value_input) = match (b.attention_input, &b.attention) {
            (AttentionInput::Bottleneck, _) => (narrow.clone(), narrow.clone()),
            (_, Some(shared)) => (normed(dense(shared, h.clone()), b.attention_norm.as_ref()), h.clone()),
            _ => (h.clone(), h.clone()),
        };
        let out = self.attention.forward(query_input, value_input, narrow, mask_bias, keep);
        let y = dense(&b.output, self.feed_forward.forward(out.hidden));
        let hidden = b.output_norm.forward_residual(y, h, &b.dropout);
        AttentionOutput { hidden, ..out }
    }
}
