//! Linear maps, whole or as the leading block of a larger matrix.

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use cpu_kernels::elementwise::Activation;
use cpu_kernels::elementwise::binary as kernels;
use cpu_kernels::matmul::{
    Epilogue, MatMut, MatRef, Precision, Tall, Written, matmul, multiply_all, transposed_product,
};
use rayon::prelude::*;

use super::host::{self, leading, matrix, rows, values};
use super::packed::{tokens, with_packed};
use super::scratch::with_scratch;
use super::{BackwardPass, Operation};

/// Which leading block of the weights is used, and how products are computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinearSettings {
    /// Leading rows of the weights in use; the width of the input.
    pub inputs: usize,
    /// Leading columns in use; the width of the output.
    pub outputs: usize,
    /// Number format of the products, forward and backward.
    pub precision: Precision,
}

/// `f(x W + b)`.
fn evaluate(
    x: FlexTensor,
    weight: FlexTensor,
    bias: Option<FlexTensor>,
    settings: LinearSettings,
    activation: Option<Activation>,
) -> FlexTensor {
    let (x, weight, bias) = (host::dense(x), matrix(weight), bias.map(host::dense));
    let (n, _) = rows(&x);
    host::tensor(with_width(x.shape(), settings.outputs), |out| {
        let bias = bias.as_ref().map(|b| &values(b)[..settings.outputs]);
        let (x, weight) =
            (MatRef::row_major(values(&x), n, settings.inputs), leading(&weight, settings.inputs, settings.outputs));
        let epilogue = Epilogue { bias, activation, ..Epilogue::default() };
        out.write(|out| {
            let out = MatMut::row_major(out, n, settings.outputs);
            matmul(x, weight, out, settings.precision, &epilogue).values()
        });
    })
}

fn with_width(mut shape: Shape, width: usize) -> Shape {
    let last = shape.num_dims() - 1;
    shape[last] = width;
    shape
}

impl LinearSettings {
    /// The gradient of weights of which this is the part in use: `product` writes the part, everything else is 0.
    pub(crate) fn weight_gradient(
        self,
        weight: &FlexTensor,
        product: impl for<'a> FnOnce(MatMut<'a>) -> Written<'a>,
    ) -> FlexTensor {
        let shape = weight.shape();
        let [height, width] = shape.dims();
        if (height, width) == (self.inputs, self.outputs) {
            return host::tensor(shape, |out| {
                out.write(|out| product(MatMut::row_major(out, height, width)).values());
            });
        }
        let mut data = vec![0.0; height * width];
        product(MatMut::new(&mut data, self.inputs, self.outputs, width));
        host::wrap(data, shape)
    }
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    pub x: FlexTensor,
    pub weight: FlexTensor,
    pub settings: LinearSettings,
}

impl Saved {
    /// Gradients of input, weights and bias together: each task reads its rows of both operands once.
    fn all(&self, grad: &FlexTensor, bias_width: usize) -> [FlexTensor; 3] {
        let LinearSettings { inputs, outputs, precision } = self.settings;
        let (n, _) = rows(grad);
        let (x, together) = (host::dense(self.x.clone()), tokens(precision));
        let mut shares = vec![0.0; n.div_ceil(together) * outputs];
        let (mut left, mut right) =
            (Tall::left(n, inputs, together, precision), Tall::right(n, outputs, together, precision));
        let weight = [(&self.weight, [inputs, outputs])];
        let dx = with_packed(weight, true, precision, |[weight]| {
            host::tensor(self.x.shape(), |dx| {
                let operands =
                    values(&x).par_chunks(together * inputs).zip(values(grad).par_chunks(together * outputs));
                let parts = left.parts().into_par_iter().zip(right.parts()).zip(shares.par_chunks_mut(outputs));
                let tasks = dx.chunks(together * inputs).zip(operands).zip(parts);
                tasks.with_max_len(1).for_each(|((dx, (x, grad)), ((left, right), share))| {
                    let n = left.rows();
                    let grad_rows = MatRef::row_major(grad, n, outputs);
                    with_scratch(|scratch| {
                        let (input, _) = scratch.parts(std::iter::empty());
                        input.repack(grad_rows, precision, false);
                        dx.write(|dx| {
                            multiply_all(input, weight, MatMut::row_major(dx, n, inputs), &Epilogue::default()).values()
                        });
                    });
                    right.pack(grad_rows);
                    left.pack(MatRef::row_major(x, n, inputs));
                    kernels::add_column_sums(grad, share);
                });
            })
        });
        let dw = self.settings.weight_gradient(&self.weight, |out| transposed_product(&left, &right, out));
        let mut bias = vec![0.0; bias_width];
        kernels::add_column_sums(&shares, &mut bias[..outputs]);
        [dx, dw, host::wrap(bias, Shape::new([bias_width]))]
    }

