//! Heads on top of the encoder: tasks, and masked words; and the transform that may stand before all of them.

use burn::module::{Initializer, Module, Param};
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::{Device, Tensor};
use encoder_spec::{Activation, BertConfig, Pooling, Shape, TaskHeadKind, Transform, VectorConfig};
use fused_ops::{dense, dropout, with_rounded_int8};

use crate::norm::Norm;
use crate::spec::linear;

/// Scores of one task.
///
/// - classification and regression: `W dropout(pooled) + b`, `[batch, outputs]`
/// - span: `W h + b` on every token, `[batch, seq, 2]` (start, end)
/// - tags: the same, `[batch, seq, tags]`
/// - embedding: the vector of [`VectorConfig`], `[batch, outputs]`
#[derive(Module, Debug)]
pub struct TaskHead {
    /// Hidden width to outputs; a head that makes vectors may do without.
    pub dense: Option<Linear>,
    dropout: Dropout,
    #[module(skip)]
    kind: TaskHeadKind,
    #[module(skip)]
    vector: Option<VectorConfig>,
}

impl TaskHead {
    /// Builds a head of `config` from its description.
    pub fn new(spec: &encoder_spec::Head<Shape>, config: &BertConfig, device: &Device) -> Self {
        Self {
            dense: spec.dense.as_ref().map(|dense| linear(dense, device)),
            dropout: DropoutConfig::new(config.head_dropout()).init(),
            kind: spec.kind,
            vector: spec.vector,
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
        self.map_2(dropout(pooled, &self.dropout))
    }

    /// Scores on every token.
    ///
    /// # Shapes
    /// - `hidden`: `[batch, seq, hidden]`
    /// - output: `[batch, seq, outputs]`
    pub fn forward_tokens(&self, hidden: Tensor<3>) -> Tensor<3> {
        let hidden = dropout(hidden, &self.dropout);
        match &self.dense {
            Some(map) => exact(map, hidden),
            None => hidden,
        }
    }

    /// The vector of each text, of a head that makes vectors: `v = W pool(h) + b`, or `pool(h)` without a dense layer, then `v / |v|` if it is normalized. Without
    /// dropout, as in `sentence-transformers`.
    ///
    /// # Shapes
    /// - `hidden`: `[batch, seq, hidden]`
    /// - `mask`: `[batch, seq]`, 1 on tokens
    /// - output: `[batch, outputs]`
    pub fn forward_vectors(&self, hidden: Tensor<3>, mask: Tensor<2>) -> Tensor<2> {
        let vector = self.vector.unwrap_or_default();
        let pooled = match vector.pooling {
            Pooling::Mean => mean_of_tokens(hidden, mask),
            Pooling::Cls => first_token(hidden),
        };
        let v = self.map_2(pooled);
        if vector.normalize { to_unit_length(v) } else { v }
    }

    fn map_2(&self, x: Tensor<2>) -> Tensor<2> {
        match &self.dense {
            Some(map) => exact(map, x),
            None => x,
        }
    }
}

/// A linear map of a head, which inference in 8-bit integers leaves in floating point.
pub(crate) fn exact<const D: usize>(map: &Linear, x: Tensor<D>) -> Tensor<D> {
    with_rounded_int8(false, || dense(map, x))
}

/// The hidden states of the first tokens.
///
/// # Shapes
/// - `hidden`: `[batch, seq, hidden]`
/// - output: `[batch, hidden]`
pub(crate) fn first_token(hidden: Tensor<3>) -> Tensor<2> {
    let [batch, _, width] = hidden.dims();
    hidden.narrow(1, 0, 1).reshape([batch, width])
}

/// The mean of hidden states over the tokens of a text.
pub(crate) fn mean_of_tokens(hidden: Tensor<3>, mask: Tensor<2>) -> Tensor<2> {
    let count = mask.clone().sum_dim(1).clamp_min(1.0);
    let sum = (hidden * mask.unsqueeze_dim(2)).sum_dim(1).squeeze_dim::<2>(1);
    sum / count
}

/// `v / |v|` for each row; zeros stay.
///
/// # Shapes
/// - `rows`: `[batch, width]`
pub fn to_unit_length(rows: Tensor<2>) -> Tensor<2> {
    // What is added keeps the gradient of a row of zeros finite; of other rows it changes nothing.
    let length = (rows.clone() * rows.clone()).sum_dim(1).add_scalar(1e-24).sqrt();
    rows / length
}

/// `Norm(act(W h + b))`, which all heads of a ModernBERT see in the place of hidden states (Warner et al. 2024).
#[derive(Module, Debug)]
pub struct PredictionHead {
    /// Hidden width to itself.
    pub dense: Linear,
    /// Norm after the activation.
    pub norm: Norm,
    #[module(skip)]
    activation: Activation,
}

impl PredictionHead {
    /// Builds the transform from its description.
    pub fn new(spec: &Transform<Shape>, device: &Device) -> Self {
        Self { dense: linear(&spec.dense, device), norm: Norm::new(&spec.norm, device), activation: spec.activation }
    }

