//! EfficientBERT (Dong et al. 2021): students with searched layers, and the architectures in their configurations.

use mlp_space::arch::MAX_LAYERS;
use mlp_space::{Align, Architecture, Expression, LinearId, StudentShape, Unary, Widths};

use super::Family;
use super::layer_parts::layer_parts;
use crate::describe::{feed_forward, layer};
use crate::encoder::{FeedForward, Layer, Shape};
use crate::{Activation, BertConfig, Error, LayerSpec, ModelType, Program, Result};

/// The family.
pub(super) struct EfficientBert;

impl Family for EfficientBert {
    fn name(&self) -> &'static str {
        "efficientbert"
    }

    fn class(&self) -> Option<&'static str> {
        None
    }

    fn prefix(&self) -> &'static str {
        "bert."
    }

    fn is_of_transformers(&self, _: &BertConfig) -> bool {
        false
    }

    fn layers(&self, config: &BertConfig) -> Result<Vec<Layer<Shape>>> {
        searched(config, |id| (usize::from(id.stacks()), id.inner_size(config.intermediate_size)))
    }

    fn block_name(&self, block: usize, _: usize, part: &str, leaf: &str) -> String {
        format!("feed_forward.{block}.{}.{leaf}", part.replace("norm", "LayerNorm"))
    }
}

/// The layers of `config` with the largest feed-forwards of the search space, in which the expressions of `config` are active. A layer
/// without a feed-forward has none here either, and attention stays as it is.
///
/// # Errors
/// As [`feed_forwards`] and [`layer_parts`]; the configuration lists no layers, or has a bottleneck.
pub(crate) fn largest_layers(config: &BertConfig) -> Result<Vec<Layer<Shape>>> {
    searched(config, |_| (usize::from(LinearId::LARGEST.stacks()), config.intermediate_size))
}

/// `size` gives the number of blocks and the inner width of a layer's weights.
fn searched(config: &BertConfig, size: impl Fn(LinearId) -> (usize, usize)) -> Result<Vec<Layer<Shape>>> {
    if config.intra_bottleneck_size.is_some() || config.num_feedforward_networks != 1 {
        return Err(bottleneck());
    }
    if config.layers.is_empty() {
        let message = "the configuration lists no searched feed-forwards".into();
        return Err(Error::Layer { layer: 1, message });
    }
    let blocks = |expression: Option<Expression>| match expression.as_ref().and_then(|e| Some((e, e.id()?))) {
        Some((expression, id)) => {
            let inner = id.inner_size(config.intermediate_size);
            feed_forward(config, Program::searched(expression, align(config)), inner, size(id), config.layer_norm_eps)
        }
        None => FeedForward {
            program: Program::plain(config.hidden_act),
            inner: config.intermediate_size,
            blocks: Vec::new(),
        },
    };
    let parts = layer_parts(config)?.into_iter();
    Ok(parts.zip(feed_forwards(config)?).map(|(parts, f)| layer(config, parts.attention, blocks(f))).collect())
}

fn bottleneck() -> Error {
    let message = "searched layers have no bottleneck, and each says how many feed-forwards it stacks".into();
    Error::Config { field: "intra_bottleneck_size", message }
}

/// The architecture that a configuration's `layers` describe, checked as by [`feed_forwards`].
///
/// # Errors
/// [`Error::Layer`] naming the layer, also for a layer without a feed-forward, since an architecture has an expression for every layer.
pub fn architecture(config: &BertConfig) -> Result<Architecture> {
    let one = |(index, expression): (usize, Option<Expression>)| {
        let message = "has no feed-forward, and an architecture has one in every layer";
        expression.ok_or_else(|| Error::Layer { layer: index + 1, message: message.into() })
    };
    Ok(Architecture::new(feed_forwards(config)?.into_iter().enumerate().map(one).collect::<Result<_>>()?)?)
}

