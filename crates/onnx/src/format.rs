//! Number formats of a file.

use std::collections::{BTreeMap, BTreeSet};

use crate::parts::Numbers;
use crate::proto::DataType;

/// How the weights of a file are stored and how its products compute.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Format {
    /// 32-bit floating point.
    #[default]
    F32,
    /// 16-bit floating point throughout; outputs are 32-bit.
    F16,
    /// Products and the word table in 8-bit integers, a scale for each output channel and each word.
    Int8(Int8),
}

/// How 8-bit integers are used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Int8 {
    /// Products that stay in 32-bit floating point, by name ([`Product::name`]); the word table is [`Int8::WORDS`].
    pub keep: BTreeSet<String>,
    /// Least and greatest input of each product, by name: then products stand between `QuantizeLinear` and `DequantizeLinear` (QDQ, static), and
    /// one without a range stays in floating point. Without: inputs are quantized at each run by their own range, by
    /// `DynamicQuantizeLinear` and `MatMulInteger` (dynamic).
    pub ranges: Option<BTreeMap<String, [f32; 2]>>,
}

impl Int8 {
    /// Name of the word table.
    pub const WORDS: &str = "encoder.embeddings.word_embeddings.weight";
}

/// A product of the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// Its path in the encoder, e.g. `encoder.layers.0.attention.query`.
    pub name: String,
    /// The value of the graph that it reads.
    pub input: String,
    /// Width of its input.
    pub inputs: usize,
    /// Width of its output.
    pub outputs: usize,
}

impl Format {
    /// Whether the word table is in 8-bit integers.
    pub(crate) fn has_int8_words(&self) -> bool {
        matches!(self, Self::Int8(int8) if !int8.keep.contains(Int8::WORDS))
    }

    /// Format of all that isn't quantized.
    pub(crate) fn float(&self) -> DataType {
        if *self == Self::F16 { DataType::Float16 } else { DataType::Float }
    }

    /// How the product of this name computes. Heads are small, and their rounding would go straight into the answer.
    pub(crate) fn of(&self, name: &str) -> Numbers {
        match self {
            Self::F32 | Self::F16 => Numbers::Float,
            Self::Int8(_) if is_of_head(name) => Numbers::Float,
            Self::Int8(Int8 { keep, .. }) if keep.contains(name) => Numbers::Float,
            Self::Int8(Int8 { ranges: None, .. }) => Numbers::Dynamic,
            Self::Int8(Int8 { ranges: Some(ranges), .. }) => {
                ranges.get(name).map_or(Numbers::Float, |&range| Numbers::Static(range))
            }
        }
    }
}

/// Whether a product is a head's, which is never in integers.
pub(crate) fn is_of_head(name: &str) -> bool {
    name.starts_with("heads.")
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Int8(Int8 { ranges: None, .. }) => "int8 (dynamic)",
            Self::Int8(Int8 { ranges: Some(_), .. }) => "int8 (static)",
        })
    }
}
