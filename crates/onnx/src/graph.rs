//! An ONNX graph while it is built.

use std::collections::{HashMap, HashSet};

use crate::proto::{Attribute, DataType, Dimension, Extent, Graph, Node, Shape, Tensor, TensorType, Type, ValueInfo};

/// The end of an axis, in slices.
const END: i64 = i64::MAX;

/// A value of the graph: its name.
pub(crate) type Value = String;

/// Size of an axis of an input or output.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Axis {
    Batch,
    Sequence,
    Of(usize),
}

/// Nodes, constants, inputs and outputs, in the order in which they were added.
pub(crate) struct Builder {
    /// The format of all numbers that are no integers.
    pub float: DataType,
    graph: Graph,
    /// Constants by what they hold, so that each stands there once.
    constants: HashMap<(DataType, Vec<i64>, Vec<u8>), Value>,
    /// Names of all weights.
    weights: HashSet<String>,
    /// How often a name was given.
    names: HashMap<String, usize>,
    /// Where in the network the nodes stand that are added.
    scope: String,
}

impl Builder {
    pub fn new(name: &str, float: DataType) -> Self {
        let graph = Graph { name: name.into(), ..Graph::default() };
        Self {
            float,
            graph,
            constants: HashMap::new(),
            weights: HashSet::new(),
            names: HashMap::new(),
            scope: String::new(),
        }
    }

    pub fn finish(self) -> Graph {
        self.graph
    }

    /// What is added from now on belongs to this part of the network, e.g. `encoder.layers.0.attention`.
    pub fn enter(&mut self, scope: &str) {
        scope.clone_into(&mut self.scope);
    }

    /// A name that no other value has.
    fn fresh(&mut self, name: &str) -> String {
        let name = if self.scope.is_empty() { name.to_owned() } else { format!("{}/{name}", self.scope) };
        let count = self.names.entry(name.clone()).or_default();
        *count += 1;
        if *count == 1 { name } else { format!("{name}_{}", *count - 1) }
    }

    /// Adds a node of one output.
    pub fn node(&mut self, op: &str, inputs: &[&str], attributes: Vec<Attribute>) -> Value {
        let [output] = self.outputs(op, inputs, attributes);
        output
    }

    /// Adds a node of several outputs.
    pub fn outputs<const N: usize>(&mut self, op: &str, inputs: &[&str], attributes: Vec<Attribute>) -> [Value; N] {
        let name = self.fresh(op);
        let output: [Value; N] = std::array::from_fn(|i| if i == 0 { name.clone() } else { format!("{name}:{i}") });
        self.graph.node.push(Node {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: output.to_vec(),
            name,
            op_type: op.into(),
            attribute: attributes,
        });
        output
    }

    /// Calls `value` by another name, as an output must be called. The node that computes it gives it that name.
    pub fn rename(&mut self, value: &str, name: &str) {
        let nodes = self.graph.node.iter_mut();
        for at in nodes.flat_map(|node| node.input.iter_mut().chain(&mut node.output)).filter(|at| *at == value) {
            name.clone_into(at);
        }
        for output in self.graph.output.iter_mut().filter(|output| output.name == value) {
            name.clone_into(&mut output.name);
        }
    }

    /// A weight under its own name, which stands for its values: a second one of this name is the same one.
    pub fn weight(&mut self, name: &str, shape: &[usize], data_type: DataType, bytes: Vec<u8>) -> Value {
        debug_assert_eq!(shape.iter().product::<usize>() * data_type.bytes(), bytes.len(), "{name}");
        if !self.weights.insert(name.to_owned()) {
            return name.into();
        }
        self.graph.initializer.push(Tensor {
            dims: shape.iter().map(|&n| n as i64).collect(),
            data_type: data_type as i32,
            name: name.into(),
            raw_data: bytes,
            ..Tensor::default()
        });
        name.into()
    }

    /// A weight of floating-point numbers, in the format of the graph.
    pub fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Value {
        let bytes = self.float_bytes(values);
        self.weight(name, shape, self.float, bytes)
    }

    fn float_bytes(&self, values: &[f32]) -> Vec<u8> {
        match self.float {
            DataType::Float16 => values.iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect(),
            _ => f32_bytes(values),
        }
    }

