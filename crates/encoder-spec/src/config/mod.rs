//! Encoder configuration, read from and written to Hugging Face's `config.json`.

mod head;
mod keys;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use head::{NumberScale, Pooling, TaskHeadConfig, TaskHeadKind, VectorConfig};
pub use keys::QUANT_METHOD;

use crate::families::modernbert::{self, ModernBertConfig};
use crate::{Activation, Error, ModelType, Result};

/// Normalization after every residual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormKind {
    /// Normalize to zero mean and unit variance, then scale and shift.
    #[default]
    LayerNorm,
    /// Scale and shift only (MobileBERT).
    NoNorm,
}

/// What queries, keys and values are computed from in a bottleneck layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionInput {
    /// Queries, keys and values from the wide layer input.
    Wide,
    /// Queries and keys from a second bottleneck, values from the wide input (MobileBERT as released).
    SharedKeyQuery,
    /// Queries, keys and values from the bottleneck (MobileBERT-TINY).
    Bottleneck,
}

/// The narrow inside of a MobileBERT layer, derived from the flat configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BottleneckConfig {
    /// Width inside the layer.
    pub size: usize,
    /// Source of queries, keys and values.
    pub attention_input: AttentionInput,
    /// Whether the bottleneck's dense layers are followed by a norm.
    pub norm: bool,
}

/// One layer of a searched student as the configuration carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerSpec {
    /// The feed-forward's expression, e.g. `tanh(linear4_2(gelu(linear4_2(x,wb1)),wb2))`; [`LayerSpec::NONE`] where there is none.
    pub expression: String,
    /// Number of stacked feed-forwards, 1 to 4; 0 where there is none.
    pub stacks: usize,
    /// Denominator r of the inner expansion ratio 1/r, 1 to 4.
    pub ratio: usize,
    /// Attention heads of this layer, 0 for no attention; absent: `num_attention_heads`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention_heads: Option<usize>,
    /// Width of this layer's queries, keys and values, all heads together; absent: `hidden_size`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention_size: Option<usize>,
}

impl LayerSpec {
    /// What stands in place of an expression where a layer has no feed-forward.
    pub const NONE: &'static str = "none";

    /// A layer of attention alone.
    pub fn without_feed_forward() -> Self {
        Self { expression: Self::NONE.into(), stacks: 0, ratio: 1, attention_heads: None, attention_size: None }
    }

    /// Whether the layer has a feed-forward.
    pub fn has_feed_forward(&self) -> bool {
        self.expression.trim() != Self::NONE
    }
}

