//! Linear maps, whole or as the leading block of a larger matrix.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::{Dispatch, Flex, TensorMetadata};
use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{Shape, Tensor};
use cpu_kernels::elementwise::binary as kernels;
use cpu_kernels::matmul::{Epilogue, MatMut, MatRef, Precision, Tall, matmul, multiply_all, transposed_product};
use rayon::prelude::*;

use crate::activation::{Activation, activate};
use crate::extension::FusedOps;
use crate::host::{self, applies, leading, matrix, rows, values};
use crate::packed::{tokens, with_packed};
use crate::precision::kernel_precision;
use crate::product;
use crate::scratch::with_scratch;

/// Which leading block of the weights is used, and how products are computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// Leading rows of the weights in use; the width of the input.
    pub inputs: usize,
    /// Leading columns in use; the width of the output.
    pub outputs: usize,
    /// Number format of the products, forward and backward.
    pub precision: Precision,
}

/// `x W + b`.
///
/// # Shapes
/// - `x`: `[.., inputs]`
/// - `weight`: `[inputs, outputs]`
/// - `bias`: `[outputs]`
/// - output: `[.., outputs]`
pub fn linear<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<D> {
    let [inputs, outputs] = weight.dims();
    linear_part(x, weight, bias, [inputs, outputs])
}

/// [`linear`] with the weights of a layer.
///
/// # Shapes
/// - `x`: `[.., inputs]`
/// - output: `[.., outputs]`
pub fn dense<const D: usize>(layer: &Linear, x: Tensor<D>) -> Tensor<D> {
    linear(x, layer.weight.val(), layer.bias.as_ref().map(Param::val))
}

/// `f(x W + b)` with the weights of a layer. Where autodiff does not follow `x`, the sum before the function is nowhere
/// written.
///
/// # Shapes
/// - `x`: `[.., inputs]`
/// - output: `[.., outputs]`
pub fn dense_activated<const D: usize>(layer: &Linear, x: Tensor<D>, function: Activation) -> Tensor<D> {
    let (weight, bias) = (layer.weight.val(), layer.bias.as_ref().map(Param::val));
    let tracked = x.device().is_autodiff() || weight.device().is_autodiff();
    match bias {
        Some(bias) if !tracked && applies(&x) => {
            let [inputs, outputs] = weight.dims();
            let part = Part { inputs, outputs, precision: kernel_precision() };
            let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
            Tensor::from_dispatch(<Dispatch as FusedOps>::fused_activated_linear(x, weight, bias, part, function))
        }
        bias => activate(linear(x, weight, bias), function),
    }
}

/// `x W[:inputs, :outputs] + b[:outputs]`, without copying the block; the gradient of everything outside it is 0.
///
/// # Shapes
/// - `x`: `[.., inputs]`
/// - `weight`: at least `[inputs, outputs]`
/// - `bias`: at least `[outputs]`
/// - output: `[.., outputs]`
///
/// # Panics
/// The weights are smaller than the part.
pub fn linear_part<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    [inputs, outputs]: [usize; 2],
) -> Tensor<D> {
    let [height, width] = weight.dims();
    assert!(inputs <= height && outputs <= width, "[{inputs}, {outputs}] of weights [{height}, {width}]");
    assert_eq!(x.dims()[D - 1], inputs, "width of the input");
    if !applies(&x) {
        let weight = if inputs < height { weight.narrow(0, 0, inputs) } else { weight };
        let weight = if outputs < width { weight.narrow(1, 0, outputs) } else { weight };
        return product::linear(x, weight, bias.map(|b| b.narrow(0, 0, outputs)));
    }
    let part = Part { inputs, outputs, precision: kernel_precision() };
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match bias {
        Some(bias) => <Dispatch as FusedOps>::fused_linear(x, weight, bias.into_dispatch(), part),
        None => <Dispatch as FusedOps>::fused_product(x, weight, part),
    })
}

