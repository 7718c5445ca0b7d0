//! Multi-head self-attention that can return its pre-softmax scores.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::{Device, Tensor};
use encoder_spec::{BertConfig, Rotary, Shape};
use fused_ops::{Ragged, dense, dropout};

use crate::norm::Norm;
use crate::rotary::turned;
use crate::spec::linear;

/// Multi-head attention with output projection, residual and norm:
///
/// `S = Q Kᵀ / sqrt(d) + mask`, `y = Norm(residual + W_o softmax(S) V)`.
///
/// Queries, keys and values of all heads together may be wider or narrower than the residual. Where norms come first, as in ModernBERT, it
/// is `y = residual + W_o softmax(S) V` of `Norm(residual)`; queries and keys may be turned by their positions first, and tokens out of
/// reach may be blocked.
///
/// The scores `S` are what EfficientBERT and TinyBERT distill; burn's own module does not return
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
    /// Norm after the residual, or of the input.
    pub norm: Option<Norm>,
    score_dropout: Dropout,
    output_dropout: Dropout,
    heads: usize,
    #[module(skip)]
    rotary: Option<Rotary>,
    #[module(skip)]
    reach: Option<usize>,
    #[module(skip)]
    norm_first: bool,
}

/// What [`Attention::forward`] returns beside its hidden states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttentionOptions {
    /// The scores before the softmax.
    pub scores: bool,
    /// The values.
    pub values: bool,
}

/// What [`Attention::forward`] computes.
#[derive(Clone, Debug)]
pub struct AttentionOutput {
    /// `[batch, seq, width of the residual]`.
    pub hidden: Tensor<3>,
    /// Pre-softmax scores with the mask added, and -20000 where tokens are out of reach, `[batch, heads, seq, seq]`, where they were asked
    /// for.
    pub scores: Option<Tensor<4>>,
    /// Values `V` of each head, `[batch, heads, seq, width of a head]`, where they were asked for.
    pub values: Option<Tensor<4>>,
}

impl Attention {
    /// Builds the attention of a layer of `config` from its description; `norm_first` as the layer says.
    pub fn new(spec: &encoder_spec::Attention<Shape>, norm_first: bool, config: &BertConfig, device: &Device) -> Self {
        Self {
            query: linear(&spec.query, device),
            key: spec.key.as_ref().map(|key| linear(key, device)),
            value: linear(&spec.value, device),
            output: linear(&spec.output, device),
            norm: spec.norm.as_ref().map(|norm| Norm::new(norm, device)),
            score_dropout: DropoutConfig::new(config.attention_probs_dropout_prob).init(),
            output_dropout: DropoutConfig::new(config.attention_output_dropout()).init(),
            heads: spec.heads,
            rotary: spec.rotary,
            reach: spec.reach,
            norm_first,
        }
    }

    /// Whether scores depend on the distance of two tokens.
    pub(crate) fn is_local_or_rotary(&self) -> bool {
        self.rotary.is_some() || self.reach.is_some()
    }

    pub(crate) fn reach(&self) -> Option<usize> {
        self.reach
    }

