//! BERT (Devlin et al. 2019) and everything of its shape.

use super::Family;
use crate::describe::{feed_forward, layer};
use crate::encoder::{Layer, Shape};
use crate::{AttentionShape, BertConfig, Error, NormKind, Parts, Program, Result};

pub(super) struct Bert;

impl Family for Bert {
    fn name(&self) -> &'static str {
        "bert"
    }

    fn class(&self) -> Option<&'static str> {
        Some("Bert")
    }

    fn prefix(&self) -> &'static str {
        "bert."
    }

    fn published_parts(&self) -> Parts {
        Parts::POOLER
    }

    fn is_of_transformers(&self, config: &BertConfig) -> bool {
        config.embedding_size.is_none()
            && !config.trigram_input
            && config.normalization_type == NormKind::LayerNorm
            && config.outer_norm_eps() == config.layer_norm_eps
            && config.intra_bottleneck_size.is_none()
            && !config.tie_key_query
            && config.num_feedforward_networks == 1
    }

    fn layers(&self, config: &BertConfig) -> Result<Vec<Layer<Shape>>> {
        plain_layers(config)
    }
}

/// Equal layers, with `config.num_feedforward_networks` blocks in every feed-forward.
///
/// # Errors
/// The configuration lists searched ones.
pub(super) fn plain_layers(config: &BertConfig) -> Result<Vec<Layer<Shape>>> {
    if !config.layers.is_empty() {
        let message = "searched feed-forwards need `model_type` \"efficientbert\"".into();
        return Err(Error::Config { field: "layers", message });
    }
    let (program, inner) = (Program::plain(config.hidden_act), config.intermediate_size);
    let each = feed_forward(config, program, inner, (config.num_feedforward_networks, inner), config.outer_norm_eps());
    Ok(vec![layer(config, Some(AttentionShape::usual(config)), each); config.num_hidden_layers])
}

/// The last block has BERT's names, those before it MobileBERT's.
pub(super) fn plain_block_name(block: usize, blocks: usize, part: &str, leaf: &str) -> String {
    let prefix = if block + 1 == blocks { String::new() } else { format!("ffn.{block}.") };
    let name = match part {
        "dense1" => "intermediate.dense",
        "dense2" => "output.dense",
        _ => "output.LayerNorm",
    };
    format!("{prefix}{name}.{leaf}")
}
