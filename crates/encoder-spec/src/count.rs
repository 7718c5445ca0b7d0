//! Parameters and MACs, part by part.
//!
//! MACs are multiply-adds counted once (twice the number would be "FLOPs" as TinyBERT and
//! MobileBERT print them). Counted are the matrix products of the encoder for one sequence;
//! elementwise work, table look-ups, norms, the pooler and heads, and the distillation projection
//! are not, which is the convention of the published tables.

use std::collections::BTreeMap;

use mlp_space::Cost;
use serde::Serialize;

use crate::encoder::{Encoder, Shape};

/// Part of a model that counts are given for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CountPart {
    /// Word, position and segment tables, projection, norm.
    Embeddings,
    /// Self-attention of all layers.
    Attention,
    /// Feed-forwards of all layers, and the norm after the last one where there is one.
    FeedForward,
    /// MobileBERT's bottlenecks of all layers.
    Bottleneck,
    /// The projection used by distillation only.
    FitDense,
    /// The pooler, or the transform that stands before all heads in its place.
    Pooler,
    /// Task heads.
    Heads,
    /// The masked-LM head without the word table, which it shares with the embeddings.
    MaskedLm,
}

/// Counts of a whole model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Sequence length that the MACs hold for, in tokens.
    pub seq: usize,
    /// Per part.
    pub parts: BTreeMap<CountPart, Cost>,
    /// Feed-forward of each layer; nothing where a layer has none.
    pub layers: Vec<Cost>,
}

impl Encoder<Shape> {
    /// Parameters and multiply-adds, these for one sequence of `seq` tokens.
    pub fn count(&self, seq: usize) -> Count {
        Count::of(&self.weights(), &self.reach(), seq)
    }

    /// How far attention of each layer sees ([`Attention::reach`](crate::Attention::reach)).
    pub fn reach(&self) -> Vec<Option<usize>> {
        self.layers.iter().map(|layer| layer.attention.as_ref()?.reach).collect()
    }
}

impl Count {
    /// Counts an encoder with weights of these shapes, each under its path ([`Encoder::weights`]), for one sequence of `seq` tokens;
    /// `reach` of each layer, where the list ends the whole sequence ([`Encoder::reach`]).
    pub fn of(weights: &BTreeMap<String, Shape>, reach: &[Option<usize>], seq: usize) -> Self {
        let tokens = seq as u64;
        let mut parts: BTreeMap<CountPart, Cost> = BTreeMap::new();
        let mut layers = Vec::new();
        for (path, shape) in weights {
            let (part, layer) = place_of(path);
            let params: u64 = shape.iter().fold(1, |all, &d| all.saturating_mul(d as u64));
            let is_product = shape.len() == 2 && !path.ends_with("embeddings.weight");
            let is_counted =
                !matches!(part, CountPart::FitDense | CountPart::Pooler | CountPart::Heads | CountPart::MaskedLm);
            let mut macs = if is_product && is_counted { params.saturating_mul(tokens) } else { 0 };
            if let Some(attention) = path.strip_suffix("attention.query.weight") {
                if !weights.contains_key(&format!("{attention}attention.key.weight")) {
                    // A tied key is a second product with the query's weight.
                    macs = macs.saturating_mul(2);
                }
                // Scores and weighted values: 2 width for each pair of tokens that see each other.
                let reach = layer.and_then(|layer| *reach.get(layer)?);
                macs = macs.saturating_add((2 * shape[0] as u64).saturating_mul(pairs(tokens, reach)));
            }
            let cost = Cost { params, macs };
            let entry = parts.entry(part).or_default();
            *entry = *entry + cost;
            if let Some(i) = layer {
                layers.resize(layers.len().max(i + 1), Cost::default());
                if part == CountPart::FeedForward {
                    layers[i] = layers[i] + cost;
                }
            }
        }
        Self { seq, parts, layers }
    }

    /// All parameters.
    pub fn params(&self) -> u64 {
        self.parts.values().fold(Cost::default(), |all, &part| all + part).params
    }

    /// All parameters but the distillation projection and the masked-LM head: what a model for tasks has.
    pub fn params_without_fit(&self) -> u64 {
        let of = |part| self.parts.get(&part).map_or(0, |p| p.params);
        self.params() - of(CountPart::FitDense) - of(CountPart::MaskedLm)
    }

    /// MACs of the encoder for one sequence.
    pub fn macs(&self) -> u64 {
        self.parts.values().fold(Cost::default(), |all, &part| all + part).macs
    }
}

/// Pairs of tokens, in order, that are at most `reach` apart.
fn pairs(tokens: u64, reach: Option<usize>) -> u64 {
    match reach.map(|reach| reach as u64) {
        Some(reach) if reach < tokens.saturating_sub(1) => {
            // Those that the ends leave out are `1 + 2 + ... + reach` on both sides.
            tokens.saturating_mul(2 * reach + 1).saturating_sub(reach * (reach + 1))
        }
        _ => tokens.saturating_mul(tokens),
    }
}

/// The part that a weight belongs to, and its layer.
fn place_of(path: &str) -> (CountPart, Option<usize>) {
    let parts: Vec<&str> = path.split('.').collect();
    match parts[..] {
        ["encoder", "embeddings", ..] => (CountPart::Embeddings, None),
        ["encoder", "final_norm", ..] => (CountPart::FeedForward, None),
        ["encoder", "fit_dense", ..] => (CountPart::FitDense, None),
        ["encoder", "layers", layer, part, ..] => {
            let part = match part {
                "attention" => CountPart::Attention,
                "bottleneck" => CountPart::Bottleneck,
                _ => CountPart::FeedForward,
            };
            (part, layer.parse().ok())
        }
        ["pooler" | "prediction", ..] => (CountPart::Pooler, None),
        ["mlm", ..] => (CountPart::MaskedLm, None),
        _ => (CountPart::Heads, None),
    }
}

#[cfg(test)]
mod tests {
    use super::pairs;
    use crate::{BertConfig, Encoder, Parts, preset};

    #[test]
    fn tokens_see_those_within_reach_and_no_more_than_there_are() {
        for tokens in 0..9u64 {
            for reach in 0..9usize {
                let near = |a: u64| (0..tokens).filter(|b| a.abs_diff(*b) <= reach as u64).count() as u64;
                assert_eq!(pairs(tokens, Some(reach)), (0..tokens).map(near).sum::<u64>(), "{tokens}, {reach}");
            }
            assert_eq!(pairs(tokens, None), tokens * tokens);
        }
    }

    #[test]
    fn tying_keys_to_queries_saves_weights_but_no_multiply_adds() {
        for name in ["mobilebert-reference", "mobilebert-tiny-reference"] {
            let config = preset(name).unwrap();
            let count = |tie_key_query| {
                let config = BertConfig { tie_key_query, ..config.clone() };
                Encoder::describe(&config, Parts::NONE).unwrap().count(128)
            };
            assert_eq!(count(true).macs(), count(false).macs(), "{name}");
            assert!(count(true).params() < count(false).params(), "{name}");
        }
    }
}
