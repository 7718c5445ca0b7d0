//! From a model to an ONNX file.

use std::collections::BTreeSet;

use encoder_spec::{BertConfig, Encoder, MappedTensor};
use prost::Message;

use crate::outputs::{Answers, Output};
use crate::parts::Network;
use crate::proto::{Entry, Graph, Model, OperatorSet};
use crate::{Error, Format, Int8, Product, Result};

/// Version of the operators: the first with `Gelu`.
const OPSET: i64 = 20;
/// Version of the file format that belongs to it.
const IR_VERSION: i64 = 9;
/// Largest file of the format: protobuf reads no message of 2 GiB.
const LARGEST_FILE: usize = (1 << 31) - (1 << 20);
/// Weights below that stay in the file in any case: shapes and scalars, which engines read while they plan.
const SMALL: usize = 1024;
/// Alignment of weights in a file of their own, so that it can be mapped.
const PAGE: usize = 4096;

/// An encoder as an ONNX graph.
pub struct Exported {
    graph: Graph,
    /// Names of the outputs, those of each wanted output together.
    pub names: Vec<Vec<String>>,
    /// Products in the order of the graph.
    pub products: Vec<Product>,
}

/// Where weights are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weights {
    /// In the file, unless it would reach 2 GiB.
    #[default]
    AsFits,
    /// Beside the file, in one that has its name and `_data` behind it.
    Beside,
}

impl Exported {
    /// The graph that computes `outputs` of `encoder`. Inputs are `input_ids`, `attention_mask` and, where segments make a difference,
    /// `token_type_ids`, each `[batch_size, sequence_length]` of 64-bit integers. Results don't depend on padding, which the mask hides.
    ///
    /// # Errors
    /// The encoder is not valid, or has no such output.
    pub fn new(
        config: &BertConfig,
        encoder: &Encoder<MappedTensor>,
        outputs: &[Output],
        format: &Format,
    ) -> Result<Self> {
        encoder.check()?;
        let mut network = Network::new("encoder", format);
        let hidden = network.encoder(encoder);
        let answers = Answers { encoder, heads: &config.task_heads, many: outputs.len() > 1 };
        let names = outputs.iter().map(|&output| network.answer(&hidden, output, &answers));
        let names = names.collect::<Result<Vec<Vec<String>>>>()?;
        let mut seen = BTreeSet::new();
        if let Some(name) = names.iter().flatten().find(|name| !seen.insert(*name)) {
            return Err(Error::OneName(name.clone()));
        }
        let products = network.products;
        if let Format::Int8(Int8 { keep, .. }) = format {
            let is_known = |name: &str| name == Int8::WORDS || products.iter().any(|product| product.name == name);
            if let Some(name) = keep.iter().find(|name| !is_known(name)) {
                let known = products.iter().map(|product| product.name.as_str()).chain([Int8::WORDS]);
                return Err(Error::NoProduct { name: name.clone(), known: known.collect::<Vec<_>>().join(", ") });
            }
        }
        Ok(Self { names, products, graph: network.b.finish() })
    }

    /// The file, to be called `name`. `about` are keys and values for its metadata.
    pub fn file(mut self, name: &str, weights: Weights, about: &[(&str, String)]) -> OnnxFile {
        let size: usize = self.graph.initializer.iter().map(|tensor| tensor.raw_data.len()).sum();
        let data =
            (weights == Weights::Beside || size > LARGEST_FILE).then(|| self.take_weights(&format!("{name}_data")));
        let model = Model {
            ir_version: IR_VERSION,
            producer_name: "efficientbert".into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            graph: Some(self.graph),
            opset_import: vec![OperatorSet { domain: String::new(), version: OPSET }],
            metadata_props: about
                .iter()
                .map(|(key, value)| Entry { key: (*key).into(), value: value.clone() })
                .collect(),
        };
        OnnxFile { name: name.into(), model: model.encode_to_vec(), data }
    }

    /// Takes large weights out of the graph, into a file `name`, and leaves their places.
    fn take_weights(&mut self, name: &str) -> (String, Vec<u8>) {
        let mut bytes = Vec::new();
        for tensor in self.graph.initializer.iter_mut().filter(|tensor| tensor.raw_data.len() >= SMALL) {
            bytes.resize(bytes.len().next_multiple_of(PAGE), 0);
            let entry = |key: &str, value: String| Entry { key: key.into(), value };
            tensor.external_data = vec![
                entry("location", name.to_owned()),
                entry("offset", bytes.len().to_string()),
                entry("length", tensor.raw_data.len().to_string()),
            ];
            tensor.data_location = 1;
            bytes.append(&mut tensor.raw_data);
        }
        (name.to_owned(), bytes)
    }
}

/// An ONNX file, in memory.
#[derive(Clone, Debug)]
pub struct OnnxFile {
    /// Its name, e.g. `model.onnx`.
    pub name: String,
    /// What is in it.
    pub model: Vec<u8>,
    /// Name and content of the file with its weights, where they are beside it.
    pub data: Option<(String, Vec<u8>)>,
}

impl OnnxFile {
    /// Bytes, those of the weights beside it included.
    pub fn bytes(&self) -> usize {
        self.model.len() + self.data.as_ref().map_or(0, |(_, bytes)| bytes.len())
    }

    /// The files by name.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let data = self.data.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
        std::iter::once((self.name.as_str(), self.model.as_slice())).chain(data)
    }
}