    /// Computes what heads see, of a pooled vector or of every token.
    ///
    /// # Shapes
    /// - input and output: `[.., hidden]`
    pub fn forward<const D: usize>(&self, h: Tensor<D>) -> Tensor<D> {
        self.norm.forward(fused_ops::activate(dense(&self.dense, h), self.activation.into()))
    }
}

/// Masked-language-model head with the decoder tied to the word table:
/// `logits = Norm(act(W h + b)) Eᵀ + bias`.
///
/// Where the word table `E` is narrower than the hidden states there are two forms. EfficientBERT's code maps down to its width, and
/// [`Parts::mlm`](encoder_spec::Parts::mlm) alone means that one. MobileBERT (Sun et al. 2020) keeps the hidden width and puts further columns, which are not
/// tied, beside `E`: `logits = y[:E] Eᵀ + y[E:] X + bias` with `y = Norm(act(W h + b))`; [`Parts::mlm_extra`](encoder_spec::Parts::mlm_extra)
/// means it. ModernBERT's head sees what [`PredictionHead`] gives, and has no transform of its own.
#[derive(Module, Debug)]
pub struct MlmHead {
    /// Hidden width to the word table's width, or to itself where there are further columns; with `norm`, or neither is there.
    pub dense: Option<Linear>,
    /// Norm after the activation.
    pub norm: Option<Norm>,
    /// One bias per word piece; `None`: 0.
    pub bias: Option<Param<Tensor<1>>>,
    /// `X`, the further columns, `[hidden - embed, vocab]`.
    pub extra: Option<Param<Tensor<2>>>,
    #[module(skip)]
    activation: Activation,
}

impl MlmHead {
    /// Builds the head of `config` from its description.
    pub fn new(spec: &encoder_spec::MlmHead<Shape>, config: &BertConfig, device: &Device) -> Self {
        let columns = |shape: &Shape| {
            Initializer::Normal { mean: 0.0, std: config.initializer_range }.init([shape[0], shape[1]], device)
        };
        let own = spec.transform.as_ref();
        Self {
            dense: own.map(|own| linear(&own.dense, device)),
            norm: own.map(|own| Norm::new(&own.norm, device)),
            bias: spec.bias.as_ref().map(|bias| Initializer::Zeros.init([bias[0]], device)),
            extra: spec.extra.as_ref().map(columns),
            activation: own.map_or(config.hidden_act, |own| own.activation),
        }
    }

    /// Computes the scores of all words of the vocabulary at each position.
    ///
    /// # Shapes
    /// - `hidden`: `[batch, seq, hidden]`, through the [`PredictionHead`] already where the model has one
    /// - `word_table`: `[vocab, embed]`, the embedding's weights
    /// - output: `[batch, seq, vocab]`
    pub fn forward(&self, hidden: Tensor<3>, word_table: Tensor<2>) -> Tensor<3> {
        with_rounded_int8(false, || self.scores(hidden, word_table))
    }

    fn scores(&self, hidden: Tensor<3>, word_table: Tensor<2>) -> Tensor<3> {
        let h = match (&self.dense, &self.norm) {
            (Some(own), Some(norm)) => norm.forward(fused_ops::activate(dense(own, hidden), self.activation.into())),
            _ => hidden,
        };
        let (table, bias) = (word_table.transpose(), self.bias.as_ref().map(Param::val));
        let Some(extra) = &self.extra else { return fused_ops::linear(h, table, bias) };
        let [embed, width] = [table.dims()[0], h.dims()[2]];
        let tied = fused_ops::linear(h.clone().narrow(2, 0, embed), table, bias);
        tied + fused_ops::linear(h.narrow(2, embed, width - embed), extra.val(), None)
    }
}

#[cfg(test)]
mod tests {
    use encoder_spec::{Encoder, Parts};

    use super::*;
    use crate::init;

    #[test]
    fn mobileberts_word_head_is_its_formula_over_the_table_and_its_own_weights() {
        let device = Device::flex();
        let config =
            BertConfig { embedding_size: Some(2), hidden_act: Activation::Relu, ..BertConfig::bert(5, 6, 1, 2, 8) };
        let parts = Parts { mlm: true, mlm_extra: true, ..Parts::NONE };
        let spec = Encoder::describe(&config, parts).unwrap().mlm.unwrap();
        let head = init::normal(MlmHead::new(&spec, &config, &device), 3, 0.7);
        let rows = [[0.5f32, -1.0, 0.25, 2.0, -0.75, 1.5], [1.0, 0.0, -0.5, 0.3, 0.8, -1.2]];
        let table = [[0.1f32, -0.4], [0.7, 0.2], [-0.3, 0.9], [0.0, 1.1], [0.6, -0.8]];
        let hidden = Tensor::<2>::from_floats(rows, &device).unsqueeze_dim(0);
        let found = head.forward(hidden, Tensor::from_floats(table, &device)).try_into_vec_as::<f32>().unwrap();

        let values = |t: Tensor<2>| t.try_into_vec_as::<f32>().unwrap();
        let (dense, extra) =
            (values(head.dense.as_ref().unwrap().weight.val()), values(head.extra.as_ref().unwrap().val()));
        for (row, found) in rows.iter().zip(found.chunks(5)) {
            // Fresh biases are 0 and scales 1.
            let y: Vec<f64> = (0..6)
                .map(|out| (0..6).map(|i| f64::from(row[i] * dense[i * 6 + out])).sum::<f64>().max(0.0))
                .collect();
            let mean = y.iter().sum::<f64>() / 6.0;
            let variance = y.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 6.0;
            let y: Vec<f64> = y.iter().map(|v| (v - mean) / (variance + config.layer_norm_eps).sqrt()).collect();
            for (word, found) in found.iter().enumerate() {
                let tied = (0..2).map(|i| y[i] * f64::from(table[word][i])).sum::<f64>();
                let own = (0..4).map(|i| y[2 + i] * f64::from(extra[i * 5 + word])).sum::<f64>();
                assert!((f64::from(*found) - tied - own).abs() < 1e-5, "{found} instead of {}", tied + own);
            }
        }
    }
}