/// Configuration of an encoder; field names are Hugging Face's where a field exists there.
///
/// Keys that this crate does not use are kept in [`BertConfig::extra`] and written back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BertConfig {
    /// Family.
    #[serde(default)]
    pub model_type: ModelType,
    /// Number of word pieces.
    pub vocab_size: usize,
    /// Width between layers.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Number of attention heads.
    pub num_attention_heads: usize,
    /// Inner width of the feed-forward; for a searched one the base width that ratios divide.
    pub intermediate_size: usize,
    /// Activation of plain feed-forwards and of the masked-LM head.
    #[serde(default = "gelu_erf")]
    pub hidden_act: Activation,
    /// Dropout after embeddings, attention and feed-forwards, in training only.
    #[serde(default)]
    pub hidden_dropout_prob: f64,
    /// Dropout on attention probabilities, in training only.
    #[serde(default)]
    pub attention_probs_dropout_prob: f64,
    /// Dropout in front of task heads, in training only; `hidden_dropout_prob` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classifier_dropout: Option<f64>,
    /// Longest sequence.
    pub max_position_embeddings: usize,
    /// Number of segments.
    #[serde(default = "two")]
    pub type_vocab_size: usize,
    /// Epsilon of LayerNorm; 1e-12 in BERT and MiniLM, 1e-5 in EfficientBERT's reference code.
    #[serde(default = "eps")]
    pub layer_norm_eps: f64,
    /// Epsilon of the two norms for which `transformers`' MobileBERT takes PyTorch's default in place of `layer_norm_eps`, 1e-5: the
    /// embedding's, and that of each layer's last feed-forward.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_norm_eps: Option<f64>,
    /// Standard deviation of initial weights.
    #[serde(default = "init_range")]
    pub initializer_range: f64,
    /// Id of the padding token.
    #[serde(default)]
    pub pad_token_id: usize,
    /// Width of the word table when it differs from `hidden_size`; a projection follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding_size: Option<usize>,
    /// Whether the projection sees the next, the current and the previous token's embedding.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trigram_input: bool,
    /// LayerNorm or NoNorm.
    #[serde(default, skip_serializing_if = "is_default")]
    pub normalization_type: NormKind,
    /// Width inside a MobileBERT layer; absent where layers have no bottleneck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intra_bottleneck_size: Option<usize>,
    /// Queries and keys from a second bottleneck (MobileBERT).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub key_query_shared_bottleneck: bool,
    /// Queries, keys and values from the bottleneck (MobileBERT-TINY).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub use_bottleneck_attention: bool,
    /// Whether a norm follows the input bottleneck; the reference re-implementation has none.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub bottleneck_norm: bool,
    /// Keys use the query's weights (EfficientBERT's re-implementation of MobileBERT-TINY).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tie_key_query: bool,
    /// Feed-forwards per layer (MobileBERT: 4).
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub num_feedforward_networks: usize,
    /// Width of the distillation projection `fit_dense`, if the model carries one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fit_size: Option<usize>,
    /// Every layer of a searched student; empty for plain ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<LayerSpec>,
    /// Whether operators of searched feed-forwards pad the narrower operand instead of cutting the wider (TinyBERT's shape).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pad_operands: bool,
    /// What a ModernBERT has and no other family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modern: Option<ModernBertConfig>,
    /// Task heads, in the order of their weights.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub task_heads: Vec<TaskHeadConfig>,
    /// Keys of the file that this crate does not use.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

fn gelu_erf() -> Activation {
    Activation::GeluErf
}
fn two() -> usize {
    2
}
fn one() -> usize {
    1
}
fn eps() -> f64 {
    1e-12
}
fn init_range() -> f64 {
    0.02
}
fn yes() -> bool {
    true
}
#[allow(clippy::trivially_copy_pass_by_ref)] // serde hands over a reference
fn is_true(v: &bool) -> bool {
    *v
}
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_one(v: &usize) -> bool {
    *v == 1
}
fn is_default<T: Default + PartialEq>(v: &T) -> bool {
    *v == T::default()
}

/// Largest value accepted for any size: keeps a crafted file from asking for absurd memory.
pub(crate) const MAX_SIZE: usize = 1 << 24;

/// Most layers of an encoder.
pub(crate) const MAX_LAYERS: usize = 1024;

impl BertConfig {
    /// A plain BERT encoder: LayerNorm, erf GELU, learned positions.
    pub fn bert(
        vocab_size: usize,
        hidden_size: usize,
        num_hidden_layers: usize,
        num_attention_heads: usize,
        intermediate_size: usize,
    ) -> Self {
        Self {
            model_type: ModelType::Bert,
            vocab_size,
            hidden_size,
            num_hidden_layers,
            num_attention_heads,
            intermediate_size,
            hidden_act: Activation::GeluErf,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            classifier_dropout: None,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            default_norm_eps: None,
            initializer_range: 0.02,
            pad_token_id: 0,
            embedding_size: None,
            trigram_input: false,
            normalization_type: NormKind::LayerNorm,
            intra_bottleneck_size: None,
            key_query_shared_bottleneck: false,
            use_bottleneck_attention: false,
            bottleneck_norm: true,
            tie_key_query: false,
            num_feedforward_networks: 1,
            fit_size: None,
            layers: Vec::new(),
            pad_operands: false,
            modern: None,
            task_heads: Vec::new(),
            extra: BTreeMap::new(),
        }
    }

