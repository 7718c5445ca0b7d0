//! Layer normalisation, alone and with the residual before it.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::{Dispatch, Flex, TensorMetadata};
use burn::nn::Dropout;
use burn::tensor::{Shape, Tensor, module};
use cpu_kernels::elementwise::{binary, norm as kernels};
use rayon::prelude::*;

use crate::dropout::{self, Mask, next_mask};
use crate::extension::FusedOps;
use crate::host::{self, applies, dense, rows, values};
use crate::tape::hand_on;

/// What normalises rows: scale, shift and epsilon.
#[derive(Clone, Debug)]
pub struct Affine {
    /// Scale, `[width]`.
    pub weight: Tensor<1>,
    /// Shift, `[width]`.
    pub bias: Tensor<1>,
    /// Added to the variance.
    pub eps: f64,
}

/// `(x - mean) / sqrt(var + eps) * weight + bias` over the last axis.
///
/// # Shapes
/// - input and output: `[.., width]`
pub fn layer_norm<const D: usize>(x: Tensor<D>, norm: Affine) -> Tensor<D> {
    let Affine { weight, bias, eps } = norm;
    if !applies(&x) {
        return module::layer_norm(x, weight, Some(bias), eps);
    }
    let (weight, bias) = (weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(<Dispatch as FusedOps>::fused_layer_norm(x.into_dispatch(), weight, bias, eps as f32))
}

/// `LayerNorm(residual + dropout(x))`: the end of every block of an encoder in one pass.
///
/// # Shapes
/// - `x`, `residual`, output: `[.., width]`
pub fn residual_layer_norm<const D: usize>(
    x: Tensor<D>,
    residual: Tensor<D>,
    layer: &Dropout,
    norm: Affine,
) -> Tensor<D> {
    if !applies(&x) {
        return layer_norm(residual + layer.forward(x), norm);
    }
    let mask = next_mask(layer, &x.device());
    let Affine { weight, bias, eps } = norm;
    Tensor::from_dispatch(<Dispatch as FusedOps>::fused_residual_norm(
        x.into_dispatch(),
        residual.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        eps as f32,
        mask,
    ))
}

/// What the backward pass needs: the normalised rows' inputs, and their statistics.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    sum: FlexTensor,
    weight: FlexTensor,
    mean: FlexTensor,
    inv_std: FlexTensor,
}

/// [`layer_norm`] forward.
pub(crate) fn forward(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, eps: f32) -> (FlexTensor, Saved) {
    let (x, weight, bias) = (dense(x), dense(weight), dense(bias));
    let (n, width) = rows(&x);
    let (mut mean, mut inv_std) = (vec![0.0; n], vec![0.0; n]);
    let y = host::tensor(x.shape(), |y| {
        let block = host::block_rows(width);
        y.par_chunks_mut(block * width)
            .zip(values(&x).par_chunks(block * width))
            .zip(mean.par_chunks_mut(block).zip(inv_std.par_chunks_mut(block)))
            .for_each(|((y, x), (mean, inv_std))| {
                kernels::layer_norm(x, values(&weight), values(&bias), eps, y, Some((mean, inv_std)));
            });
    });
    let (mean, inv_std) = (host::wrap(mean, Shape::new([n])), host::wrap(inv_std, Shape::new([n])));
    (y, Saved { sum: x, weight, mean, inv_std })
}

/// [`residual_layer_norm`] forward.
pub(crate) fn residual_forward(
    x: FlexTensor,
    residual: FlexTensor,
    weight: FlexTensor,
    bias: FlexTensor,
    eps: f32,
    mask: Option<Mask>,
) -> (FlexTensor, Saved) {
    let (x, residual, weight, bias) = (dense(x), dense(residual), dense(weight), dense(bias));
    let (n, width) = rows(&x);
    let (mut mean, mut inv_std) = (vec![0.0; n], vec![0.0; n]);
    let mut y = Vec::new();
    let sum = host::tensor(x.shape(), |sum| {
        y = host::vector(n * width, |y| {
            let block = host::block_rows(width);
            let outputs = y.par_chunks_mut(block * width).zip(sum.par_chunks_mut(block * width));
            let inputs = values(&x).par_chunks(block * width).zip(values(&residual).par_chunks(block * width));
            let statistics = mean.par_chunks_mut(block).zip(inv_std.par_chunks_mut(block));
            outputs.zip(inputs).zip(statistics).enumerate().for_each(
                |(i, (((y, sum), (x, residual)), (mean, inv_std)))| {
                    let (weight, bias, statistics) = (values(&weight), values(&bias), Some((mean, inv_std)));
                    match mask {
                        Some(mask) => {
                            mask.apply(x, sum, i * block * width);
                            binary::add_in_place(sum, residual);
                            kernels::layer_norm(sum, weight, bias, eps, y, statistics);
                        }
                        None => kernels::add_layer_norm(x, residual, weight, bias, eps, Some(sum), y, statistics),
                    }
                },
            );
        });
    });
    let (mean, inv_std) = (host::wrap(mean, Shape::new([n])), host::wrap(inv_std, Shape::new([n])));
    (host::wrap(y, x.shape()), Saved { sum, weight, mean, inv_std })
}

