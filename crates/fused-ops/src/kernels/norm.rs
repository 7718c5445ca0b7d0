//! Layer normalization, alone and with the residual before it.

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use cpu_kernels::elementwise::{binary, norm as kernels};
use rayon::prelude::*;

use super::dropout::{self, Mask};
use super::host::{self, Fresh, dense, rows, values};
use super::{BackwardPass, Operation};

/// What the backward pass needs: the normalized rows' inputs, and their statistics.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    sum: FlexTensor,
    weight: FlexTensor,
    mean: FlexTensor,
    inv_std: FlexTensor,
}

/// LayerNorm of rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LayerNorm {
    /// Added to the variance.
    pub eps: f32,
}

/// `x`, weight and bias.
impl Operation<3> for LayerNorm {
    type Saved = Saved;

    fn forward(self, inputs: [FlexTensor; 3]) -> (FlexTensor, Saved) {
        let [x, weight, bias] = inputs.map(dense);
        let (n, width) = rows(&x);
        let (mut mean, mut inv_std) = (vec![0.0; n], vec![0.0; n]);
        let y = host::tensor(x.shape(), |y| {
            let block = host::block_rows(width);
            y.chunks(block * width)
                .zip(values(&x).par_chunks(block * width))
                .zip(mean.par_chunks_mut(block).zip(inv_std.par_chunks_mut(block)))
                .for_each(|((y, x), (mean, inv_std))| {
                    y.write(|y| {
                        kernels::layer_norm(x, values(&weight), values(&bias), self.eps, y, Some((mean, inv_std)))
                    });
                });
        });
        let (mean, inv_std) = (host::wrap(mean, Shape::new([n])), host::wrap(inv_std, Shape::new([n])));
        (y, Saved { sum: x, weight, mean, inv_std })
    }
}

/// LayerNorm of the sum of a residual and `x` after dropout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResidualNorm {
    /// Added to the variance.
    pub eps: f32,
    /// The dropout.
    pub mask: Option<Mask>,
}

/// `x`, residual, weight and bias.
impl Operation<4> for ResidualNorm {
    type Saved = (Saved, Option<Mask>);

    fn forward(self, inputs: [FlexTensor; 4]) -> (FlexTensor, Self::Saved) {
        let [x, residual, weight, bias] = inputs.map(dense);
        let (n, width) = rows(&x);
        let (mut mean, mut inv_std) = (vec![0.0; n], vec![0.0; n]);
        let [sum, y] = host::vectors([n * width; 2], |[sum, y]| {
            let block = host::block_rows(width);
            let outputs = sum.chunks(block * width).zip(y.chunks(block * width));
            let inputs = values(&x).par_chunks(block * width).zip(values(&residual).par_chunks(block * width));
            let statistics = mean.par_chunks_mut(block).zip(inv_std.par_chunks_mut(block));
            outputs.zip(inputs).zip(statistics).enumerate().for_each(
                |(i, (((sum, y), (x, residual)), (mean, inv_std)))| {
                    let (weight, bias, statistics) = (values(&weight), values(&bias), Some((mean, inv_std)));
                    Fresh::write_all([sum, y], |[sum, y]| match self.mask {
                        Some(mask) => {
                            let sum = mask.apply(x, sum, i * block * width);
                            binary::add_in_place(sum, residual);
                            let y = kernels::layer_norm(sum, weight, bias, self.eps, y, statistics);
                            [sum, y]
                        }
                        None => kernels::add_layer_norm(x, residual, weight, bias, self.eps, sum, y, statistics),
                    });
                },
            );
        });
        let line = |data| host::wrap(data, Shape::new([n]));
        let saved = Saved { sum: host::wrap(sum, x.shape()), weight, mean: line(mean), inv_std: line(inv_std) };
        (host::wrap(y, x.shape()), (saved, self.mask))
    }
}

impl Saved {
    /// Gradients of what was normalized, of weight and of bias.
    fn all(&self, grad: FlexTensor) -> [FlexTensor; 3] {
        let grad = dense(grad);
        let (n, width) = rows(&grad);
        let block = host::block_rows(width);
        let blocks = n.div_ceil(block);
        // Each block of rows sums its own share of the parameters' gradients; shares are added in order.
        let mut shares = vec![0.0; blocks * 2 * width];
        let input = host::tensor(grad.shape(), |out| {
            let inputs = values(&self.sum).par_chunks(block * width).zip(values(&grad).par_chunks(block * width));
            let statistics = values(&self.mean).par_chunks(block).zip(values(&self.inv_std).par_chunks(block));
            let outputs = out.chunks(block * width).zip(shares.par_chunks_mut(2 * width));
            outputs.zip(inputs).zip(statistics).for_each(|(((out, share), (x, grad)), (mean, inv_std))| {
                let (weight, bias) = share.split_at_mut(width);
                out.write(|out| {
                    kernels::layer_norm_backward(x, mean, inv_std, values(&self.weight), grad, out, weight, bias)
                });
            });
        });
        let mut sums = vec![0.0; 2 * width];
        super::linear::column_sums(&shares, &mut sums);
        let bias = sums.split_off(width);
        let shape = Shape::new([width]);
        [input, host::wrap(sums, shape.clone()), host::wrap(bias, shape)]
    }
}

impl BackwardPass<3> for Saved {
    fn gradients(self, grad: FlexTensor, _: [bool; 3]) -> [Option<FlexTensor>; 3] {
        self.all(grad).map(Some)
    }
}

/// [`Saved`], and the mask before the residual.
impl BackwardPass<4> for (Saved, Option<Mask>) {
    fn gradients(self, grad: FlexTensor, [x, ..]: [bool; 4]) -> [Option<FlexTensor>; 4] {
        let (saved, mask) = self;
        let [input, weight, bias] = saved.all(grad);
        let x = x.then(|| match mask {
            Some(mask) => dropout::apply(input.clone(), mask),
            None => input.clone(),
        });
        [x, Some(input), Some(weight), Some(bias)]
    }
}