    /// `dY Wᵀ`, of the input's shape.
    fn input_gradient(&self, grad: &FlexTensor) -> FlexTensor {
        let LinearSettings { inputs, outputs, precision } = self.settings;
        let (n, _) = rows(grad);
        let weight = matrix(self.weight.clone());
        host::tensor(self.x.shape(), |out| {
            let (grad, weight) = (MatRef::row_major(values(grad), n, outputs), leading(&weight, inputs, outputs).t());
            out.write(|out| {
                let out = MatMut::row_major(out, n, inputs);
                matmul(grad, weight, out, precision, &Epilogue::default()).values()
            });
        })
    }

    /// `Xᵀ dY`, 0 outside the part, of the shape of the weights.
    fn weight_gradient(&self, grad: &FlexTensor) -> FlexTensor {
        let LinearSettings { inputs, outputs, precision } = self.settings;
        let (n, _) = rows(grad);
        let x = host::dense(self.x.clone());
        self.settings.weight_gradient(&self.weight, |out| {
            let (x, grad) = (MatRef::row_major(values(&x), n, inputs), MatRef::row_major(values(grad), n, outputs));
            matmul(x.t(), grad, out, precision, &Epilogue::default())
        })
    }

    /// Sums of the columns of `dY`, 0 outside the part.
    fn bias_gradient(&self, grad: &FlexTensor, width: usize) -> FlexTensor {
        let mut data = vec![0.0; width];
        column_sums(values(grad), &mut data[..self.settings.outputs]);
        host::wrap(data, Shape::new([width]))
    }
}

/// Adds every row of `x` (rows of the width of `sums`) to `sums`: blocks of rows by themselves, then block by block.
pub(crate) fn column_sums(x: &[f32], sums: &mut [f32]) {
    let width = sums.len();
    let block = host::block_rows(width);
    if x.len() <= block * width || width == 0 {
        return kernels::add_column_sums(x, sums);
    }
    let mut parts = vec![0.0; (x.len() / width).div_ceil(block) * width];
    let blocks = parts.par_chunks_mut(width).zip(x.par_chunks(block * width));
    blocks.for_each(|(part, x)| kernels::add_column_sums(x, part));
    kernels::add_column_sums(&parts, sums);
}

/// `x W`.
impl Operation<2> for LinearSettings {
    type Saved = Saved;

    fn forward(self, [x, weight]: [FlexTensor; 2]) -> (FlexTensor, Saved) {
        let output = evaluate(x.clone(), weight.clone(), None, self, None);
        (output, Saved { x, weight, settings: self })
    }
}

/// `x W + b`.
impl Operation<3> for LinearSettings {
    type Saved = (Saved, usize);

    fn forward(self, [x, weight, bias]: [FlexTensor; 3]) -> (FlexTensor, (Saved, usize)) {
        let width = host::dims::<1>(&bias)[0];
        let output = evaluate(x.clone(), weight.clone(), Some(bias), self, None);
        (output, (Saved { x, weight, settings: self }, width))
    }
}

/// `f(x W + b)`. Where no gradients are wanted, the sum before the function is never in memory.
impl Operation<3> for (LinearSettings, Activation) {
    type Saved = ((Saved, usize), (FlexTensor, Activation));

    fn forward(self, inputs: [FlexTensor; 3]) -> (FlexTensor, Self::Saved) {
        let (settings, function) = self;
        let (sum, linear) = settings.forward(inputs);
        let (output, activation) = Operation::forward(function, [sum]);
        (output, (linear, activation))
    }

    fn value(self, [x, weight, bias]: [FlexTensor; 3]) -> FlexTensor {
        evaluate(x, weight, Some(bias), self.0, Some(self.1))
    }
}

impl BackwardPass<3> for ((Saved, usize), (FlexTensor, Activation)) {
    fn gradients(self, grad: FlexTensor, wanted: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let (linear, activation) = self;
        let [grad] = activation.gradients(grad, [true]);
        linear.gradients(grad.expect("asked for"), wanted)
    }
}

impl BackwardPass<2> for Saved {
    fn gradients(self, grad: FlexTensor, [x, weight]: [bool; 2]) -> [Option<FlexTensor>; 2] {
        let grad = host::dense(grad);
        [x.then(|| self.input_gradient(&grad)), weight.then(|| self.weight_gradient(&grad))]
    }
}

/// [`Saved`], and the width of the bias.
impl BackwardPass<3> for (Saved, usize) {
    fn gradients(self, grad: FlexTensor, wanted: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let grad = host::dense(grad);
        let (saved, bias_width) = self;
        let empty = saved.x.shape().num_elements() == 0 || saved.settings.outputs == 0;
        if wanted == [true; 3] && !empty {
            return saved.all(&grad, bias_width).map(Some);
        }
        let [x, weight, bias] = wanted;
        [
            x.then(|| saved.input_gradient(&grad)),
            weight.then(|| saved.weight_gradient(&grad)),
            bias.then(|| saved.bias_gradient(&grad, bias_width)),
        ]
    }
}
