//! ModernBERT (Warner et al. 2024), and Ettin (Weller et al. 2025), whose encoders have its shape.
//!
//! | | BERT | ModernBERT |
//! |---|---|---|
//! | positions | a table | rotary, with one base for local and one for global layers |
//! | attention | global | global in some layers, the others see `local_attention / 2` tokens on each side |
//! | norms | after the residuals | before attention and feed-forward, but for the first attention, and after the last layer |
//! | feed-forward | `act(x W1 + b1) W2 + b2` | `(act(x W1) * (x W3)) W2` |
//! | segments | a table | none |
//! | before heads | a pooler | `Norm(act(W h))`, of the first token or of the mean, and before scores of words and tokens too |

mod keys;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Family;
use crate::describe::heads;
use crate::encoder::{
    Attention, Block, Embedding, Encoder, FeedForward, Layer, Linear, MlmHead, Norm, Normalization, Rotary, Shape,
    Transform,
};
use crate::{Activation, BertConfig, Error, ModelType, NormKind, Parts, Pooling, Program, Result};

/// What a ModernBERT's configuration says beside the fields that it shares with a BERT's.
///
/// Of those, `hidden_dropout_prob` is its `mlp_dropout` and `attention_probs_dropout_prob` its `attention_dropout`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModernBertConfig {
    /// For each layer whether it is global: all tokens see each other.
    pub global_layers: Vec<bool>,
    /// Window of the other layers: a token sees half as many others on each side.
    pub local_attention: usize,
    /// Base of the rotary positions of global layers.
    pub global_theta: f64,
    /// Of the other layers.
    pub local_theta: f64,
    /// Whether norms have biases.
    pub norm_bias: bool,
    /// Whether the maps of attention have biases.
    pub attention_bias: bool,
    /// Whether the maps of feed-forwards have biases.
    pub mlp_bias: bool,
    /// Whether the map before heads has a bias.
    pub classifier_bias: bool,
    /// The activation after it.
    pub classifier_activation: Activation,
    /// Whether the scores of words have a bias.
    pub decoder_bias: bool,
    /// Whether the pooled vector is made of the mean of all tokens, and not of the first one.
    pub mean_pooling: bool,
    /// Dropout after the embedding, in training only.
    pub embedding_dropout: f64,
}

impl ModernBertConfig {
    /// What ModernBERT-base says of `layers` layers: every third one is global.
    fn usual(layers: usize) -> Self {
        Self {
            global_layers: every(keys::GLOBAL_EVERY, layers),
            local_attention: keys::LOCAL_ATTENTION,
            global_theta: keys::GLOBAL_THETA,
            local_theta: keys::LOCAL_THETA,
            norm_bias: false,
            attention_bias: false,
            mlp_bias: false,
            classifier_bias: false,
            classifier_activation: Activation::GeluErf,
            decoder_bias: true,
            mean_pooling: false,
            embedding_dropout: 0.0,
        }
    }

    /// How far attention of a layer sees on each side.
    pub fn reach(&self, layer: usize) -> Option<usize> {
        let is_global = self.global_layers.get(layer).copied().unwrap_or(true);
        (!is_global).then_some(self.local_attention / 2)
    }
}

/// Layers of which the first, and from there every `n`-th, is global.
fn every(n: usize, layers: usize) -> Vec<bool> {
    (0..layers).map(|layer| layer.is_multiple_of(n)).collect()
}

impl BertConfig {
    /// A ModernBERT whose sizes are these, and which is ModernBERT-base otherwise.
    pub fn modernbert(vocab_size: usize, hidden_size: usize, layers: usize, heads: usize, inner: usize) -> Self {
        Self {
            model_type: ModelType::ModernBert,
            hidden_dropout_prob: 0.0,
            attention_probs_dropout_prob: 0.0,
            classifier_dropout: Some(0.0),
            max_position_embeddings: 8192,
            layer_norm_eps: 1e-5,
            modern: Some(ModernBertConfig::usual(layers)),
            ..Self::bert(vocab_size, hidden_size, layers, heads, inner)
        }
    }
}

