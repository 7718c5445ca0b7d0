//! One encoder layer: attention, feed-forward, and MobileBERT's bottleneck around both.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::{Device, Tensor};
use encoder_spec::{AttentionInput, AttentionSource, BertConfig, Shape};
use fused_ops::dense;

use crate::attention::{Attention, AttentionOptions, AttentionOutput};
use crate::feed_forward::FeedForward;
use crate::norm::Norm;
use crate::spec::linear;

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
    fn new(spec: &encoder_spec::Bottleneck<Shape>, config: &BertConfig, device: &Device) -> Self {
        let norm = |spec: &Option<encoder_spec::Norm<Shape>>| spec.as_ref().map(|spec| Norm::new(spec, device));
        let (attention_input, shared) = match &spec.attention {
            AttentionSource::Wide => (AttentionInput::Wide, None),
            AttentionSource::Bottleneck => (AttentionInput::Bottleneck, None),
            AttentionSource::SharedKeyQuery { dense, norm } => (AttentionInput::SharedKeyQuery, Some((dense, norm))),
        };
        Self {
            input: linear(&spec.input, device),
            input_norm: norm(&spec.input_norm),
            attention: shared.map(|(dense, _)| linear(dense, device)),
            attention_norm: shared.and_then(|(_, spec)| norm(spec)),
            output: linear(&spec.output, device),
            output_norm: Norm::new(&spec.output_norm, device),
            dropout: DropoutConfig::new(config.hidden_dropout_prob).init(),
            attention_input,
        }
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
    /// Self-attention, if any.
    pub attention: Option<Attention>,
    /// Feed-forward part; without blocks it gives its input.
    pub feed_forward: FeedForward,
    /// MobileBERT's bottleneck, if any.
    pub bottleneck: Option<Bottleneck>,
}

impl EncoderLayer {
    /// Builds a layer of `config` from its description.
    pub fn new(spec: &encoder_spec::Layer<Shape>, config: &BertConfig, device: &Device) -> Self {
        Self {
            attention: spec.attention.as_ref().map(|own| Attention::new(own, spec.norm_first, config, device)),
            feed_forward: FeedForward::new(&spec.feed_forward, spec.norm_first, config, device),
            bottleneck: spec.bottleneck.as_ref().map(|spec| Bottleneck::new(spec, config, device)),
        }
    }

    /// Computes the layer's output: attention, then the feed-forward.
    ///
    /// # Shapes
    /// - `h`: `[batch, seq, hidden]`
    /// - `mask_bias`: `[batch, 1, 1, seq]`
    /// - output: hidden `[batch, seq, hidden]` and what `options` ask for, see [`AttentionOutput`]; a layer without attention has neither
    ///   scores nor values
    pub fn forward(&self, h: Tensor<3>, mask_bias: Tensor<4>, options: AttentionOptions) -> AttentionOutput {
        let Some(attention) = &self.attention else {
            return AttentionOutput { hidden: self.feed_forward.forward(h), scores: None, values: None };
        };
        let Some(b) = &self.bottleneck else {
            let out = attention.forward_self(h, mask_bias, options);
            return AttentionOutput { hidden: self.feed_forward.forward(out.hidden), ..out };
        };
        let narrow = b.narrow(h.clone());
        let (query_input, value_input) = match (b.attention_input, &b.attention) {
            (AttentionInput::Bottleneck, _) => (narrow.clone(), narrow.clone()),
            (_, Some(shared)) => (normed(dense(shared, h.clone()), b.attention_norm.as_ref()), h.clone()),
            _ => (h.clone(), h.clone()),
        };
        let out = attention.forward(query_input, value_input, narrow, mask_bias, options);
        let y = dense(&b.output, self.feed_forward.forward(out.hidden));
        let hidden = b.output_norm.forward_residual(y, h, &b.dropout);
        AttentionOutput { hidden, ..out }
    }
}
