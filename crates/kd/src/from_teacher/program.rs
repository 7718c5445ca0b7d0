//! What a feed-forward expression computes, value by value, on tokens in a row.

use burn::tensor::{Device, Tensor, TensorData};
use encoder_spec::{Program, Step};
use fused_ops::{Combine, activate, combine};
use linear_fit::{Affine, Matrix};
use mlp_space::{Align, Binary};

/// A program at its widths.
pub(crate) struct Expression<'a> {
    program: &'a Program,
    widths: Vec<usize>,
    /// The values that the two linear maps read.
    reads: [usize; 2],
    device: &'a Device,
}

impl<'a> Expression<'a> {
    /// `program` in a block of `width` with `inner` channels.
    ///
    /// # Panics
    /// The program does not run at these widths, or lacks a linear map: those of checked descriptions do and have both.
    pub(crate) fn new(program: &'a Program, width: usize, inner: usize, device: &'a Device) -> Self {
        let widths = program.widths(width, inner).expect("a program that runs at the widths of its encoder");
        let reads = [0, 1].map(|map| {
            let found = program.steps().iter().find_map(|step| step.linear().filter(|(number, _)| *number == map));
            found.expect("a program with two linear maps").1
        });
        Self { program, widths, reads, device }
    }

    /// What the first linear map reads, of the block's input.
    pub(crate) fn first_input(&self, x: &Matrix) -> Matrix {
        if self.reads[0] == 0 {
            return x.clone();
        }
        let values = self.values(x, None, None);
        from_device(values[self.reads[0]].clone().expect("the first linear map depends on the input alone"))
    }

    /// What the second linear map reads, of the block's input and the first one.
    pub(super) fn second_input(&self, x: &Matrix, first: &Affine) -> Matrix {
        let values = self.values(x, Some(first), None);
        from_device(values[self.reads[1]].clone().expect("the second linear map does not depend on itself"))
    }

    /// The whole result where the second linear map gives `z`.
    pub(super) fn result(&self, x: &Matrix, first: &Affine, z: &Matrix) -> Matrix {
        let values = self.values(x, Some(first), Some(z));
        from_device(values.into_iter().last().flatten().expect("a program has a result"))
    }

    /// Whether the result is what the second linear map gives.
    pub(super) fn ends_linear(&self) -> bool {
        matches!(self.program.steps().last(), Some(Step::Second(_)))
    }

    /// The activations between the first linear map and the second, where there is nothing else.
    pub(super) fn neuron(&self) -> Option<Vec<encoder_spec::Activation>> {
        let mut functions = Vec::new();
        let mut value = self.reads[1];
        loop {
            match *self.program.steps().get(value.checked_sub(1)?)? {
                Step::Activation(function, of) => {
                    functions.push(function);
                    value = of;
                }
                Step::First(_) => break,
                _ => return None,
            }
        }
        functions.reverse();
        Some(functions)
    }

    /// Values that follow from what is known; value 0 is `x`.
    fn values(&self, x: &Matrix, first: Option<&Affine>, z: Option<&Matrix>) -> Vec<Option<Tensor<2>>> {
        let mut values = vec![Some(to_device(x, self.device))];
        for (step, &width) in self.program.steps().iter().zip(&self.widths[1..]) {
            let value = |of: usize| values[of].clone();
            let next = match *step {
                Step::First(a) => value(a).zip(first).map(|(a, first)| linear(a, first, self.device)),
                Step::Second(_) => z.map(|z| to_device(z, self.device)),
                // No model that is checked to begin so has one.
                Step::Gate(_) => None,
                Step::Activation(function, a) => value(a).map(|a| activate(a, function.into())),
                Step::Binary(op, a, b) => value(a).zip(value(b)).map(|(a, b)| binary(op, [a, b], width)),
            };
            values.push(next);
        }
        values
    }
}

fn binary(op: Binary, operands: [Tensor<2>; 2], width: usize) -> Tensor<2> {
    let (how, padding) = match op {
        Binary::Add => (Combine::Add, 0.0),
        Binary::Mul => (Combine::Mul, 1.0),
        Binary::Max => (Combine::Max, Align::MAX_PADDING),
    };
    let [a, b] = operands.map(|x| {
        let [rows, own] = x.dims();
        match own.cmp(&width) {
            std::cmp::Ordering::Equal => x,
            std::cmp::Ordering::Greater => x.narrow(1, 0, width),
            std::cmp::Ordering::Less => {
                let filled = Tensor::full([rows, width - own], padding, &x.device());
                Tensor::cat(vec![x, filled], 1)
            }
        }
    });
    combine(a, b, how)
}

/// `f(W x + b)` of every column, and the products of each two of its rows with their means taken away. In `f32`, since there are many rows.
pub(super) fn second_moments(
    x: &Matrix,
    map: &Affine,
    functions: impl IntoIterator<Item = encoder_spec::Activation>,
    device: &Device,
) -> (Matrix, Matrix) {
    let sums = linear(to_device(x, device), map, device);
    let values = functions.into_iter().fold(sums, |x, function| activate(x, function.into()));
    let centered = values.clone() - values.clone().mean_dim(0);
    let products = fused_ops::linear(centered.clone().transpose(), centered, None);
    (from_device(products), from_device(values))
}

fn linear(x: Tensor<2>, map: &Affine, device: &Device) -> Tensor<2> {
    let bias = map.bias.iter().map(|&v| v as f32).collect::<Vec<_>>();
    let bias = Tensor::from_data(TensorData::new(bias, [map.outputs()]), device);
    // Column by column is burn's layout.
    fused_ops::linear(x, to_device(&map.weight, device), Some(bias))
}

/// The columns of a matrix as the rows of a tensor.
fn to_device(x: &Matrix, device: &Device) -> Tensor<2> {
    let data = x.iter().map(|&v| v as f32).collect::<Vec<_>>();
    Tensor::from_data(TensorData::new(data, [x.ncols(), x.nrows()]), device)
}

fn from_device(x: Tensor<2>) -> Matrix {
    let [columns, rows] = x.dims();
    let data = x.try_into_vec_as::<f32>().expect("float tensors convert to f32");
    Matrix::from_iterator(rows, columns, data.into_iter().map(f64::from))
}
