//! Linear maps, norms, activations and tables.

use std::collections::{BTreeMap, HashMap};

use encoder_spec::{Activation, Linear, MappedTensor, Norm, Normalization};

use crate::format::{Format, Int8, Product};
use crate::graph::{Builder, Value};
use crate::int8::{Columns, Rows};
use crate::proto::{Attribute, DataType};

/// A network on its way into a graph.
pub(crate) struct Network<'a> {
    pub b: Builder,
    format: &'a Format,
    /// The products so far, in the order of the graph.
    pub products: Vec<Product>,
    /// Inputs of int8 products that are quantized already.
    quantized: HashMap<Value, [Value; 3]>,
    /// What masks scores, by how far tokens see.
    pub masks: BTreeMap<Option<usize>, Value>,
    /// Cosines and sines by base and width of a head.
    pub turns: HashMap<(u64, usize), [Value; 2]>,
    /// The vector of a text that heads share.
    pub pooled: Option<Value>,
    /// Results of transforms by place and input.
    pub transforms: HashMap<(String, String), Value>,
    /// The word table, as numbers of the graph.
    table: Option<Value>,
    /// The word table in int8, and its scales.
    scaled_table: Option<[Value; 2]>,
}

impl<'a> Network<'a> {
    pub fn new(name: &str, format: &'a Format) -> Self {
        Self {
            b: Builder::new(name, format.float()),
            format,
            products: Vec::new(),
            quantized: HashMap::new(),
            masks: BTreeMap::new(),
            turns: HashMap::new(),
            pooled: None,
            transforms: HashMap::new(),
            table: None,
            scaled_table: None,
        }
    }

    /// `x W^T + b`, with the weights at `path`.
    pub fn linear(&mut self, x: &str, path: &str, linear: &Linear<MappedTensor>) -> Value {
        self.leading(x, path, linear, [linear.inputs(), linear.outputs()])
    }

    /// The same with the first inputs and outputs of the map alone.
    pub fn leading(
        &mut self,
        x: &str,
        path: &str,
        linear: &Linear<MappedTensor>,
        [inputs, outputs]: [usize; 2],
    ) -> Value {
        let weights = transposed(&linear.weight, [inputs, outputs]);
        self.products.push(Product { name: path.into(), input: x.into(), inputs, outputs });
        let y = match self.format.of(path) {
            Numbers::Float => {
                let weight = self.b.floats(&format!("{path}.weight"), &[inputs, outputs], &weights);
                self.b.binary("MatMul", x, &weight)
            }
            Numbers::Dynamic => self.dynamic(x, path, &Columns::new(&weights, [inputs, outputs])),
            Numbers::Static(range) => self.fixed(x, range, path, &Columns::new(&weights, [inputs, outputs])),
        };
        match &linear.bias {
            Some(bias) => {
                let bias = self.b.floats(&format!("{path}.bias"), &[outputs], &bias.data[..outputs]);
                self.b.binary("Add", &y, &bias)
            }
            None => y,
        }
    }

    /// `x` quantized by the range that it has at each run.
    fn dynamic(&mut self, x: &str, path: &str, columns: &Columns) -> Value {
        let [integers, scale, zero] = match self.quantized.get(x) {
            Some(known) => known.clone(),
            None => {
                let all: [Value; 3] = self.b.outputs("DynamicQuantizeLinear", &[x], vec![]);
                self.quantized.insert(x.into(), all.clone());
                all
            }
        };
        let [weight, scales, zeros] = self.columns(path, columns);
        let sums = self.b.node("MatMulInteger", &[&integers, &weight, &zero, &zeros], vec![]);
        let sums = self.b.cast(&sums, DataType::Float);
        let scales = self.b.binary("Mul", &scale, &scales);
        self.b.binary("Mul", &sums, &scales)
    }

    /// `x` quantized by a range that is known, in the form `QuantizeLinear`, `DequantizeLinear`, which engines recognize.
    fn fixed(&mut self, x: &str, range: [f32; 2], path: &str, columns: &Columns) -> Value {
        let [integers, scale, zero] = match self.quantized.get(x) {
            Some(known) => known.clone(),
            None => {
                let (scale, zero) = crate::int8::scale_of(range);
                let (scale, zero) = (self.b.scale(scale), self.b.byte(zero));
                let integers = self.b.node("QuantizeLinear", &[x, &scale, &zero], vec![]);
                let all = [integers, scale, zero];
                self.quantized.insert(x.into(), all.clone());
                all
            }
        };
        let x = self.b.node("DequantizeLinear", &[&integers, &scale, &zero], vec![]);
        let [weight, scales, zeros] = self.columns(path, columns);
        let weight = self.b.node("DequantizeLinear", &[&weight, &scales, &zeros], vec![Attribute::int("axis", 1)]);
        self.b.binary("MatMul", &x, &weight)
    }

    fn columns(&mut self, path: &str, columns: &Columns) -> [Value; 3] {
        let [inputs, outputs] = columns.shape;
        let bytes = columns.values.iter().map(|&v| v as u8).collect();
        [
            self.b.weight(&format!("{path}.weight"), &[inputs, outputs], DataType::Int8, bytes),
            self.b.floats(&format!("{path}.weight_scale"), &[outputs], &columns.scales),
            self.b.weight(&format!("{path}.weight_zero_point"), &[outputs], DataType::Int8, vec![0; outputs]),
        ]
    }