/// Checks what [`BertConfig::validate`] does not know of this family.
///
/// # Errors
/// [`Error::Config`] naming the field at fault.
pub(crate) fn validate(config: &BertConfig) -> Result<()> {
    let is_modern = config.model_type == ModelType::ModernBert;
    let Some(modern) = config.modern.as_ref().filter(|_| is_modern) else {
        let message = "must be \"modernbert\" where `modern` is there, and only there".to_owned();
        return match is_modern || config.modern.is_some() {
            true => Err(Error::Config { field: "model_type", message }),
            false => Ok(()),
        };
    };
    let (layers, listed) = (config.num_hidden_layers, modern.global_layers.len());
    let head = config.hidden_size / config.num_attention_heads;
    let (longest, positions) = (keys::LONGEST, config.max_position_embeddings);
    let others = [
        ("embedding_size", config.embedding_size.is_some()),
        ("intra_bottleneck_size", config.intra_bottleneck_size.is_some()),
        ("num_feedforward_networks", config.num_feedforward_networks != 1),
        ("normalization_type", config.normalization_type != NormKind::LayerNorm),
        ("tie_key_query", config.tie_key_query),
        ("layers", !config.layers.is_empty()),
    ];
    if let Some((field, _)) = others.into_iter().find(|(_, is_there)| *is_there) {
        return Err(Error::Config { field, message: "means nothing for a ModernBERT".into() });
    }
    let of_theta = |theta: f64| theta.is_finite() && theta > 0.0;
    let rules = [
        ("layer_types", listed == layers, format!("lists {listed} layers, `num_hidden_layers` is {layers}")),
        (
            "num_attention_heads",
            head.is_multiple_of(2),
            format!("must give heads of even width, whose channels are turned in pairs; they are {head} wide"),
        ),
        (
            "max_position_embeddings",
            positions <= longest,
            format!("must be at most {longest} for a ModernBERT, is {positions}"),
        ),
        (
            "local_attention",
            modern.local_attention <= crate::config::MAX_SIZE,
            format!("must be at most {}, is {}", crate::config::MAX_SIZE, modern.local_attention),
        ),
        (
            "rope_parameters",
            of_theta(modern.global_theta) && of_theta(modern.local_theta),
            format!("`rope_theta` must be positive, is {} and {}", modern.global_theta, modern.local_theta),
        ),
        (
            "embedding_dropout",
            (0.0..1.0).contains(&modern.embedding_dropout),
            format!("must be at least 0 and below 1, is {}", modern.embedding_dropout),
        ),
    ];
    match rules.into_iter().find(|(_, holds, _)| !holds) {
        Some((field, _, message)) => Err(Error::Config { field, message }),
        None => Ok(()),
    }
}

/// The encoder with these layers.
///
/// A masked-language-model head without a bias has no weights of its own: it is there where nothing else is on top of the transform
/// before all heads.
pub(crate) fn around(
    config: &BertConfig,
    modern: &ModernBertConfig,
    parts: Parts,
    layers: Vec<Layer<Shape>>,
) -> Result<Encoder<Shape>> {
    let hidden = config.hidden_size;
    if parts.mlm_extra {
        let message = "a ModernBERT's scores of words have no output weights beside the word table".into();
        return Err(Error::Config { field: "model_type", message });
    }
    let words = parts.mlm || parts.pooler && !modern.decoder_bias && config.task_heads.is_empty();
    Ok(Encoder {
        family: config.model_type,
        embedding: Embedding {
            words: vec![config.vocab_size, hidden],
            projection: None,
            positions: None,
            longest: config.max_position_embeddings,
            segments: None,
            norm: norm(config, modern),
        },
        layers,
        final_norm: Some(norm(config, modern)),
        fit: config.fit_size.map(|fit| Linear::of(hidden, fit)),
        pooling: if modern.mean_pooling { Pooling::Mean } else { Pooling::Cls },
        pooler: None,
        prediction: (parts.pooler || parts.mlm).then(|| Transform {
            dense: Linear::of(hidden, hidden).biased(modern.classifier_bias),
            activation: modern.classifier_activation,
            norm: norm(config, modern),
        }),
        heads: heads(config),
        mlm: words.then(|| MlmHead {
            transform: None,
            bias: modern.decoder_bias.then(|| vec![config.vocab_size]),
            extra: None,
        }),
    })
}

