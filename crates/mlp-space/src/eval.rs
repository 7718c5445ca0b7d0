//! The meaning of an expression in plain `f64`, on one position at a time.
//!
//! This is the specification the tensor modules are held to, and what [`crate::fingerprint`] compares. NaN spreads
//! through every operator, as in PyTorch.

use crate::error::Error;
use crate::expr::{Binary, Expression, Node, Unary, WeightSlot};
use crate::valid::Invalid;
use crate::widths::Align;

/// Slope of `leaky_relu` below 0, PyTorch's default.
pub const LEAKY_RELU_SLOPE: f64 = 0.01;

/// One linear map `y_o = sum_i x_i w[i][o] + b_o`.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearWeights {
    inputs: usize,
    weight: Vec<f64>,
    bias: Vec<f64>,
}

impl LinearWeights {
    /// A linear map from `weight` in row order `[inputs, bias.len()]` and `bias`.
    ///
    /// # Errors
    /// [`Error::Operand`] when `weight` has another length.
    pub fn new(inputs: usize, weight: Vec<f64>, bias: Vec<f64>) -> Result<Self, Error> {
        let expected = inputs.saturating_mul(bias.len());
        if weight.len() == expected {
            Ok(Self { inputs, weight, bias })
        } else {
            Err(Error::Operand { what: "linear weight", expected, found: weight.len() })
        }
    }

    /// Number of input channels.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Number of output channels.
    pub fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// The map between the first `inputs` and the first `outputs` channels: how a sub-network is cut from a larger one.
    /// Sizes above the map's own mean all of them.
    #[must_use]
    pub fn slice(&self, inputs: usize, outputs: usize) -> Self {
        let (inputs, outputs) = (inputs.min(self.inputs), outputs.min(self.outputs()));
        let rows = self.weight.chunks_exact(self.outputs().max(1)).take(inputs);
        Self {
            inputs,
            weight: rows.flat_map(|row| row[..outputs].to_vec()).collect(),
            bias: self.bias[..outputs].to_vec(),
        }
    }

    /// The map with every output channel (weights and bias) multiplied by a factor.
    pub(crate) fn scale_outputs(mut self, factor: impl Fn(usize) -> f64) -> Self {
        let outputs = self.outputs().max(1);
        self.weight.iter_mut().enumerate().for_each(|(i, w)| *w *= factor(i % outputs));
        self.bias.iter_mut().enumerate().for_each(|(i, b)| *b *= factor(i));
        self
    }

    /// `x W + b`, or `None` when `x` has another width than the map.
    fn apply(&self, x: &[f64]) -> Option<Vec<f64>> {
        if x.len() != self.inputs {
            return None;
        }
        let mut y = self.bias.clone();
        for (xi, row) in x.iter().zip(self.weight.chunks_exact(self.outputs().max(1))) {
            for (yo, w) in y.iter_mut().zip(row) {
                *yo += xi * w;
            }
        }
        Some(y)
    }
}

/// `f(x; W1, b1, W2, b2)` for one position.
///
/// # Shapes
/// `x` is `[first.inputs()]`; the result is `[second.outputs()]` for every expression that passes
/// [`Expression::check_widths`].
///
/// # Errors
/// [`Invalid::LinearInput`] when a linear map meets another width than its weights have rows.
pub fn evaluate(
    expression: &Expression,
    x: &[f64],
    first: &LinearWeights,
    second: &LinearWeights,
    align: Align,
) -> Result<Vec<f64>, Error> {
    Evaluator { x, first, second, align }.node(expression.root())
}

pub(crate) struct Evaluator<'a> {
    pub(crate) x: &'a [f64],
    pub(crate) first: &'a LinearWeights,
    pub(crate) second: &'a LinearWeights,
    pub(crate) align: Align,
}

impl Evaluator<'_> {
    pub(crate) fn node(&self, node: &Node) -> Result<Vec<f64>, Error> {
        match node {
            Node::Input => Ok(self.x.to_vec()),
            Node::Unary(op, a) => {
                let mut values = self.node(a)?;
                values.iter_mut().for_each(|v| *v = unary(*op, *v));
                Ok(values)
            }
            Node::Binary(op, a, b) => Ok(binary(*op, &self.node(a)?, &self.node(b)?, self.align)),
            Node::Linear { weights, input, .. } => {
                let map = match weights {
                    WeightSlot::First => self.first,
                    WeightSlot::Second => self.second,
                };
                let input = self.node(input)?;
                map.apply(&input).ok_or_else(|| {
                    let (hidden, base) = (self.x.len(), self.first.outputs());
                    Invalid::LinearInput { slot: *weights, expected: map.inputs(), found: input.len(), hidden, base }
                        .into()
                })
            }
        }
    }
}

