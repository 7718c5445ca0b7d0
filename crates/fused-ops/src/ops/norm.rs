//! Layer normalization, alone and with the residual before it.

use burn::nn::Dropout;
use burn::tensor::{Tensor, module};

use super::applies;
use super::dropout::next_mask;
use crate::extension::run;
use crate::kernels::norm::{LayerNorm, ResidualNorm};

/// What normalizes rows: scale, shift and epsilon.
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
    run([x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()], LayerNorm { eps: eps as f32 })
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
    let operands = [x.into_dispatch(), residual.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()];
    run(operands, ResidualNorm { eps: eps as f32, mask })
}

#[cfg(test)]
mod tests {
    use burn::nn::DropoutConfig;

    use super::*;
    use crate::ops::dropout::with_dropout_seed;
    use crate::testing::{assert_same, assert_same_bits_on_any_threads, gradients_agree, gradients_are_slopes, normal};

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
        let unfused = |[x, residual, w, b]: [Tensor<2>; 4]| {
            reference([with_dropout_seed(5, || crate::ops::dropout(x, &layer)), residual, w, b])
        };
        gradients_agree("with dropout", inputs(130, 264), fused, unfused);
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
        assert_same_bits_on_any_threads(inputs(500, 264), |[x, residual, w, b]| {
            with_dropout_seed(1, || residual_layer_norm(x, residual, &layer, affine(w, b)))
        });
    }
}