    /// [`Attention::forward`] where queries, keys, values and the residual are of the same hidden states; one operation on the CPU, unless the
    /// values are asked for: that operation never holds all of them at once.
    ///
    /// # Shapes
    /// - `x`: `[batch, seq, width]`
    /// - `mask_bias`: `[batch, 1, 1, seq]`, 0 on tokens and -10000 on padding
    /// - output: see [`AttentionOutput`]
    pub fn forward_self(&self, x: Tensor<3>, mask_bias: Tensor<4>, options: AttentionOptions) -> AttentionOutput {
        if self.norm_first {
            let normed = self.norm.as_ref().map_or(x.clone(), |norm| norm.forward(x.clone()));
            let out = self.attend(normed.clone(), normed, mask_bias, options);
            return AttentionOutput { hidden: x + dropout(out.hidden, &self.output_dropout), ..out };
        }
        let is_plain = self.rotary.is_none() && self.reach.is_none() && !options.values;
        let affine = self.norm.as_ref().and_then(Norm::layer_norm).filter(|_| is_plain);
        let Some(affine) = affine else {
            return self.forward(x.clone(), x.clone(), x, mask_bias, options);
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
        let (hidden, scores) = fused_ops::attention_block(x, mask_bias, block, affine, options.scores);
        AttentionOutput { hidden, scores, values: None }
    }

    /// Computes attention of these inputs, with the residual and the norm after it.
    ///
    /// # Shapes
    /// - `query_input`: `[batch, seq, query width]`, source of queries and keys
    /// - `value_input`: `[batch, seq, value width]`
    /// - `residual`: `[batch, seq, width]`
    /// - `mask_bias`: `[batch, 1, 1, seq]`, 0 on tokens and -10000 on padding
    /// - output: see [`AttentionOutput`]; without `options.scores`, all scores are never in memory at once
    pub fn forward(
        &self,
        query_input: Tensor<3>,
        value_input: Tensor<3>,
        residual: Tensor<3>,
        mask_bias: Tensor<4>,
        options: AttentionOptions,
    ) -> AttentionOutput {
        let out = self.attend(query_input, value_input, mask_bias, options);
        AttentionOutput { hidden: self.end_block(out.hidden.clone(), residual), ..out }
    }

    /// The residual, and the norm after it.
    pub(crate) fn end_block(&self, attended: Tensor<3>, residual: Tensor<3>) -> Tensor<3> {
        match &self.norm {
            Some(norm) => norm.forward_residual(attended, residual, &self.output_dropout),
            None => residual + dropout(attended, &self.output_dropout),
        }
    }

    /// Attention with residual and norm, of texts without padding, whose keys and values may be of other hidden states than the queries.
    ///
    /// # Shapes
    /// - `x`, output: `[1, rows of queries, width]`
    /// - `context`: `[1, rows of keys, width]`
    pub fn forward_ragged(&self, x: Tensor<3>, context: Option<Tensor<3>>, texts: &Ragged) -> Tensor<3> {
        if !self.norm_first {
            let keys = context.unwrap_or_else(|| x.clone());
            return self.end_block(self.attend_ragged([x.clone(), keys.clone(), keys], texts), x);
        }
        let normed = |x: Tensor<3>| match &self.norm {
            Some(norm) => norm.forward(x),
            None => x,
        };
        let queries = normed(x.clone());
        let keys = context.map_or_else(|| queries.clone(), normed);
        x + dropout(self.attend_ragged([queries, keys.clone(), keys], texts), &self.output_dropout)
    }

    /// `W_o softmax(S) V + b_o` of each text; the sources of queries, keys and values.
    pub(crate) fn attend_ragged(&self, [queries, keys, values]: [Tensor<3>; 3], texts: &Ragged) -> Tensor<3> {
        let key = self.key.as_ref().unwrap_or(&self.query);
        let projected = [dense(&self.query, queries), dense(key, keys), dense(&self.value, values)];
        dense(&self.output, fused_ops::ragged_attention(projected, texts, self.heads, &self.score_dropout))
    }

    /// `W_o softmax(S) V + b_o`, to which no residual is added yet.
    fn attend(
        &self,
        query_input: Tensor<3>,
        value_input: Tensor<3>,
        mask_bias: Tensor<4>,
        options: AttentionOptions,
    ) -> AttentionOutput {
        let key = self.key.as_ref().unwrap_or(&self.query);
        let q = dense(&self.query, query_input.clone());
        let k = dense(key, query_input);
        let v = dense(&self.value, value_input);
        let values = options.values.then(|| {
            let [batch, seq, width] = v.dims();
            v.clone().reshape([batch, seq, self.heads, width / self.heads]).swap_dims(1, 2)
        });
        let [q, k] = match self.rotary {
            Some(rotary) => turned([q, k], self.heads, rotary),
            None => [q, k],
        };
        let (heads, layer) = (self.heads, &self.score_dropout);
        let (context, scores) = match self.reach {
            Some(reach) => fused_ops::local_attention([q, k, v], mask_bias, (heads, reach), layer, options.scores),
            None => fused_ops::attention([q, k, v], mask_bias, heads, layer, options.scores),
        };
        AttentionOutput { hidden: dense(&self.output, context), scores, values }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Distribution, activation::softmax};
    use encoder_spec::{Encoder, Parts};

    use super::*;

    fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
        x.inner().try_into_vec_as::<f32>().expect("float tensors convert to f32")
    }

    fn assert_close(what: &str, ours: &[f32], theirs: &[f32]) {
        assert_eq!(ours.len(), theirs.len(), "{what}");
        let worst = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5, "{what}: off by {worst:e}");
    }

    #[test]
    fn values_are_those_that_attention_used_and_carry_a_gradient_to_their_projection() {
        let device = Device::flex().autodiff();
        let config = BertConfig {
            hidden_dropout_prob: 0.0,
            attention_probs_dropout_prob: 0.0,
            ..BertConfig::bert(9, 12, 1, 3, 6)
        };
        let spec = Encoder::describe(&config, Parts::NONE).unwrap();
        let attention = Attention::new(spec.layers[0].attention.as_ref().unwrap(), false, &config, &device);
        let x = Tensor::<3>::random([2, 5, 12], Distribution::Normal(0.0, 1.0), &device);
        let mask = Tensor::<4>::zeros([2, 1, 1, 5], &device);
        let all = AttentionOptions { scores: true, values: true };
        let kept = attention.forward_self(x.clone(), mask.clone(), all);
        let (scores, v) = (kept.scores.expect("asked for"), kept.values.expect("asked for"));
        assert_eq!(v.dims(), [2, 3, 5, 4]);
        // The layer again, by its formula.
        let context = softmax(scores, 3).matmul(v.clone()).swap_dims(1, 2).reshape([2, 5, 12]);
        let y = dense(&attention.output, context);
        let again = attention.norm.as_ref().unwrap().forward_residual(y, x.clone(), &attention.output_dropout);
        assert_close("hidden from scores and values", &values(again), &values(kept.hidden.clone()));
        // And in one operation, which returns no values.
        let fused = attention.forward_self(x, mask, AttentionOptions { scores: true, values: false });
        assert!(fused.values.is_none());
        assert_close("hidden in one operation", &values(fused.hidden), &values(kept.hidden));
        let gradients = (v.clone() * v).sum().backward();
        let reached = |layer: &Linear| layer.weight.val().grad(&gradients).map(values);
        assert!(reached(&attention.value).expect("values are made by it").iter().any(|g| g.abs() > 1e-6));
        assert!(reached(&attention.query).is_none());
    }
}