    /// This configuration with one probability for all dropout, also in front of task heads.
    #[must_use]
    pub fn with_dropout(self, probability: f64) -> Self {
        Self {
            hidden_dropout_prob: probability,
            attention_probs_dropout_prob: probability,
            classifier_dropout: None,
            modern: self.modern.map(|modern| ModernBertConfig { embedding_dropout: probability, ..modern }),
            ..self
        }
    }

    /// Rows of the position table that a student of this model has: its own, or 512 where it has no table and takes longer texts.
    pub fn student_positions(&self) -> usize {
        if self.modern.is_some() { self.max_position_embeddings.min(512) } else { self.max_position_embeddings }
    }

    /// Probability of dropout after the embedding.
    pub fn embedding_dropout(&self) -> f64 {
        self.modern.as_ref().map_or(self.hidden_dropout_prob, |modern| modern.embedding_dropout)
    }

    /// Probability of dropout of what attention adds to its residual.
    pub fn attention_output_dropout(&self) -> f64 {
        if self.modern.is_some() { self.attention_probs_dropout_prob } else { self.hidden_dropout_prob }
    }

    /// Width of the word table.
    pub fn embed_width(&self) -> usize {
        self.embedding_size.unwrap_or(self.hidden_size)
    }

    /// Width that attention and feed-forwards work in.
    pub fn inner_width(&self) -> usize {
        self.intra_bottleneck_size.unwrap_or(self.hidden_size)
    }

    /// Epsilon of the embedding's norm and of that of each layer's last feed-forward, see [`BertConfig::default_norm_eps`].
    pub fn outer_norm_eps(&self) -> f64 {
        self.default_norm_eps.unwrap_or(self.layer_norm_eps)
    }

    /// Probability of dropout in front of task heads.
    pub fn head_dropout(&self) -> f64 {
        self.classifier_dropout.unwrap_or(self.hidden_dropout_prob)
    }

    /// Width of the hidden states that distillation compares, projected where there is a projection.
    pub fn state_width(&self) -> usize {
        self.fit_size.unwrap_or(self.hidden_size)
    }

    /// The bottleneck of a MobileBERT layer, if this configuration has one.
    pub fn bottleneck(&self) -> Option<BottleneckConfig> {
        self.intra_bottleneck_size.map(|size| BottleneckConfig {
            size,
            attention_input: if self.use_bottleneck_attention {
                AttentionInput::Bottleneck
            } else if self.key_query_shared_bottleneck {
                AttentionInput::SharedKeyQuery
            } else {
                AttentionInput::Wide
            },
            norm: self.bottleneck_norm,
        })
    }

    /// Whether a class of `transformers` computes this encoder: not a searched one, nor a BERT with a narrow word table.
    pub fn is_of_transformers(&self) -> bool {
        self.model_type.family().is_of_transformers(self)
    }

    /// Whether other programs write a tensor of this name for this configuration and compute nothing with it; the name may carry
    /// the family's prefix.
    pub fn leaves_unused(&self, name: &str) -> bool {
        let family = self.model_type.family();
        family.leaves_unused(self, name.strip_prefix(family.prefix()).unwrap_or(name))
    }