    /// The vectors of the words `ids`; int8 keeps a scale for each word.
    pub fn words_of(&mut self, table: &MappedTensor, ids: &str) -> Value {
        if !self.format.has_int8_words() {
            let table = self.b.floats(WORDS, &table.shape, &table.data);
            let vectors = self.b.binary("Gather", &table, ids);
            self.table = Some(table);
            return vectors;
        }
        let [rows, width] = table.shape[..] else { unreachable!("a table is a matrix") };
        let Rows { values, scales } = Rows::new(&table.data, width);
        let bytes = values.iter().map(|&v| v as u8).collect();
        let table = self.b.weight(WORDS, &[rows, width], DataType::Int8, bytes);
        let scales = self.b.floats(&format!("{WORDS}_scale"), &[rows, 1], &scales);
        let values = self.b.binary("Gather", &table, ids);
        let values = self.b.cast(&values, DataType::Float);
        let by = self.b.binary("Gather", &scales, ids);
        self.scaled_table = Some([table, scales]);
        self.b.binary("Mul", &values, &by)
    }

    /// The whole word table, for scores of words.
    pub fn word_table(&mut self) -> Value {
        match (&self.table, self.scaled_table.clone()) {
            (Some(table), _) => table.clone(),
            (None, Some([table, scales])) => {
                let values = self.b.cast(&table, DataType::Float);
                self.b.binary("Mul", &values, &scales)
            }
            (None, None) => unreachable!("the embedding comes first"),
        }
    }

    pub fn norm(&mut self, x: &str, path: &str, norm: &Norm<MappedTensor>) -> Value {
        let width = norm.weight.data.len();
        let weight = self.b.floats(&format!("{path}.weight"), &[width], &norm.weight.data);
        let bias = norm.bias.as_ref().map(|bias| self.b.floats(&format!("{path}.bias"), &[width], &bias.data));
        match norm.kind {
            Normalization::LayerNorm { eps } => {
                let attributes = vec![Attribute::int("axis", -1), Attribute::float("epsilon", eps as f32)];
                let inputs: Vec<&str> = [x, &weight].into_iter().chain(bias.as_deref()).collect();
                self.b.node("LayerNormalization", &inputs, attributes)
            }
            Normalization::NoNorm => {
                let scaled = self.b.binary("Mul", x, &weight);
                match bias {
                    Some(bias) => self.b.binary("Add", &scaled, &bias),
                    None => scaled,
                }
            }
        }
    }

    pub fn activation(&mut self, function: Activation, x: &str) -> Value {
        let b = &mut self.b;
        match function {
            Activation::GeluErf => b.node("Gelu", &[x], vec![Attribute::string("approximate", "none")]),
            Activation::GeluTanh => b.node("Gelu", &[x], vec![Attribute::string("approximate", "tanh")]),
            Activation::Relu => b.node("Relu", &[x], vec![]),
            Activation::Sigmoid => b.node("Sigmoid", &[x], vec![]),
            Activation::Tanh => b.node("Tanh", &[x], vec![]),
            Activation::LeakyRelu => b.node("LeakyRelu", &[x], vec![Attribute::float("alpha", 0.01)]),
            Activation::Elu => b.node("Elu", &[x], vec![Attribute::float("alpha", 1.0)]),
            Activation::Swish => {
                let gate = b.node("Sigmoid", &[x], vec![]);
                b.binary("Mul", x, &gate)
            }
        }
    }

    /// The mask that is added to scores: `[batch, 1, 1, length]`, or `[batch, 1, length, length]` where tokens see to some distance.
    pub fn mask(&mut self, reach: Option<usize>) -> Value {
        if let Some(known) = self.masks.get(&reach) {
            return known.clone();
        }
        let all = self.masks[&None].clone();
        let Some(distance) = reach else { return all };
        self.b.enter("mask");
        let shape = self.b.node("Shape", &["input_ids"], vec![]);
        let (one, zero, step) = (self.b.integer(1), self.b.integer(0), self.b.integer(1));
        let length = self.b.binary("Gather", &shape, &one);
        let places = self.b.node("Range", &[&zero, &length, &step], vec![]);
        let (rows, columns) = (self.b.unsqueeze(&places, 1), self.b.unsqueeze(&places, 0));
        let difference = self.b.binary("Sub", &rows, &columns);
        let difference = self.b.node("Abs", &[&difference], vec![]);
        let limit = self.b.integer(distance as i64);
        let beyond = self.b.binary("Greater", &difference, &limit);
        let beyond = self.b.cast(&beyond, self.b.float);
        let masked = self.b.number(MASKED);
        let beyond = self.b.binary("Mul", &beyond, &masked);
        let mask = self.b.binary("Add", &all, &beyond);
        self.masks.insert(reach, mask.clone());
        mask
    }
}

/// Name of the word table.
const WORDS: &str = Int8::WORDS;

/// Added to the scores of masked positions: BERT's constant.
pub(crate) const MASKED: f64 = -10_000.0;

/// How a product computes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Numbers {
    Float,
    /// Int8, with inputs quantized at each run.
    Dynamic,
    /// Int8, with inputs between these two values.
    Static([f32; 2]),
}

/// The first rows and columns of a matrix, transposed: `[outputs, inputs] -> [inputs, outputs]`.
fn transposed(weight: &MappedTensor, [inputs, outputs]: [usize; 2]) -> Vec<f32> {
    let stride = weight.shape[1];
    let values: &[f32] = &weight.data;
    (0..inputs).flat_map(|i| (0..outputs).map(move |o| values[o * stride + i])).collect()
}
