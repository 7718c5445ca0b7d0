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
    /// Products and the word table in 8-bit integers, a scale for each output channel and each word. Inputs of products are quantized
    /// at each run, by their own range: `DynamicQuantizeLinear` and `MatMulInteger`.
    Int8Dynamic {
        /// Products that stay in 32-bit floating point, by name ([`Product::name`]).
        keep: BTreeSet<String>,
    },
    /// The same with ranges of inputs that are known beforehand: `QuantizeLinear` and `DequantizeLinear` around each product (QDQ).
    Int8Static {
        /// Least and greatest input of each product, by name. A product without a range stays in 32-bit floating point.
        ranges: BTreeMap<String, [f32; 2]>,
    },
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
    /// Whether weights are 8-bit integers.
    pub fn is_int8(&self) -> bool {
        matches!(self, Self::Int8Dynamic { .. } | Self::Int8Static { .. })
    }

    /// Format of all that isn't quantized.
    pub(crate) fn float(&self) -> DataType {
        if *self == Self::F16 { DataType::Float16 } else { DataType::Float }
    }

    /// How the product of this name computes. Heads are small, and their rounding would go straight into the answer.
    pub(crate) fn of(&self, name: &str) -> Numbers {
        match self {
            Self::F32 | Self::F16 => Numbers::Float,
            _ if name.starts_with("heads.") => Numbers::Float,
            Self::Int8Dynamic { keep } if keep.contains(name) => Numbers::Float,
            Self::Int8Dynamic { .. } => Numbers::Dynamic,
            Self::Int8Static { ranges } => ranges.get(name).map_or(Numbers::Float, |&range| Numbers::Static(range)),
        }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Int8Dynamic { .. } => "int8 (dynamic)",
            Self::Int8Static { .. } => "int8 (static)",
        })
    }
}
