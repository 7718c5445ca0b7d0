//! Heads on top of the encoder, and the model that users carry away: encoder, pooler, task heads.

use burn::module::{Initializer, Module, Param};
use burn::nn::{Dropout, DropoutConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use fused_ops::{dense, dropout};

use crate::{
    Activation, BertConfig, BertEncoder, EncodeOptions, Encoder, EncoderOutput, FeedForward, Norm, Result,
    TaskHeadConfig, TaskHeadKind, TokenBatch,
};

/// Scores of one task.
///
/// - classification and regression: `W dropout(pooled) + b`, `[batch, outputs]`
/// - span: `W h + b` on every token, `[batch, seq, 2]` (start, end)
#[derive(Module, Debug)]
pub struct TaskHead {
    /// Hidden width to outputs.
    pub dense: Linear,
    dropout: Dropout,
    #[module(skip)]
    kind: TaskHeadKind,
}

impl TaskHead {
    /// Builds a head for `task`.
    pub fn new(config: &BertConfig, task: &TaskHeadConfig, device: &Device) -> Self {
        Self {
            dense: LinearConfig::new(config.hidden_size, task.outputs()).init(device),
            dropout: DropoutConfig::new(config.hidden_dropout_prob).init(),
            kind: task.kind,
        }
    }

    /// What the head predicts.
    pub fn kind(&self) -> TaskHeadKind {
        self.kind
    }

    /// Scores from the pooled vector.
    ///
    /// # Shapes
    /// - `pooled`: `[batch, hidden]`
    /// - output: `[batch, outputs]`
    pub fn forward_pooled(&self, pooled: Tensor<2>) -> Tensor<2> {
        dense(&self.dense, dropout(pooled, &self.dropout))
    }

    /// Scores on every token.
    ///
    /// # Shapes
    /// - `hidden`: `[batch, seq, hidden]`
    /// - output: `[batch, seq, outputs]`
    pub fn forward_tokens(&self, hidden: Tensor<3>) -> Tensor<3> {
        dense(&self.dense, dropout(hidden, &self.dropout))
    }
}

/// Masked-language-model head with the decoder tied to the word table:
/// `logits = Norm(act(W h + b)) Eᵀ + bias`.
#[derive(Module, Debug)]
pub struct MlmHead {
    /// Hidden width to the word table's width.
    pub dense: Linear,
    /// Norm after the activation.
    pub norm: Norm,
    /// One bias per word piece.
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    activation: Activation,
}

impl MlmHead {
    /// Builds the head of `config`.
    pub fn new(config: &BertConfig, device: &Device) -> Self {
        let embed = config.embed_width();
        Self {
            dense: LinearConfig::new(config.hidden_size, embed).init(device),
            norm: Norm::new(crate::NormKind::LayerNorm, embed, config.layer_norm_eps, device),
            bias: Initializer::Zeros.init([config.vocab_size], device),
            activation: config.hidden_act,
        }
    }

    /// # Shapes
    /// - `hidden`: `[batch, seq, hidden]`
    /// - `word_table`: `[vocab, embed]`, the embedding's weights
    /// - output: `[batch, seq, vocab]`
    pub fn forward(&self, hidden: Tensor<3>, word_table: Tensor<2>) -> Tensor<3> {
        let h = self.norm.forward(self.activation.forward(dense(&self.dense, hidden)));
        fused_ops::linear(h, word_table.transpose(), Some(self.bias.val()))
    }
}

/// Encoder, optional pooler and any number of heads: what a model directory holds.
#[derive(Module, Debug)]
pub struct TaskModel<F: FeedForward> {
    /// The encoder.
    pub encoder: BertEncoder<F>,
    /// `tanh(W h_[CLS] + b)`; without it a head sees the raw `[CLS]` vector.
    pub pooler: Option<Linear>,
    /// One head per task, in the order of the configuration.
    pub heads: Vec<TaskHead>,
    /// Masked-language-model head, if the model carries one.
    pub mlm: Option<MlmHead>,
}

impl<F: FeedForward> TaskModel<F> {
    /// Builds a model with the heads that `config.task_heads` lists.
    ///
    /// # Errors
    /// The configuration is not valid.
    pub fn new(
        config: &BertConfig,
        pooler: bool,
        mlm: bool,
        device: &Device,
        feed_forward: impl Fn(usize) -> F,
    ) -> Result<Self> {
        let hidden = config.hidden_size;
        Ok(Self {
            encoder: BertEncoder::new(config, device, feed_forward)?,
            pooler: pooler.then(|| LinearConfig::new(hidden, hidden).init(device)),
            heads: config.task_heads.iter().map(|t| TaskHead::new(config, t, device)).collect(),
            mlm: mlm.then(|| MlmHead::new(config, device)),
        })
    }

    /// The pooled vector of each sequence.
    ///
    /// # Shapes
    /// - `last_hidden`: `[batch, seq, hidden]`
    /// - output: `[batch, hidden]`
    pub fn pool(&self, last_hidden: Tensor<3>) -> Tensor<2> {
        let [batch, _, hidden] = last_hidden.dims();
        let cls = last_hidden.narrow(1, 0, 1).reshape([batch, hidden]);
        match &self.pooler {
            Some(pooler) => Activation::Tanh.forward(dense(pooler, cls)),
            None => cls,
        }
    }

    /// Encoder output and the pooled scores of head `head` (classification or regression).
    ///
    /// # Shapes
    /// - second output: `[batch, outputs]`
    pub fn forward(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> (EncoderOutput, Tensor<2>) {
        let output = self.encoder.encode(batch, options);
        let logits = self.heads[head].forward_pooled(self.pool(output.last_hidden.clone()));
        (output, logits)
    }

    /// Encoder output and the scores of head `head` (span) on every token.
    ///
    /// # Shapes
    /// - second output: `[batch, seq, outputs]`
    pub fn forward_tokens(
        &self,
        batch: &TokenBatch,
        head: usize,
        options: EncodeOptions,
    ) -> (EncoderOutput, Tensor<3>) {
        let output = self.encoder.encode(batch, options);
        let logits = self.heads[head].forward_tokens(output.last_hidden.clone());
        (output, logits)
    }
}

impl<F: FeedForward> Encoder for TaskModel<F> {
    fn encode(&self, batch: &TokenBatch, options: EncodeOptions) -> EncoderOutput {
        self.encoder.encode(batch, options)
    }
}