/// The forward pass, `activation` applied last.
pub(crate) fn forward(
    x: FlexTensor,
    weight: FlexTensor,
    bias: Option<FlexTensor>,
    part: Part,
    activation: Option<Activation>,
) -> FlexTensor {
    let (x, weight, bias) = (host::dense(x), matrix(weight), bias.map(host::dense));
    let (n, _) = rows(&x);
    host::tensor(with_width(x.shape(), part.outputs), |out| {
        let bias = bias.as_ref().map(|b| &values(b)[..part.outputs]);
        matmul(
            MatRef::row_major(values(&x), n, part.inputs),
            leading(&weight, part.inputs, part.outputs),
            MatMut::row_major(out, n, part.outputs),
            part.precision,
            &Epilogue { bias, activation, ..Epilogue::default() },
        );
    })
}

fn with_width(mut shape: Shape, width: usize) -> Shape {
    let last = shape.num_dims() - 1;
    shape[last] = width;
    shape
}

impl Part {
    /// The gradient of weights of which this is the part in use: `product` writes the part, everything else is 0.
    pub(crate) fn gradient(self, weight: &FlexTensor, product: impl FnOnce(MatMut<'_>)) -> FlexTensor {
        let shape = weight.shape();
        let [height, width] = shape.dims();
        let write = |out: &mut [f32]| product(MatMut::new(out, self.inputs, self.outputs, width));
        if (height, width) == (self.inputs, self.outputs) {
            return host::tensor(shape, write);
        }
        let mut data = vec![0.0; height * width];
        write(&mut data);
        host::wrap(data, shape)
    }
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    pub x: FlexTensor,
    pub weight: FlexTensor,
    pub part: Part,
}

impl Saved {
    /// Gradients of input, weights and bias together: each task reads its rows of both operands once.
    fn all(&self, grad: &FlexTensor, bias_width: usize) -> [FlexTensor; 3] {
        let Part { inputs, outputs, precision } = self.part;
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
                let tasks = dx.par_chunks_mut(together * inputs).zip(operands).zip(parts);
                tasks.with_max_len(1).for_each(|((dx, (x, grad)), ((left, right), share))| {
                    let n = left.rows();
                    let grad_rows = MatRef::row_major(grad, n, outputs);
                    with_scratch(|scratch| {
                        let (input, _) = scratch.parts(std::iter::empty());
                        input.repack(grad_rows, precision, false);
                        multiply_all(input, weight, MatMut::row_major(dx, n, inputs), &Epilogue::default());
                    });
                    right.pack(grad_rows);
                    left.pack(MatRef::row_major(x, n, inputs));
                    kernels::add_column_sums(grad, share);
                });
            })
        });
        let dw = self.part.gradient(&self.weight, |out| transposed_product(&left, &right, out));
        let mut bias = vec![0.0; bias_width];
        kernels::add_column_sums(&shares, &mut bias[..outputs]);
        [dx, dw, host::wrap(bias, Shape::new([bias_width]))]
    }

    /// `dY Wᵀ`, of the input's shape.
    fn input_gradient(&self, grad: &FlexTensor) -> FlexTensor {
        let Part { inputs, outputs, precision } = self.part;
        let (n, _) = rows(grad);
        let weight = matrix(self.weight.clone());
        host::tensor(self.x.shape(), |out| {
            let (grad, out) = (MatRef::row_major(values(grad), n, outputs), MatMut::row_major(out, n, inputs));
            matmul(grad, leading(&weight, inputs, outputs).t(), out, precision, &Epilogue::default());
        })
    }

    /// `Xᵀ dY`, 0 outside the part, of the shape of the weights.
    fn weight_gradient(&self, grad: &FlexTensor) -> FlexTensor {
        let Part { inputs, outputs, precision } = self.part;
        let (n, _) = rows(grad);
        let x = host::dense(self.x.clone());
        self.part.gradient(&self.weight, |out| {
            let (x, grad) = (MatRef::row_major(values(&x), n, inputs), MatRef::row_major(values(grad), n, outputs));
            matmul(x.t(), grad, out, precision, &Epilogue::default());
        })
    }

    /// Sums of the columns of `dY`, 0 outside the part.
    fn bias_gradient(&self, grad: &FlexTensor, width: usize) -> FlexTensor {
        let mut data = vec![0.0; width];
        column_sums(values(grad), &mut data[..self.part.outputs]);
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

/// Gradients of input, weights and bias.
#[derive(Debug)]
pub(crate) struct LinearBackward;

impl Backward<Flex, 3> for LinearBackward {
    type State = (Saved, usize);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = host::dense(grads.consume::<Flex>(&ops.node));
        let (saved, bias_width) = ops.state;
        let [x, weight, bias] = ops.parents;
        let empty = saved.x.shape().num_elements() == 0 || saved.part.outputs == 0;
        if let (Some(x), Some(weight), Some(bias), false) = (&x, &weight, &bias, empty) {
            let [dx, dw, db] = saved.all(&grad, bias_width);
            grads.register::<Flex>(bias.id, db);
            grads.register::<Flex>(weight.id, dw);
            grads.register::<Flex>(x.id, dx);
            return;
        }
        if let Some(bias) = bias {
            grads.register::<Flex>(bias.id, saved.bias_gradient(&grad, bias_width));
        }
        if let Some(weight) = weight {
            grads.register::<Flex>(weight.id, saved.weight_gradient(&grad));
        }
        if let Some(x) = x {
            grads.register::<Flex>(x.id, saved.input_gradient(&grad));
        }
    }
}

