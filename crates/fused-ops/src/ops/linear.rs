//! Linear maps, whole or as the leading block of a larger matrix.

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::Tensor;

use super::precision::kernel_precision;
use super::{activate, applies, product, round_int8};
use crate::extension::run;
use crate::kernels::activation::Activation;
use crate::kernels::linear::LinearSettings;

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

/// `f(x W + b)` with the weights of a layer. Where autodiff does not follow `x`, the sum before the function is never in
/// memory.
///
/// # Shapes
/// - `x`: `[.., inputs]`
/// - output: `[.., outputs]`
pub fn dense_activated<const D: usize>(layer: &Linear, x: Tensor<D>, function: Activation) -> Tensor<D> {
    let (weight, bias) = (layer.weight.val(), layer.bias.as_ref().map(Param::val));
    match bias {
        Some(bias) if applies(&x) && !round_int8::rounds() => {
            let [inputs, outputs] = weight.dims();
            let settings = LinearSettings { inputs, outputs, precision: kernel_precision() };
            run([x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()], (settings, function))
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
    if round_int8::rounds() {
        let part = weight.narrow(0, 0, inputs).narrow(1, 0, outputs);
        let (x, part) = (round_int8::round_activations(x), round_int8::round_weights(part));
        let bias = bias.map(|b| b.narrow(0, 0, outputs));
        return round_int8::with_rounded_int8(false, || linear(x, part, bias));
    }
    if !applies(&x) {
        let weight = if inputs < height { weight.narrow(0, 0, inputs) } else { weight };
        let weight = if outputs < width { weight.narrow(1, 0, outputs) } else { weight };
        return product::linear(x, weight, bias.map(|b| b.narrow(0, 0, outputs)));
    }
    let settings = LinearSettings { inputs, outputs, precision: kernel_precision() };
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    match bias {
        Some(bias) => run([x, weight, bias.into_dispatch()], settings),
        None => run([x, weight], settings),
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Module;
    use burn::nn::LinearConfig;
    use burn::tensor::{Device, module};

    use super::*;
    use crate::ops::precision::{Precision as Scope, with_precision};
    use crate::testing::{
        assert_close, assert_same, assert_same_bits_on_any_threads, gradients, gradients_agree, gradients_are_slopes,
        list, normal,
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
        assert_same_bits_on_any_threads(inputs(300, 264, 540), |[x, w, b]| linear(x, w, bias(b)));
    }

    #[test]
    fn bf16_is_close_and_the_backward_pass_uses_them_too() {
        let f = |[x, w, b]: [Tensor<2>; 3]| linear(x, w, bias(b));
        let exact = (list(f(inputs(64, 128, 96))), gradients(&inputs(64, 128, 96), f));
        let short = |[x, w, b]: [Tensor<2>; 3]| with_precision(Scope::Bf16, || f([x, w, b]));
        let (values, slopes) = (list(short(inputs(64, 128, 96))), gradients(&inputs(64, 128, 96), short));
        assert_close("values", &values, &exact.0, 1e-2);
        assert!(values != exact.0, "products are in bf16");
        for (i, (ours, exact)) in slopes.iter().zip(&exact.1).enumerate().take(2) {
            assert_close("gradients", ours, exact, 1e-2);
            assert!(ours != exact, "gradient {i} is in bf16, although its scope had ended");
        }
    }
}