    fn constant(&mut self, data_type: DataType, shape: &[i64], bytes: Vec<u8>) -> Value {
        let key = (data_type, shape.to_vec(), bytes);
        if let Some(name) = self.constants.get(&key) {
            return name.clone();
        }
        let name = format!("constant_{}", self.constants.len());
        let shape: Vec<usize> = shape.iter().map(|&n| n as usize).collect();
        self.weight(&name, &shape, data_type, key.2.clone());
        self.constants.insert(key, name.clone());
        name
    }

    /// A constant number, without axes.
    pub fn number(&mut self, value: f64) -> Value {
        let bytes = self.float_bytes(&[value as f32]);
        self.constant(self.float, &[], bytes)
    }

    /// A constant of `f32`, whatever the format of the graph, without axes.
    pub fn scale(&mut self, value: f32) -> Value {
        self.constant(DataType::Float, &[], f32_bytes(&[value]))
    }

    /// A constant of one byte, without axes.
    pub fn byte(&mut self, value: u8) -> Value {
        self.constant(DataType::Uint8, &[], vec![value])
    }

    /// A constant list of integers.
    pub fn integers(&mut self, values: &[i64]) -> Value {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(DataType::Int64, &[values.len() as i64], bytes)
    }

    /// A constant integer, without axes.
    pub fn integer(&mut self, value: i64) -> Value {
        self.constant(DataType::Int64, &[], value.to_le_bytes().to_vec())
    }

    /// `[start, end)` of an axis.
    pub fn slice(&mut self, x: &str, axis: i64, start: i64, end: Option<i64>) -> Value {
        let (start, end) = (self.integers(&[start]), self.integers(&[end.unwrap_or(END)]));
        let axis = self.integers(&[axis]);
        self.node("Slice", &[x, &start, &end, &axis], vec![])
    }

    pub fn cast(&mut self, x: &str, to: DataType) -> Value {
        self.node("Cast", &[x], vec![Attribute::int("to", to as i64)])
    }

    pub fn unsqueeze(&mut self, x: &str, axis: i64) -> Value {
        let axis = self.integers(&[axis]);
        self.node("Unsqueeze", &[x, &axis], vec![])
    }

    pub fn reshape(&mut self, x: &str, shape: &[i64]) -> Value {
        let shape = self.integers(shape);
        self.node("Reshape", &[x, &shape], vec![])
    }

    pub fn transpose(&mut self, x: &str, order: &[i64]) -> Value {
        self.node("Transpose", &[x], vec![Attribute::ints("perm", order)])
    }

    /// A node that takes two values.
    pub fn binary(&mut self, op: &str, a: &str, b: &str) -> Value {
        self.node(op, &[a, b], vec![])
    }

    pub fn input(&mut self, name: &str, data_type: DataType, axes: &[Axis]) -> Value {
        self.graph.input.push(value_info(name, data_type, axes));
        name.into()
    }

    pub fn output(&mut self, name: &str, data_type: DataType, axes: &[Axis]) {
        self.graph.output.push(value_info(name, data_type, axes));
    }
}

fn value_info(name: &str, data_type: DataType, axes: &[Axis]) -> ValueInfo {
    let extent = |&axis: &Axis| match axis {
        Axis::Batch => Extent::Named("batch_size".into()),
        Axis::Sequence => Extent::Named("sequence_length".into()),
        Axis::Of(size) => Extent::Fixed(size as i64),
    };
    let dim = axes.iter().map(|axis| Dimension { value: Some(extent(axis)) }).collect();
    let tensor_type = TensorType { elem_type: data_type as i32, shape: Some(Shape { dim }) };
    ValueInfo { name: name.into(), r#type: Some(Type { tensor_type: Some(tensor_type) }) }
}

/// Values as a file has them.
pub(crate) fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_constants_stand_in_the_graph_once() {
        let mut builder = Builder::new("test", DataType::Float);
        assert_eq!(builder.integers(&[1, 2]), builder.integers(&[1, 2]));
        assert_ne!(builder.integers(&[1]), builder.integer(1));
        assert_ne!(builder.number(1.0), builder.number(2.0));
        assert_eq!(builder.finish().initializer.len(), 5);
    }

    #[test]
    fn values_of_one_scope_have_names_of_their_own() {
        let mut builder = Builder::new("test", DataType::Float);
        builder.enter("layer");
        let [a, b] = [builder.node("Tanh", &["x"], vec![]), builder.node("Tanh", &["x"], vec![])];
        assert_eq!([a.as_str(), b.as_str()], ["layer/Tanh", "layer/Tanh_1"]);
        builder.rename(&b, "logits");
        assert_eq!(builder.finish().node[1].output, ["logits"]);
    }
}
