//! The encoder: embedding and layers, and the trait at which teachers and students meet.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};

use encoder_spec::{BertConfig, Shape};

use crate::attention::AttentionOptions;
use crate::batch::TokenBatch;
use crate::embeddings::Embeddings;
use crate::heads::exact;
use crate::layer::EncoderLayer;
use crate::norm::Norm;
use crate::spec::linear;

/// Added to the score of a padding position before the softmax (BERT's constant).
const MASKED_SCORE: f64 = -10_000.0;

/// What to keep while encoding; what is not asked for is not held in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Keep the embedding output and every layer's output.
    pub hidden_states: bool,
    /// Keep every layer's pre-softmax scores.
    pub attention_scores: bool,
    /// Keep every layer's values; attention does not run as one operation then.
    pub values: bool,
}

impl EncodeOptions {
    /// Everything.
    pub const ALL: Self = Self { hidden_states: true, attention_scores: true, values: true };
    /// Hidden states and scores, which EfficientBERT and TinyBERT compare.
    pub const STATES_AND_SCORES: Self = Self { values: false, ..Self::ALL };
    /// The last hidden state only, as prediction needs it.
    pub const LAST: Self = Self { hidden_states: false, attention_scores: false, values: false };
}

/// What an encoder computes.
#[derive(Clone, Debug)]
pub struct EncoderOutput {
    /// Embedding output, then every layer's output, after the distillation projection where the
    /// model has one: `layers + 1` tensors `[batch, seq, hidden or fit]`. Empty unless asked for. Where norms come first, all but the last
    /// are sums of residuals that no norm has seen, and the last one is behind the final norm, as in `transformers`.
    pub hidden_states: Vec<Tensor<3>>,
    /// Scores before the softmax with the mask added, one `[batch, heads, seq, seq]` per layer; of a layer without attention of no
    /// heads. Empty unless asked for.
    pub attention_scores: Vec<Tensor<4>>,
    /// Values of each head, one `[batch, heads, seq, width of a head]` per layer; of a layer without attention of no heads. Empty
    /// unless asked for.
    pub values: Vec<Tensor<4>>,
    /// The last layer's output behind the final norm, if any, never projected, `[batch, seq, hidden]`.
    pub last_hidden: Tensor<3>,
}

/// A BERT-family encoder.
#[derive(Module, Debug)]
pub struct BertEncoder {
    /// Embedding.
    pub embeddings: Embeddings,
    /// Layers in order.
    pub layers: Vec<EncoderLayer>,
    /// Norm after the last layer, where norms come first.
    pub final_norm: Option<Norm>,
    /// Projection to the teacher's width, used by distillation only and shared by all layers.
    pub fit_dense: Option<Linear>,
}

impl BertEncoder {
    /// Builds the encoder of `config`, of any family, as `spec` describes it.
    ///
    /// Weights are lazy: a model of any size costs no memory until they are loaded or initialized.
    pub(crate) fn new(spec: &encoder_spec::Encoder<Shape>, config: &BertConfig, device: &Device) -> Self {
        Self {
            embeddings: Embeddings::new(&spec.embedding, config, device),
            layers: spec.layers.iter().map(|spec| EncoderLayer::new(spec, config, device)).collect(),
            final_norm: spec.final_norm.as_ref().map(|norm| Norm::new(norm, device)),
            fit_dense: spec.fit.as_ref().map(|spec| linear(spec, device)),
        }
    }

    /// How far attention of each layer sees.
    pub(crate) fn reach(&self) -> Vec<Option<usize>> {
        self.layers.iter().map(|layer| layer.attention.as_ref()?.reach()).collect()
    }

    fn project(&self, hidden: Tensor<3>) -> Tensor<3> {
        match &self.fit_dense {
            Some(fit) => exact(fit, hidden),
            None => hidden,
        }
    }

    /// Computes the hidden states of a batch, layer by layer.
    ///
    /// # Panics
    /// When the sequence is longer than the position table, where there is one: callers truncate.
    pub fn encode(&self, batch: &TokenBatch, options: EncodeOptions) -> EncoderOutput {
        let [size, seq] = batch.dims();
        let mask_bias = (batch.mask.clone() * -1.0 + 1.0) * MASKED_SCORE;
        let mask_bias = mask_bias.reshape([size, 1, 1, seq]);
        let mut hidden = self.embeddings.forward(batch);
        let mut output = EncoderOutput {
            hidden_states: Vec::new(),
            attention_scores: Vec::new(),
            values: Vec::new(),
            last_hidden: hidden.clone(),
        };
        let attention = AttentionOptions { scores: options.attention_scores, values: options.values };
        if options.hidden_states {
            output.hidden_states.push(self.project(hidden.clone()));
        }
        for (number, layer) in self.layers.iter().enumerate() {
            let out = layer.forward(hidden, mask_bias.clone(), attention);
            hidden = match &self.final_norm {
                Some(norm) if number + 1 == self.layers.len() => norm.forward(out.hidden),
                _ => out.hidden,
            };
            if options.hidden_states {
                output.hidden_states.push(self.project(hidden.clone()));
            }
            // Every layer has its place in the lists.
            let none =
                |asked: bool, columns| asked.then(|| Tensor::zeros([size, 0, seq, columns], &mask_bias.device()));
            output.attention_scores.extend(out.scores.or_else(|| none(attention.scores, seq)));
            output.values.extend(out.values.or_else(|| none(attention.values, 1)));
        }
        output.last_hidden = hidden;
        output
    }
}
