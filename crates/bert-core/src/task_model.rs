//! The model that users carry away: encoder, pooler, heads.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Int, Tensor};
use encoder_spec::{BertConfig, Count, Parts, Pooling, Shape, TaskHeadKind, feed_forwards};
use fused_ops::dense;
use mlp_space::{Architecture, Expression};

use crate::batch::TokenBatch;
use crate::encoder::{BertEncoder, EncodeOptions, EncoderOutput};
use crate::error::Result;
use crate::heads::{MlmHead, PredictionHead, TaskHead, first_token, mean_of_tokens};
use crate::init;
use crate::spec::linear;
use crate::weights::{NameFormat, Tensors, apply, collect, collect_internal, parameter_shapes};

/// Encoder, optional pooler and any number of heads: what a model directory holds.
#[derive(Module, Debug)]
pub struct TaskModel {
    /// The encoder.
    pub encoder: BertEncoder,
    /// `tanh(W h_[CLS] + b)`; without it a head sees the raw `[CLS]` vector.
    pub pooler: Option<Linear>,
    /// What stands before all heads in a pooler's place, if anything.
    pub prediction: Option<PredictionHead>,
    /// One head per task, in the order of the configuration.
    pub heads: Vec<TaskHead>,
    /// Masked-language-model head, if the model carries one.
    pub mlm: Option<MlmHead>,
    /// What the pooled vector is made of.
    #[module(skip)]
    pub pooling: Pooling,
}

impl TaskModel {
    /// Builds the model of `config`, of any family, with the heads that `config.task_heads` lists; weights are lazy until loaded or
    /// initialized.
    ///
    /// # Errors
    /// The configuration is not valid, its `layers` are not, or a plain family lists any; `parts.mlm_extra` where the word table is
    /// as wide as the hidden states.
    pub fn new(config: &BertConfig, parts: Parts, device: &Device) -> Result<Self> {
        Ok(Self::described(&encoder_spec::Encoder::describe(config, parts)?, config, device))
    }

    /// Builds the model of a searched student with the largest feed-forwards of the search space in place of its own, which are the
    /// leading slices of them.
    ///
    /// # Errors
    /// As [`TaskModel::new`], or the configuration is not a searched student's.
    pub fn supernet(config: &BertConfig, parts: Parts, device: &Device) -> Result<Self> {
        let spec = encoder_spec::Encoder::supernet(config, parts)?;
        let expressions = feed_forwards(config)?;
        Ok(Self::described(&spec, config, device).with_expressions(expressions.iter().map(Option::as_ref)))
    }

    fn described(spec: &encoder_spec::Encoder<Shape>, config: &BertConfig, device: &Device) -> Self {
        Self {
            encoder: BertEncoder::new(spec, config, device),
            pooler: spec.pooler.as_ref().map(|spec| linear(spec, device)),
            prediction: spec.prediction.as_ref().map(|spec| PredictionHead::new(spec, device)),
            heads: spec.heads.iter().map(|spec| TaskHead::new(spec, config, device)).collect(),
            mlm: spec.mlm.as_ref().map(|spec| MlmHead::new(spec, config, device)),
            pooling: spec.pooling,
        }
    }

    /// Fresh weights drawn from `N(0, config.initializer_range)`, a function of the seed alone ([`init::normal`]).
    #[must_use]
    pub fn initialized(self, config: &BertConfig, seed: u64) -> Self {
        init::normal(self, seed, config.initializer_range)
    }

    /// The same weights with another architecture active in every layer; the expression of a layer without a feed-forward is ignored.
    ///
    /// # Panics
    /// When the number of layers differs: a programming error, callers hold both.
    #[must_use]
    pub fn activate(self, architecture: &Architecture) -> Self {
        assert_eq!(self.encoder.layers.len(), architecture.layers().len(), "layers of model and architecture");
        self.with_expressions(architecture.layers().iter().map(Some))
    }