fn norm(config: &BertConfig, modern: &ModernBertConfig) -> Norm<Shape> {
    let kind = Normalization::LayerNorm { eps: config.layer_norm_eps };
    Norm::of(kind, config.hidden_size).biased(modern.norm_bias)
}

fn layer(config: &BertConfig, modern: &ModernBertConfig, index: usize) -> Layer<Shape> {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let reach = modern.reach(index);
    let theta = if reach.is_some() { modern.local_theta } else { modern.global_theta };
    let map = || Linear::of(hidden, hidden).biased(modern.attention_bias);
    let dense = |inputs, outputs| Linear::of(inputs, outputs).biased(modern.mlp_bias);
    Layer {
        attention: Some(Attention {
            heads: config.num_attention_heads,
            query: map(),
            key: Some(map()),
            value: map(),
            output: map(),
            // The embedding's norm is right before the first layer.
            norm: (index > 0).then(|| norm(config, modern)),
            rotary: Some(Rotary { theta }),
            reach,
        }),
        feed_forward: FeedForward {
            program: Program::gated(config.hidden_act),
            inner,
            blocks: vec![Block {
                dense1: dense(hidden, inner),
                dense2: dense(inner, hidden),
                gate: Some(dense(hidden, inner)),
                norm: norm(config, modern),
            }],
        },
        bottleneck: None,
        norm_first: true,
    }
}

pub(super) struct ModernBert;

impl Family for ModernBert {
    fn name(&self) -> &'static str {
        "modernbert"
    }

    fn class(&self) -> Option<&'static str> {
        Some("ModernBert")
    }

    fn prefix(&self) -> &'static str {
        "model."
    }

    fn published_parts(&self) -> Parts {
        Parts { mlm: true, ..Parts::POOLER }
    }

    fn read_keys(&self, keys: &mut Map<String, Value>) -> Result<()> {
        keys::read(keys)
    }

    fn json(&self, config: &BertConfig) -> serde_json::Result<String> {
        keys::written(config)
    }

    fn is_of_transformers(&self, _: &BertConfig) -> bool {
        true
    }

    fn layers(&self, config: &BertConfig) -> Result<Vec<Layer<Shape>>> {
        let of = |modern| (0..config.num_hidden_layers).map(|index| layer(config, modern, index)).collect();
        Ok(config.modern.as_ref().map(of).unwrap_or_default())
    }

    fn weight_name(&self, parts: &[&str]) -> Option<String> {
        Some(match parts {
            ["encoder", "embeddings", "word_embeddings", p] => format!("embeddings.tok_embeddings.{p}"),
            ["encoder", "layers", i, rest @ ..] => format!("layers.{i}.{}", in_layer(rest)),
            ["prediction", rest @ ..] => format!("head.{}", rest.join(".")),
            ["heads", i, "dense", p] => crate::names::head(i, p),
            ["mlm", "bias"] => "decoder.bias".into(),
            ["encoder", rest @ ..] => rest.join("."),
            _ => parts.join("."),
        })
    }

    fn is_head(&self, name: &str) -> bool {
        ["head.", "decoder.", "classifier"].iter().any(|head| name.starts_with(head))
    }

    fn span_head(&self) -> &'static str {
        "classifier."
    }

    fn tied_to(&self, name: &str) -> Option<&'static str> {
        (name == "decoder.weight").then_some("encoder.embeddings.word_embeddings.weight")
    }
}

/// Queries, keys and values are one tensor in files, and so are the first map of a feed-forward and its gate.
fn in_layer(parts: &[&str]) -> String {
    match parts {
        ["attention", "norm", p] => format!("attn_norm.{p}"),
        ["attention", "output", p] => format!("attn.Wo.{p}"),
        ["attention", _, p] => format!("attn.Wqkv.{p}"),
        ["feed_forward", "blocks", _, "norm", p] => format!("mlp_norm.{p}"),
        ["feed_forward", "blocks", _, "dense2", p] => format!("mlp.Wo.{p}"),
        ["feed_forward", "blocks", _, _, p] => format!("mlp.Wi.{p}"),
        _ => parts.join("."),
    }
}
