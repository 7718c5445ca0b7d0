//! Parameters and MACs, part by part.
//!
//! MACs are multiply-adds counted once (twice the number would be "FLOPs" as TinyBERT and
//! MobileBERT print them). Counted are the matrix products of the encoder for one sequence;
//! elementwise work, table look-ups, norms, the pooler and heads, and the distillation projection
//! are not, which is the convention of the published tables.

use std::collections::BTreeMap;

use burn::module::Module;
use serde::Serialize;

use crate::weights::parameter_shapes;
use crate::{BertConfig, TaskModel};

/// Part of a model that counts are given for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CountPart {
    /// Word, position and segment tables, projection, norm.
    Embeddings,
    /// Self-attention of all layers.
    Attention,
    /// Feed-forwards of all layers.
    FeedForward,
    /// MobileBERT's bottlenecks of all layers.
    Bottleneck,
    /// The projection used by distillation only.
    FitDense,
    /// The pooler.
    Pooler,
    /// Task heads.
    Heads,
    /// The masked-LM head without the word table, which it shares with the embeddings.
    MaskedLm,
}

/// Parameters and MACs of one part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PartCount {
    /// Number of weights.
    pub params: u64,
    /// Multiply-adds for one sequence, counted once.
    pub macs: u64,
}

/// Counts of a whole model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Sequence length that the MACs hold for, in tokens.
    pub seq: usize,
    /// Per part.
    pub parts: BTreeMap<CountPart, PartCount>,
    /// Feed-forward of each layer.
    pub layers: Vec<PartCount>,
}

impl Count {
    /// All parameters.
    pub fn params(&self) -> u64 {
        self.parts.values().map(|p| p.params).sum()
    }

    /// All parameters but the distillation projection and the masked-LM head: what a model for tasks has.
    pub fn params_without_fit(&self) -> u64 {
        let of = |part| self.parts.get(&part).map_or(0, |p| p.params);
        self.params() - of(CountPart::FitDense) - of(CountPart::MaskedLm)
    }

    /// MACs of the encoder for one sequence.
    pub fn macs(&self) -> u64 {
        self.parts.values().map(|p| p.macs).sum()
    }
}

/// Counts a model at sequence length `seq` without allocating its weights.
pub fn count_parts(model: &TaskModel, config: &BertConfig, seq: usize) -> Count {
    count_module(model, config, seq)
}

/// Multiply-adds of the encoder alone for one sequence of `seq` tokens.
pub fn encoder_macs(model: &TaskModel, config: &BertConfig, seq: usize) -> u64 {
    count_parts(model, config, seq).macs()
}

fn count_module<M: Module>(model: &M, config: &BertConfig, seq: usize) -> Count {
    let mut parts: BTreeMap<CountPart, PartCount> = BTreeMap::new();
    let mut layers = vec![PartCount::default(); config.num_hidden_layers];
    let tokens = seq as u64;
    for (path, shape) in parameter_shapes(model) {
        let size: u64 = shape.iter().map(|&d| d as u64).product();
        let part = part_of(&path);
        let is_table = path.ends_with("embeddings.weight");
        let counted = !matches!(part, CountPart::FitDense | CountPart::Pooler | CountPart::Heads | CountPart::MaskedLm);
        // A tied key is a second product with the query's weight.
        let uses = if config.tie_key_query && path.ends_with("attention.query.weight") { 2 } else { 1 };
        let macs = if shape.len() == 2 && counted && !is_table { size * tokens * uses } else { 0 };
        let entry = parts.entry(part).or_default();
        entry.params += size;
        entry.macs += macs;
        if part == CountPart::FeedForward
            && let Some(layer) = path.split('.').nth(2).and_then(|i| i.parse::<usize>().ok())
        {
            layers[layer].params += size;
            layers[layer].macs += macs;
        }
    }
    let attention = parts.entry(CountPart::Attention).or_default();
    let per_layer = config.num_hidden_layers as u64 * config.inner_width() as u64;
    // Scores and weighted values: 2 seq² width.
    attention.macs += 2 * tokens * tokens * per_layer;
    Count { seq, parts, layers }
}

fn part_of(path: &str) -> CountPart {
    let parts: Vec<&str> = path.split('.').collect();
    match parts[..] {
        ["encoder", "embeddings", ..] => CountPart::Embeddings,
        ["encoder", "fit_dense", ..] => CountPart::FitDense,
        ["encoder", "layers", _, "attention", ..] => CountPart::Attention,
        ["encoder", "layers", _, "bottleneck", ..] => CountPart::Bottleneck,
        ["encoder", "layers", ..] => CountPart::FeedForward,
        ["pooler", ..] => CountPart::Pooler,
        ["mlm", ..] => CountPart::MaskedLm,
        _ => CountPart::Heads,
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::{Parts, preset};

    fn macs(config: &BertConfig) -> u64 {
        let device = Device::flex();
        let model = TaskModel::new(config, Parts::NONE, &device).unwrap();
        encoder_macs(&model, config, 128)
    }

    #[test]
    fn tying_keys_to_queries_saves_weights_but_no_multiply_adds() {
        for name in ["mobilebert-reference", "mobilebert-tiny-reference"] {
            let config = preset(name).unwrap();
            let tied = |tie_key_query| macs(&BertConfig { tie_key_query, ..config.clone() });
            assert_eq!(tied(true), tied(false), "{name}");
        }
    }
}