/// Gradients of input and weights where there is no bias.
#[derive(Debug)]
pub(crate) struct ProductBackward;

impl Backward<Flex, 2> for ProductBackward {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = host::dense(grads.consume::<Flex>(&ops.node));
        let [x, weight] = ops.parents;
        if let Some(weight) = weight {
            grads.register::<Flex>(weight.id, ops.state.weight_gradient(&grad));
        }
        if let Some(x) = x {
            grads.register::<Flex>(x.id, ops.state.input_gradient(&grad));
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Module;
    use burn::nn::LinearConfig;
    use burn::tensor::{Device, module};

    use super::*;
    use crate::precision::{Precision as Scope, with_precision};
    use crate::testing::{
        assert_close, assert_same, gradients, gradients_agree, gradients_are_slopes, list, normal,
        on_one_and_two_threads,
    };

    fn bias(b: Tensor<2>) -> Option<Tensor<1>> {
        let [_, n] = b.dims();
        Some(b.reshape([n]))
    }

    fn inputs(n: usize, inputs: usize, outputs: usize) -> [Tensor<2>; 3] {
        [normal([n, inputs], 1.0, 1), normal([inputs, outputs], 0.3, 2), normal([1, outputs], 1.0, 3)]
    }

    #[test]
    fn values_and_gradients_equal_those_of_burns_linear() {
        for (n, k, m) in [(1, 1, 1), (5, 45, 7), (64, 135, 540), (33, 264, 3), (200, 17, 130)] {
            let fused = |[x, w, b]: [Tensor<2>; 3]| linear(x, w, bias(b));
            let reference = |[x, w, b]: [Tensor<2>; 3]| module::linear(x, w, bias(b));
            let what = format!("{n} x {k} x {m}");
            assert_same(&what, fused(inputs(n, k, m)), reference(inputs(n, k, m)));
            gradients_agree(&what, inputs(n, k, m), fused, reference);
        }
    }

    #[test]
    fn without_a_bias_and_with_three_axes_it_is_the_product() {
        let [x, w, _] = inputs(24, 45, 30);
        let fused = |[x, w]: [Tensor<2>; 2]| linear(x.reshape([2, 12, 45]), w, None);
        let reference = |[x, w]: [Tensor<2>; 2]| x.matmul(w).reshape([2, 12, 30]);
        assert_same("product", fused([x.clone(), w.clone()]), reference([x.clone(), w.clone()]));
        gradients_agree("product", [x, w], fused, reference);
    }

    #[test]
    fn with_an_activation_it_is_the_same_with_and_without_autodiff() {
        let device = Device::flex();
        let layer = LinearConfig::new(45, 30).init(&device);
        let tracked = layer.clone().train();
        let x = normal([20, 45], 1.0, 1);
        for function in Activation::ALL {
            let expected = activate(dense(&layer, x.clone()), function);
            assert_same("untracked", dense_activated(&layer, x.clone(), function), expected.clone());
            assert_same("tracked", dense_activated(&tracked, x.clone(), function).inner(), expected);
        }
    }

    #[test]
    fn a_part_equals_narrowed_weights_and_has_no_gradient_outside() {
        for (used_in, used_out) in [(40, 12), (9, 30), (9, 12)] {
            let [_, w, b] = inputs(1, 40, 30);
            let x = normal([50, used_in], 1.0, 4);
            let fused = |[x, w, b]: [Tensor<2>; 3]| linear_part(x, w, bias(b), [used_in, used_out]);
            let reference = |[x, w, b]: [Tensor<2>; 3]| {
                let w = w.narrow(0, 0, used_in).narrow(1, 0, used_out);
                module::linear(x, w, bias(b.narrow(1, 0, used_out)))
            };
            assert_same("part", fused([x.clone(), w.clone(), b.clone()]), reference([x.clone(), w.clone(), b.clone()]));
            gradients_agree("part", [x, w, b], fused, reference);
        }
    }

    #[test]
    fn views_need_no_copies_by_the_caller() {
        let [x, w, _] = inputs(12, 20, 8);
        let turned = linear(x.clone().transpose().transpose(), w.clone().transpose().reshape([20, 8]), None);
        assert_same("reshaped", turned, x.clone().matmul(w.clone().transpose().reshape([20, 8])));
        let view = w.clone().transpose();
        let y = normal([12, 8], 1.0, 5);
        assert_same("transposed", linear(y.clone(), view.clone(), None), y.matmul(view));
        assert_same("narrowed", linear(x.clone().narrow(0, 3, 5), w.clone(), None), x.narrow(0, 3, 5).matmul(w));
    }

    #[test]
    fn gradients_are_the_slopes_of_the_values() {
        gradients_are_slopes("linear", inputs(3, 4, 5), |[x, w, b]| linear(x, w, bias(b)));
    }

    #[test]
    fn bits_do_not_depend_on_the_number_of_threads() {
        let [one, two] = on_one_and_two_threads(|| {
            let f = |[x, w, b]: [Tensor<2>; 3]| linear(x, w, bias(b));
            (list(f(inputs(300, 264, 540))), gradients(&inputs(300, 264, 540), f))
        });
        assert!(one == two, "different bits");
    }

    #[test]
    fn short_floats_are_close_and_the_backward_pass_uses_them_too() {
        let f = |[x, w, b]: [Tensor<2>; 3]| linear(x, w, bias(b));
        let exact = (list(f(inputs(64, 128, 96))), gradients(&inputs(64, 128, 96), f));
        let short = |[x, w, b]: [Tensor<2>; 3]| with_precision(Scope::Bf16, || f([x, w, b]));
        let (values, slopes) = (list(short(inputs(64, 128, 96))), gradients(&inputs(64, 128, 96), short));
        assert_close("values", &values, &exact.0, 1e-2);
        assert!(values != exact.0, "products are in short floats");
        for (i, (ours, exact)) in slopes.iter().zip(&exact.1).enumerate().take(2) {
            assert_close("gradients", ours, exact, 1e-2);
            assert!(ours != exact, "gradient {i} is in short floats, although its scope had ended");
        }
    }
}