/// An activation of one value.
pub fn unary(op: Unary, x: f64) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    match op {
        Unary::Gelu => {
            let scale = std::f64::consts::FRAC_2_PI.sqrt();
            0.5 * x * (1.0 + (scale * (x + 0.044715 * x * x * x)).tanh())
        }
        Unary::Sigmoid => sigmoid(x),
        Unary::Tanh => x.tanh(),
        Unary::Relu if x < 0.0 => 0.0,
        Unary::LeakyRelu if x < 0.0 => LEAKY_RELU_SLOPE * x,
        Unary::Elu if x < 0.0 => x.exp_m1(),
        Unary::Relu | Unary::LeakyRelu | Unary::Elu => x,
        Unary::Swish => x * sigmoid(x),
    }
}

/// An element-wise operator of two rows, brought to one width by `align`.
pub fn binary(op: Binary, a: &[f64], b: &[f64], align: Align) -> Vec<f64> {
    let padding = match op {
        Binary::Add => 0.0,
        Binary::Mul => 1.0,
        Binary::Max => Align::MAX_PADDING,
    };
    let at = |row: &[f64], i: usize| row.get(i).copied().unwrap_or(padding);
    let width = align.width(a.len(), b.len());
    (0..width)
        .map(|i| {
            let (a, b) = (at(a, i), at(b, i));
            match op {
                Binary::Add => a + b,
                Binary::Mul => a * b,
                Binary::Max if a.is_nan() || a >= b => a,
                Binary::Max => b,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Agreement to the last digits written below.
    const DIGITS: f64 = 5e-10;

    #[test]
    fn activations_match_values_computed_by_hand() {
        // Columns: x = -1.5 and x = 2, ten decimals (Python's math module).
        for (op, low, high) in [
            (Unary::Gelu, -0.100_428_423_0, 1.954_597_694_1),
            (Unary::Sigmoid, 0.182_425_523_8, 0.880_797_078_0),
            (Unary::Tanh, -0.905_148_253_6, 0.964_027_580_1),
            (Unary::Relu, 0.0, 2.0),
            (Unary::LeakyRelu, -0.015, 2.0),
            (Unary::Elu, -0.776_869_839_9, 2.0),
            (Unary::Swish, -0.273_638_285_7, 1.761_594_156_0),
        ] {
            for (x, y) in [(-1.5, low), (2.0, high)] {
                assert!((unary(op, x) - y).abs() < DIGITS, "{op}({x}) = {}, expected {y}", unary(op, x));
            }
            assert!(unary(op, f64::NAN).is_nan(), "{op} hides NaN");
        }
    }

    #[test]
    fn operators_cut_to_the_narrower_width_or_pad_to_the_wider() {
        let (a, b) = ([1.0, -2.0, -3.0], [4.0, 5.0]);
        assert_eq!(binary(Binary::Add, &a, &b, Align::Cut), [5.0, 3.0]);
        assert_eq!(binary(Binary::Mul, &b, &a, Align::Cut), [4.0, -10.0]);
        assert_eq!(binary(Binary::Max, &a, &b, Align::Cut), [4.0, 5.0]);
        assert_eq!(binary(Binary::Add, &a, &b, Align::Pad), [5.0, 3.0, -3.0]);
        assert_eq!(binary(Binary::Mul, &b, &a, Align::Pad), [4.0, -10.0, -3.0]);
        assert_eq!(binary(Binary::Max, &a, &b, Align::Pad), [4.0, 5.0, -1e-10]);
        assert!(binary(Binary::Max, &[f64::NAN, 1.0], &[1.0, f64::NAN], Align::Cut).iter().all(|v| v.is_nan()));
    }

    #[test]
    fn the_released_fifth_layer_computes_its_formula() {
        // relu((x W1 + b1) * x[..1]) W2 + b2 with one inner channel of two.
        let e: Expression = "linear1_2(relu(mul(linear1_2(x,wb1),x)),wb2)".parse().unwrap();
        let first = LinearWeights::new(2, vec![1.0, 9.0, 2.0, 9.0], vec![0.5, 9.0]).unwrap().slice(2, 1);
        let second = LinearWeights::new(2, vec![1.0, -1.0, 9.0, 9.0], vec![0.25, 0.0]).unwrap().slice(1, 2);
        let y = evaluate(&e, &[3.0, 4.0], &first, &second, Align::Cut).unwrap();
        // x W1 + b1 = 3 + 8 + 0.5 = 11.5; times 3 = 34.5.
        assert_eq!(y, [34.75, -34.5]);
    }

    #[test]
    fn a_width_mismatch_is_an_error_and_names_the_weight() {
        let e: Expression = "linear1_1(gelu(linear1_1(x,wb1)),wb2)".parse().unwrap();
        let map = LinearWeights::new(2, vec![0.0; 6], vec![0.0; 3]).unwrap();
        let error = evaluate(&e, &[1.0, 1.0], &map, &map, Align::Cut).unwrap_err();
        assert!(error.to_string().starts_with("wb2 takes 2 channels but its input has 3"), "{error}");
        assert!(LinearWeights::new(2, vec![0.0; 5], vec![0.0; 3]).is_err());
    }
}
