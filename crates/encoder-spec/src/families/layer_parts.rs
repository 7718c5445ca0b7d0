//! Which parts each layer of a searched student has, and how wide its attention is.

use mlp_space::Architecture;
use serde::{Deserialize, Serialize};

use super::efficientbert::student_config;
use crate::{BertConfig, Error, LayerSpec, Result};

/// Heads and width of a layer's self-attention.
///
/// Queries, keys and values are `heads` vectors of `width / heads` channels each. Their maps are `[hidden -> width]`, the output map
/// is `[width -> hidden]`, so that the width needs not be the hidden one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionShape {
    /// Number of heads; divides the width.
    pub heads: usize,
    /// Width of queries, keys and values, all heads together.
    pub width: usize,
}

impl AttentionShape {
    /// What layers have that say nothing else: the configuration's heads over the width that layers work in.
    pub fn usual(config: &BertConfig) -> Self {
        Self { heads: config.num_attention_heads, width: config.inner_width() }
    }

    /// Width of one head.
    pub fn head_width(self) -> usize {
        self.width / self.heads.max(1)
    }

    /// Whether queries, keys and values can be made of equal heads.
    ///
    /// # Errors
    /// What is wrong, as a part of a sentence about a layer.
    fn check(self) -> Result<(), String> {
        let Self { heads, width } = self;
        if !(1..=crate::config::MAX_SIZE).contains(&width) {
            return Err(format!("the attention width must be between 1 and {}, is {width}", crate::config::MAX_SIZE));
        }
        if heads == 0 || !width.is_multiple_of(heads) {
            return Err(format!("the number of attention heads must divide the attention width {width}, is {heads}"));
        }
        Ok(())
    }
}

/// The parts of one layer, beside the expression that an [`Architecture`] has for it.
///
/// An `Architecture` has an expression for every layer, also for one whose feed-forward is left out here. So absence is not in it:
/// what it enumerates, mutates, encodes and fingerprints stays EfficientBERT's space, stored genomes keep their meaning, and a search
/// that switches a feed-forward off can switch it on again with the expression that it had. A `config.json` does not keep the
/// expression of a feed-forward that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerParts {
    /// Self-attention; `None`: the layer has none.
    pub attention: Option<AttentionShape>,
    /// Whether the layer has a feed-forward.
    pub feed_forward: bool,
}

impl LayerParts {
    /// Both parts, with the attention that the configuration gives to layers that say nothing else.
    pub fn usual(config: &BertConfig) -> Self {
        Self { attention: Some(AttentionShape::usual(config)), feed_forward: true }
    }
}

/// The parts of every layer of a searched student, checked.
///
/// # Errors
/// [`Error::Layer`] naming the layer: heads that do not divide the width, a width without heads, or neither attention nor feed-forward.
pub fn layer_parts(config: &BertConfig) -> Result<Vec<LayerParts>> {
    let of = |(index, spec): (usize, &LayerSpec)| {
        parts(config, spec).map_err(|message| Error::Layer { layer: index + 1, message })
    };
    config.layers.iter().enumerate().map(of).collect()
}

fn parts(config: &BertConfig, spec: &LayerSpec) -> Result<LayerParts, String> {
    let usual = AttentionShape::usual(config);
    let attention = match (spec.attention_heads, spec.attention_size) {
        (Some(0), None | Some(0)) => None,
        (Some(0), Some(width)) => {
            return Err(format!("`attention_heads` 0 means no attention, but `attention_size` is {width}"));
        }
        (heads, width) => {
            let shape = AttentionShape { heads: heads.unwrap_or(usual.heads), width: width.unwrap_or(usual.width) };
            shape.check()?;
            Some(shape)
        }
    };
    checked(LayerParts { attention, feed_forward: spec.has_feed_forward() })
}

fn checked(parts: LayerParts) -> Result<LayerParts, String> {
    match parts {
        LayerParts { attention: None, feed_forward: false } => {
            Err("has neither attention nor a feed-forward; leave the layer out".into())
        }
        _ => Ok(parts),
    }
}

/// `frame` turned into the configuration of a student whose layers have these feed-forwards and these parts.
///
/// The expression of a layer without a feed-forward is ignored. Where all layers have [`LayerParts::usual`], the result is that of
/// [`student_config`].
///
/// # Errors
/// As [`student_config`]; another number of parts than of expressions; [`Error::Layer`] as [`layer_parts`].
pub fn layered_config(frame: &BertConfig, architecture: &Architecture, parts: &[LayerParts]) -> Result<BertConfig> {
    let mut config = student_config(frame, architecture)?;
    let (layers, found) = (config.layers.len(), parts.len());
    if found != layers {
        let message = format!("the parts of {found} layers were given for {layers} expressions");
        return Err(Error::Config { field: "layers", message });
    }
    let usual = AttentionShape::usual(frame);
    for (index, (spec, &parts)) in config.layers.iter_mut().zip(parts).enumerate() {
        let at = |message: String| Error::Layer { layer: index + 1, message };
        checked(parts).map_err(at)?;
        if !parts.feed_forward {
            *spec = LayerSpec::without_feed_forward();
        }
        match parts.attention {
            None => spec.attention_heads = Some(0),
            Some(shape) => {
                shape.check().map_err(at)?;
                spec.attention_heads = (shape.heads != usual.heads).then_some(shape.heads);
                spec.attention_size = (shape.width != usual.width).then_some(shape.width);
            }
        }
    }
    Ok(config)
}