impl Saved {
    /// Gradients of what was normalised, of weight and of bias.
    fn gradients(&self, grad: FlexTensor) -> [FlexTensor; 3] {
        let grad = dense(grad);
        let (n, width) = rows(&grad);
        let block = host::block_rows(width);
        let blocks = n.div_ceil(block);
        // Each block of rows sums its own share of the parameters' gradients; shares are added in order.
        let mut shares = vec![0.0; blocks * 2 * width];
        let input = host::tensor(grad.shape(), |out| {
            let inputs = values(&self.sum).par_chunks(block * width).zip(values(&grad).par_chunks(block * width));
            let statistics = values(&self.mean).par_chunks(block).zip(values(&self.inv_std).par_chunks(block));
            let outputs = out.par_chunks_mut(block * width).zip(shares.par_chunks_mut(2 * width));
            outputs.zip(inputs).zip(statistics).for_each(|(((out, share), (x, grad)), (mean, inv_std))| {
                let (weight, bias) = share.split_at_mut(width);
                kernels::layer_norm_backward(x, mean, inv_std, values(&self.weight), grad, out, weight, bias);
            });
        });
        let mut sums = vec![0.0; 2 * width];
        crate::linear::column_sums(&shares, &mut sums);
        let bias = sums.split_off(width);
        let shape = Shape::new([width]);
        [input, host::wrap(sums, shape.clone()), host::wrap(bias, shape)]
    }
}

/// Gradients of [`forward`].
#[derive(Debug)]
pub(crate) struct LayerNormBackward;

impl Backward<Flex, 3> for LayerNormBackward {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        hand_on(ops, grads, |saved, grad| saved.gradients(grad));
    }
}

/// Gradients of [`residual_forward`].
#[derive(Debug)]
pub(crate) struct ResidualNormBackward;

impl Backward<Flex, 4> for ResidualNormBackward {
    type State = (Saved, Option<Mask>);

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (saved, mask) = ops.state;
        let [input, weight_gradient, bias_gradient] = saved.gradients(grads.consume::<Flex>(&ops.node));
        let [x, residual, weight, bias] = ops.parents;
        for (parent, grad) in [(weight, weight_gradient), (bias, bias_gradient)] {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, grad);
            }
        }
        if let Some(x) = x {
            let grad = match mask {
                Some(mask) => dropout::apply(input.clone(), mask),
                None => input.clone(),
            };
            grads.register::<Flex>(x.id, grad);
        }
        if let Some(residual) = residual {
            grads.register::<Flex>(residual.id, input);
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::DropoutConfig;

    use super::*;
    use crate::dropout::with_dropout_seed;
    use crate::testing::{
        assert_same, gradients, gradients_agree, gradients_are_slopes, list, normal, on_one_and_two_threads,
    };

    fn affine(weight: Tensor<2>, bias: Tensor<2>) -> Affine {
        let [_, n] = weight.dims();
        Affine { weight: weight.reshape([n]) + 1.0, bias: bias.reshape([n]), eps: 1e-5 }
    }

    fn inputs(n: usize, width: usize) -> [Tensor<2>; 4] {
        [normal([n, width], 2.0, 1), normal([n, width], 1.0, 2), normal([1, width], 0.3, 3), normal([1, width], 0.3, 4)]
    }

    fn reference([x, residual, w, b]: [Tensor<2>; 4]) -> Tensor<2> {
        let norm = affine(w, b);
        module::layer_norm(x + residual, norm.weight, Some(norm.bias), norm.eps)
    }

    #[test]
    fn values_and_gradients_equal_those_of_burns_layer_norm() {
        for (n, width) in [(1, 17), (7, 45), (200, 264), (65, 541)] {
            let [x, _, w, b] = inputs(n, width);
            let fused = |[x, w, b]: [Tensor<2>; 3]| layer_norm(x, affine(w, b));
            let reference = |[x, w, b]: [Tensor<2>; 3]| reference([x.clone(), x.zeros_like(), w, b]);
            assert_same("norm", fused([x.clone(), w.clone(), b.clone()]), reference([x.clone(), w.clone(), b.clone()]));
            gradients_agree(&format!("{n} x {width}"), [x, w, b], fused, reference);
        }
    }

    #[test]
    fn with_a_residual_it_is_the_norm_of_the_sum() {
        let none = DropoutConfig::new(0.0).init();
        for (n, width) in [(1, 17), (7, 45), (200, 264)] {
            let fused = |[x, residual, w, b]: [Tensor<2>; 4]| residual_layer_norm(x, residual, &none, affine(w, b));
            assert_same("norm", fused(inputs(n, width)), reference(inputs(n, width)));
            gradients_agree(&format!("{n} x {width}"), inputs(n, width), fused, reference);
        }
    }

    #[test]
    fn dropout_before_the_residual_equals_dropout_by_itself() {
        let layer = DropoutConfig::new(0.3).init();
        let fused = |[x, residual, w, b]: [Tensor<2>; 4]| {
            with_dropout_seed(5, || residual_layer_norm(x, residual, &layer, affine(w, b)))
        };
        let apart = |[x, residual, w, b]: [Tensor<2>; 4]| {
            reference([with_dropout_seed(5, || crate::dropout(x, &layer)), residual, w, b])
        };
        gradients_agree("with dropout", inputs(130, 264), fused, apart);
    }

    #[test]
    fn gradients_are_the_slopes_of_the_values() {
        let none = DropoutConfig::new(0.0).init();
        let f = |[x, residual, w, b]: [Tensor<2>; 4]| residual_layer_norm(x, residual, &none, affine(w, b));
        gradients_are_slopes("norm", inputs(3, 6), f);
    }

    #[test]
    fn bits_do_not_depend_on_the_number_of_threads() {
        let layer = DropoutConfig::new(0.1).init();
        let [one, two] = on_one_and_two_threads(|| {
            let f = |[x, residual, w, b]: [Tensor<2>; 4]| {
                with_dropout_seed(1, || residual_layer_norm(x, residual, &layer, affine(w, b)))
            };
            (list(f(inputs(500, 264))), gradients(&inputs(500, 264), f))
        });
        assert!(one == two, "different bits");
    }
}
