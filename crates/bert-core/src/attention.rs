//! Multi-head self-attention that can hand out its pre-softmax scores.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use fused_ops::dense;

use crate::{AttentionInput, BertConfig, Norm};

/// Multi-head attention with output projection, residual and norm:
///
/// `S = Q Kᵀ / sqrt(d) + mask`, `y = Norm(residual + W_o softmax(S) V)`.
///
/// The scores `S` are what EfficientBERT and TinyBERT distil; burn's own module does not return
/// them, hence this one.
#[derive(Module, Debug)]
pub struct Attention {
    /// Query projection.
    pub query: Linear,
    /// Key projection; `None` where keys use the query's weights.
    pub key: Option<Linear>,
    /// Value projection.
    pub value: Linear,
    /// Output projection.
    pub output: Linear,
    /// Norm after the residual.
    pub norm: Norm,
    score_dropout: Dropout,
    output_dropout: Dropout,
    heads: usize,
}

/// What [`Attention::forward`] computes.
#[derive(Clone, Debug)]
pub struct AttentionOutput {
    /// `[batch, seq, width]`.
    pub hidden: Tensor<3>,
    /// Pre-softmax scores with the mask added, `[batch, heads, seq, seq]`, where they were asked for.
    pub scores: Option<Tensor<4>>,
}

impl Attention {
    /// Builds the attention of one layer.
    pub fn new(config: &BertConfig, device: &Device) -> Self {
        let width = config.inner_width();
        let (query_input, value_input) = match config.bottleneck().map(|b| b.attention_input) {
            None | Some(AttentionInput::Bottleneck) => (width, width),
            Some(AttentionInput::Wide) => (config.hidden_size, config.hidden_size),
            Some(AttentionInput::SharedKeyQuery) => (width, config.hidden_size),
        };
        let linear = |input| LinearConfig::new(input, width).init(device);
        Self {
            query: linear(query_input),
            key: (!config.tie_key_query).then(|| linear(query_input)),
            value: linear(value_input),
            output: linear(width),
            norm: Norm::new(config.normalization_type, width, config.layer_norm_eps, device),
            score_dropout: DropoutConfig::new(config.attention_probs_dropout_prob).init(),
            output_dropout: DropoutConfig::new(config.hidden_dropout_prob).init(),
            heads: config.num_attention_heads,
        }
    }

    /// [`Attention::forward`] where queries, keys, values and the residual are of the same hidden states; one operation on the CPU.
    ///
    /// # Shapes
    /// - `x`: `[batch, seq, width]`
    /// - `mask_bias`: `[batch, 1, 1, seq]`, 0 on tokens and -10000 on padding
    /// - output: see [`AttentionOutput`]
    pub fn forward_self(&self, x: Tensor<3>, mask_bias: Tensor<4>, keep_scores: bool) -> AttentionOutput {
        let Some(affine) = self.norm.layer_norm() else {
            return self.forward(x.clone(), x.clone(), x, mask_bias, keep_scores);
        };
        let block = fused_ops::Block {
            query: (&self.query).into(),
            key: self.key.as_ref().unwrap_or(&self.query).into(),
            value: (&self.value).into(),
            output: (&self.output).into(),
            score_dropout: &self.score_dropout,
            output_dropout: &self.output_dropout,
            heads: self.heads,
        };
        let (hidden, scores) = fused_ops::attention_block(x, mask_bias, block, affine, keep_scores);
        AttentionOutput { hidden, scores }
    }

    /// # Shapes
    /// - `query_input`: `[batch, seq, query width]`, source of queries and keys
    /// - `value_input`: `[batch, seq, value width]`
    /// - `residual`: `[batch, seq, width]`
    /// - `mask_bias`: `[batch, 1, 1, seq]`, 0 on tokens and -10000 on padding
    /// - output: see [`AttentionOutput`]; without `keep_scores` the scores are nowhere held in memory
    pub fn forward(
        &self,
        query_input: Tensor<3>,
        value_input: Tensor<3>,
        residual: Tensor<3>,
        mask_bias: Tensor<4>,
        keep_scores: bool,
    ) -> AttentionOutput {
        let key = self.key.as_ref().unwrap_or(&self.query);
        let q = dense(&self.query, query_input.clone());
        let k = dense(key, query_input);
        let v = dense(&self.value, value_input);
        let (context, scores) = if keep_scores {
            let (context, scores) =
                fused_ops::attention_with_scores([q, k, v], mask_bias, self.heads, &self.score_dropout);
            (context, Some(scores))
        } else {
            (fused_ops::attention([q, k, v], mask_bias, self.heads, &self.score_dropout), None)
        };
        let y = dense(&self.output, context);
        AttentionOutput { hidden: self.norm.forward_residual(y, residual, &self.output_dropout), scores }
    }
}
