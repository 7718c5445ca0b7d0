//! EfficientBERT (Dong et al. 2021): students with searched feed-forwards, and the architectures in their configurations.

use mlp_space::{Align, Architecture, Expression, LinearId, StudentShape, Unary, Widths};

use super::Family;
use crate::describe::feed_forward;
use crate::encoder::{FeedForward, Shape};
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

    fn feed_forwards(&self, config: &BertConfig) -> Result<Vec<FeedForward<Shape>>> {
        searched(config, |id| (usize::from(id.stacks()), id.inner_size(config.intermediate_size)))
    }

    fn block_name(&self, block: usize, _: usize, part: &str, leaf: &str) -> String {
        format!("feed_forward.{block}.{}.{leaf}", part.replace("norm", "LayerNorm"))
    }
}

/// The largest feed-forwards of the search space with the expressions of `config` active in them.
///
/// # Errors
/// As [`architecture`]; the configuration lists no feed-forwards, or has a bottleneck.
pub(crate) fn largest_feed_forwards(config: &BertConfig) -> Result<Vec<FeedForward<Shape>>> {
    searched(config, |_| (usize::from(LinearId::LARGEST.stacks()), config.intermediate_size))
}

/// `size` gives the number of blocks and the inner width of a layer's weights.
fn searched(config: &BertConfig, size: impl Fn(LinearId) -> (usize, usize)) -> Result<Vec<FeedForward<Shape>>> {
    if config.intra_bottleneck_size.is_some() || config.num_feedforward_networks != 1 {
        return Err(bottleneck());
    }
    if config.layers.is_empty() {
        let message = "the configuration lists no searched feed-forwards".into();
        return Err(Error::Layer { layer: 1, message });
    }
    let architecture = architecture(config)?;
    let layer = |(expression, id): (&Expression, &LinearId)| {
        let (program, inner) = (Program::searched(expression, align(config)), id.inner_size(config.intermediate_size));
        feed_forward(config, program, inner, size(*id), config.layer_norm_eps)
    };
    Ok(architecture.layers().iter().zip(architecture.ids()).map(layer).collect())
}

fn bottleneck() -> Error {
    let message = "searched layers have no bottleneck, and each says how many feed-forwards it stacks".into();
    Error::Config { field: "intra_bottleneck_size", message }
}

/// The architecture that a configuration's `layers` describe, checked: expressions parse, are valid, run at the
/// configuration's widths, and agree with the stacks and ratio written beside them.
///
/// # Errors
/// [`Error::Layer`] naming the layer.
pub fn architecture(config: &BertConfig) -> Result<Architecture> {
    let widths = Widths { hidden: config.hidden_size, base: config.intermediate_size, align: align(config) };
    let parse = |(index, spec): (usize, &LayerSpec)| {
        let at = |message: String| Error::Layer { layer: index + 1, message };
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
        Ok(expression)
    };
    let layers = config.layers.iter().enumerate().map(parse).collect::<Result<Vec<_>, _>>()?;
    Ok(Architecture::new(layers)?)
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
        Ok(LayerSpec { expression: e.to_string(), stacks: usize::from(id.stacks()), ratio: usize::from(id.ratio()) })
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

/// `base` turned into the configuration of a student with the given feed-forwards.
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