    fn with_expressions<'a>(mut self, expressions: impl Iterator<Item = Option<&'a Expression>>) -> Self {
        for (layer, expression) in self.encoder.layers.iter_mut().zip(expressions) {
            if let Some(expression) = expression {
                layer.feed_forward = layer.feed_forward.clone().activate(expression);
            }
        }
        self
    }

    /// Loads tensors strictly; `source` is the file that errors name.
    ///
    /// # Errors
    /// As [`crate::weights::apply`].
    pub fn apply(self, tensors: Tensors, format: NameFormat, source: &Path) -> Result<Self> {
        apply(self, tensors, format, source)
    }

    /// All parameters under their module paths.
    pub fn collect_internal(&self) -> Tensors {
        collect_internal(self)
    }

    /// All parameters under their external names.
    pub fn collect(&self, format: NameFormat) -> Tensors {
        collect(self, format)
    }

    /// Shapes as files hold them, by module path; allocates no weights.
    pub fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        parameter_shapes(self)
    }

    /// Parameters and MACs at `seq` tokens; allocates no weights.
    pub fn count(&self, seq: usize) -> Count {
        Count::of(&self.shapes(), &self.encoder.reach(), seq)
    }

    /// The optional parts this model has.
    pub fn parts(&self) -> Parts {
        let mlm_extra = self.mlm.as_ref().is_some_and(|head| head.extra.is_some());
        Parts { pooler: self.pooler.is_some() || self.prediction.is_some(), mlm: self.mlm.is_some(), mlm_extra }
    }

    /// Whether the model carries the distillation projection.
    pub fn has_fit(&self) -> bool {
        self.encoder.fit_dense.is_some()
    }

    /// The pooled vector of each sequence: of its first token or of the mean of its tokens, through the pooler, or through what stands
    /// before all heads.
    ///
    /// # Shapes
    /// - `last_hidden`: `[batch, seq, hidden]`
    /// - `mask`: `[batch, seq]`, 1 on tokens
    /// - output: `[batch, hidden]`
    pub fn pool(&self, last_hidden: Tensor<3>, mask: &Tensor<2>) -> Tensor<2> {
        let pooled = match self.pooling {
            Pooling::Cls => first_token(last_hidden),
            Pooling::Mean => mean_of_tokens(last_hidden, mask.clone()),
        };
        match (&self.pooler, &self.prediction) {
            (Some(pooler), _) => fused_ops::activate(dense(pooler, pooled), fused_ops::Activation::Tanh),
            (None, Some(prediction)) => prediction.forward(pooled),
            (None, None) => pooled,
        }
    }

    /// What heads of tokens see.
    fn predicted(&self, hidden: Tensor<3>) -> Tensor<3> {
        match &self.prediction {
            Some(prediction) => prediction.forward(hidden),
            None => hidden,
        }
    }

    /// Scores of every word piece at some positions; `None` without a masked-language-model head. Only the rows that are asked for
    /// are multiplied with the vocabulary.
    ///
    /// # Shapes
    /// - `last_hidden`: `[batch, seq, hidden]`
    /// - `positions`: `[n]`, each `row * seq + column`
    /// - output: `[n, vocab]`
    pub fn words(&self, last_hidden: Tensor<3>, positions: Tensor<1, Int>) -> Option<Tensor<2>> {
        let head = self.mlm.as_ref()?;
        let [batch, seq, hidden] = last_hidden.dims();
        let rows = last_hidden.reshape([batch * seq, hidden]).select(0, positions);
        let table = self.encoder.embeddings.word_embeddings.weight.val();
        Some(head.forward(self.predicted(rows.unsqueeze_dim(0)), table).squeeze_dim(0))
    }

    /// Encodes a batch, see [`BertEncoder::encode`].
    pub fn encode(&self, batch: &TokenBatch, options: EncodeOptions) -> EncoderOutput {
        self.encoder.encode(batch, options)
    }

    /// Encoder output and, for each text, the scores of head `head` (classes, labels, a number) or its vector.
    ///
    /// # Shapes
    /// - second output: `[batch, outputs]`
    pub fn forward(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> (EncoderOutput, Tensor<2>) {
        let output = self.encoder.encode(batch, options);
        let logits = self.of_texts(head, output.last_hidden.clone(), batch.mask.clone());
        (output, logits)
    }

    /// For each text the scores of head `head` (classes, labels, a number) or its vector, from the last hidden states.
    ///
    /// # Shapes
    /// - `last_hidden`: `[batch, seq, hidden]`
    /// - `mask`: `[batch, seq]`, 1 on tokens
    /// - output: `[batch, outputs]`
    pub fn of_texts(&self, head: usize, last_hidden: Tensor<3>, mask: Tensor<2>) -> Tensor<2> {
        let head = &self.heads[head];
        match head.kind() {
            TaskHeadKind::Embedding => head.forward_vectors(last_hidden, mask),
            _ => head.forward_pooled(self.pool(last_hidden, &mask)),
        }
    }

    /// Encoder output and the scores of head `head` (span, tags) on every token.
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
        let logits = self.heads[head].forward_tokens(self.predicted(output.last_hidden.clone()));
        (output, logits)
    }
}
