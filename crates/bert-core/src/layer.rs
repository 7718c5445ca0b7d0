//! One encoder layer: attention, feed-forward, and MobileBERT's bottleneck around both.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::{Device, Tensor};
use encoder_spec::{AttentionInput, AttentionSource, BertConfig, Shape};
use fused_ops::{Ragged, dense};

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

impl Bottleneck {
    /// What queries and keys are made of, and values.
    fn sources(&self, h: &Tensor<3>, narrow: &Tensor<3>) -> [Tensor<3>; 2] {
        match (self.attention_input, &self.attention) {
            (AttentionInput::Bottleneck, _) => [narrow.clone(), narrow.clone()],
            (_, Some(shared)) => [normed(dense(shared, h.clone()), self.attention_norm.as_ref()), h.clone()],
            _ => [h.clone(), h.clone()],
        }
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
        let [query_input, value_input] = b.sources(&h, &narrow);
        let out = attention.forward(query_input, value_input, narrow, mask_bias, options);
        let y = dense(&b.output, self.feed_forward.forward(out.hidden));
        let hidden = b.output_norm.forward_residual(y, h, &b.dropout);
        AttentionOutput { hidden, ..out }
    }

    /// Computes the layer's output of texts without padding; with `context`, tokens see those of `context` in the place of each other.
    ///
    /// # Shapes
    /// - `h`, output: `[1, rows of queries, hidden]`
    /// - `context`: `[1, rows of keys, hidden]`
    pub fn forward_ragged(&self, h: Tensor<3>, context: Option<Tensor<3>>, texts: &Ragged) -> Tensor<3> {
        let Some(attention) = &self.attention else {
            return self.feed_forward.forward(h);
        };
        let Some(b) = &self.bottleneck else {
            return self.feed_forward.forward(attention.forward_ragged(h, context, texts));
        };
        let narrow = b.narrow(h.clone());
        let [queries, values] = b.sources(&h, &narrow);
        let [keys, values] = match &context {
            Some(context) => b.sources(context, &b.narrow(context.clone())),
            None => [queries.clone(), values],
        };
        let x = attention.end_block(attention.attend_ragged([queries, keys, values], texts), narrow);
        let y = dense(&b.output, self.feed_forward.forward(x));
        b.output_norm.forward_residual(y, h, &b.dropout)
    }
}