    /// Checks that an encoder can be built.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first field at fault.
    pub fn validate(&self) -> Result<()> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("type_vocab_size", self.type_vocab_size),
            ("num_feedforward_networks", self.num_feedforward_networks),
            ("embedding_size", self.embed_width()),
            ("intra_bottleneck_size", self.inner_width()),
            ("fit_size", self.fit_size.unwrap_or(1)),
        ];
        for (field, value) in sizes {
            if !(1..=MAX_SIZE).contains(&value) {
                return Err(config(field, format!("must be between 1 and {MAX_SIZE}, is {value}")));
            }
        }
        for (field, p) in [
            ("hidden_dropout_prob", self.hidden_dropout_prob),
            ("attention_probs_dropout_prob", self.attention_probs_dropout_prob),
            ("classifier_dropout", self.head_dropout()),
        ] {
            if !(0.0..1.0).contains(&p) {
                return Err(config(field, format!("must be at least 0 and below 1, is {p}")));
            }
        }
        for (field, eps) in [("layer_norm_eps", self.layer_norm_eps), ("default_norm_eps", self.outer_norm_eps())] {
            if !(eps > 0.0 && eps.is_finite()) {
                return Err(config(field, format!("must be positive, is {eps}")));
            }
        }
        let (layers, heads, width, range) =
            (self.num_hidden_layers, self.num_attention_heads, self.inner_width(), self.initializer_range);
        let lists = format!("describes {} layers, `num_hidden_layers` is {layers}", self.layers.len());
        let each_has_own_heads = !self.layers.is_empty() && self.layers.iter().all(|l| l.attention_heads.is_some());
        let rules = [
            ("num_hidden_layers", layers <= MAX_LAYERS, format!("must be at most {MAX_LAYERS}, is {layers}")),
            (
                "num_attention_heads",
                each_has_own_heads || width.is_multiple_of(heads),
                format!("must divide the attention width {width}, is {heads}"),
            ),
            ("initializer_range", range >= 0.0 && range.is_finite(), format!("must not be negative, is {range}")),
            (
                "pad_token_id",
                self.pad_token_id < self.vocab_size,
                format!("must be below vocab_size {}", self.vocab_size),
            ),
            ("trigram_input", !self.trigram_input || self.embedding_size.is_some(), "needs `embedding_size`".into()),
            ("layers", self.layers.is_empty() || self.layers.len() == layers, lists),
            (
                "pad_operands",
                !self.pad_operands || !self.layers.is_empty(),
                "needs searched feed-forwards in `layers`".into(),
            ),
        ];
        if let Some((field, _, message)) = rules.into_iter().find(|(_, holds, _)| !holds) {
            return Err(config(field, message));
        }
        modernbert::validate(self)?;
        keys::check(self)?;
        for head in &self.task_heads {
            if let Some(fault) = head.fault(self.hidden_size) {
                return Err(config("task_heads", format!("the head `{}` {fault}", head.task)));
            }
        }
        Ok(())
    }

    /// Reads the text of a Hugging Face `config.json`; what its keys mean is in `docs/model-directory.md`.
    ///
    /// # Errors
    /// The text is not JSON, lacks a field, names an unknown activation, holds values no encoder can be built from, or
    /// asks by some key for another computation than this crate's; the message names the field.
    pub fn from_json(text: &str) -> Result<Self> {
        let mut value: Value = serde_json::from_str(text).map_err(|e| Error::Json(e.to_string()))?;
        if let Some(keys) = value.as_object_mut() {
            keys::settle(keys)?;
        }
        let config: Self = serde_json::from_value(value).map_err(|e| Error::Json(explain(text, &e)))?;
        config.validate()?;
        Ok(config)
    }

    /// The text of `config.json`: pretty JSON, of a ModernBERT with its own keys, of a MobileBERT with every key that `transformers` has another default for.
    ///
    /// # Errors
    /// A key cannot be written as JSON, which no configuration that was read has.
    pub fn to_json(&self) -> Result<String> {
        let text = self.model_type.family().json(self).map_err(|e| Error::Json(e.to_string()))?;
        Ok(keys::for_classes(self, text) + "\n")
    }
}

/// Serde's flattened structs lose line numbers, so the field is looked up in the text.
fn explain(text: &str, error: &serde_json::Error) -> String {
    let message = error.to_string();
    let culprit = message.split('`').nth(1).unwrap_or_default();
    let line = text.lines().position(|l| !culprit.is_empty() && l.contains(culprit));
    match line {
        Some(n) if error.line() == 0 => format!("line {}: {message}", n + 1),
        _ => message,
    }
}

pub(crate) fn config(field: &'static str, message: String) -> Error {
    Error::Config { field, message }
}