/// The feed-forward of every layer of a searched student, `None` where a layer has none, checked: expressions parse, are valid, run at
/// the configuration's widths, and agree with the stacks and ratio written beside them.
///
/// # Errors
/// [`Error::Layer`] naming the layer; more than [`MAX_LAYERS`] of them.
pub fn feed_forwards(config: &BertConfig) -> Result<Vec<Option<Expression>>> {
    let found = config.layers.len();
    if found > MAX_LAYERS {
        return Err(mlp_space::Error::TooManyLayers { found, limit: MAX_LAYERS }.into());
    }
    let widths = Widths { hidden: config.hidden_size, base: config.intermediate_size, align: align(config) };
    let parse = |(index, spec): (usize, &LayerSpec)| {
        let at = |message: String| Error::Layer { layer: index + 1, message };
        if !spec.has_feed_forward() {
            return match (spec.stacks, spec.ratio) {
                (0, 1) => Ok(None),
                (stacks, ratio) => Err(at(format!(
                    "has no feed-forward, so the fields beside it must be 0 stacks and ratio 1, are {stacks} and {ratio}"
                ))),
            };
        }
        let expression: Expression = spec.expression.parse().map_err(|e: mlp_space::Error| at(e.to_string()))?;
        expression.validate().map_err(|e| at(format!("`{expression}`: {e}")))?;
        expression.check_widths(widths).map_err(|e| at(format!("`{expression}`: {e}")))?;
        let id = active_id(&expression).map_err(at)?;
        if (usize::from(id.stacks()), usize::from(id.ratio())) != (spec.stacks, spec.ratio) {
            return Err(at(format!(
                "`{expression}` has {} stacks and ratio 1/{}, the fields beside it say {} and 1/{}",
                id.stacks(),
                id.ratio(),
                spec.stacks,
                spec.ratio
            )));
        }
        Ok(Some(expression))
    };
    config.layers.iter().enumerate().map(parse).collect()
}

/// What the operators of a student's feed-forwards do with operands of different width.
fn align(config: &BertConfig) -> Align {
    if config.pad_operands { Align::Pad } else { Align::Cut }
}

fn active_id(expression: &Expression) -> Result<LinearId, String> {
    expression.id().ok_or_else(|| format!("`{expression}` has no linear map, or two different ones"))
}

/// The `layers` field for an architecture.
///
/// # Errors
/// [`Error::Layer`] when an expression has no single linear id.
pub fn layer_specs(architecture: &Architecture) -> Result<Vec<LayerSpec>> {
    let spec = |(layer, e): (usize, &Expression)| {
        let id = active_id(e).map_err(|message| Error::Layer { layer: layer + 1, message })?;
        Ok(LayerSpec {
            expression: e.to_string(),
            stacks: usize::from(id.stacks()),
            ratio: usize::from(id.ratio()),
            attention_heads: None,
            attention_size: None,
        })
    };
    architecture.layers().iter().enumerate().map(spec).collect()
}

/// The configuration of a student with EfficientBERT's conventions (trigram input, LayerNorm epsilon 1e-5, tanh GELU) but for its
/// feed-forwards, of which `layers` are to come ([`student_config`]).
pub fn student_frame(shape: &StudentShape, layers: usize) -> BertConfig {
    BertConfig {
        model_type: ModelType::EfficientBert,
        hidden_act: Activation::GeluTanh,
        layer_norm_eps: 1e-5,
        max_position_embeddings: shape.max_positions,
        type_vocab_size: shape.segments,
        embedding_size: Some(shape.embed),
        trigram_input: true,
        fit_size: shape.fit,
        ..BertConfig::bert(shape.vocab, shape.hidden, layers, shape.heads, shape.base)
    }
}

/// `base` turned into the configuration of a student with the given feed-forwards, and `base`'s attention in every layer
/// ([`layered_config`](crate::layered_config) gives each its own).
///
/// # Errors
/// As [`layer_specs`].
pub fn student_config(base: &BertConfig, architecture: &Architecture) -> Result<BertConfig> {
    Ok(BertConfig {
        model_type: ModelType::EfficientBert,
        hidden_act: Activation::GeluTanh,
        num_hidden_layers: architecture.layers().len(),
        layers: layer_specs(architecture)?,
        ..base.clone()
    })
}

/// `shape`, a plain BERT such as TinyBERT-6, with searched feed-forwards in place of its own, one layer for each of them. Embedding,
/// attention and widths stay, heads do not; where an operator meets operands of different width the wider one is kept
/// ([`Align::Pad`]), since the inner width of such a model is above its hidden one. Conventions (tanh GELU, an epsilon of 1e-5)
/// are those of EfficientBERT's code.
///
/// # Errors
/// As [`layer_specs`]; `shape` has a bottleneck; or [`architecture`] of the result.
pub fn transferred_config(shape: &BertConfig, found: &Architecture) -> Result<BertConfig> {
    if shape.intra_bottleneck_size.is_some() || shape.num_feedforward_networks != 1 {
        return Err(bottleneck());
    }
    let (task_heads, extra) = Default::default();
    let base = BertConfig {
        pad_operands: true,
        layer_norm_eps: 1e-5,
        default_norm_eps: None,
        classifier_dropout: None,
        task_heads,
        extra,
        ..shape.clone()
    };
    let config = student_config(&base, found)?;
    architecture(&config)?;
    Ok(config)
}

/// The largest architecture of the space: 4 stacked plain GELU feed-forwards of ratio 1 in each layer.
///
/// # Errors
/// `layers` is zero or absurdly large.
pub fn supernet_architecture(layers: usize) -> Result<Architecture, mlp_space::Error> {
    Architecture::new(vec![Expression::plain(LinearId::LARGEST, Unary::Gelu); layers])
}
