//! Activation functions.

use burn::tensor::{Tensor, activation};

use super::applies;
use crate::extension::run;
use crate::kernels::activation::Activation;

/// Slope of [`Activation::LeakyRelu`] for negative inputs (PyTorch's default, used by EfficientBERT).
const LEAKY_RELU_SLOPE: f64 = 0.01;

/// `f(x_i)`; for the backward pass only `x` is kept.
///
/// # Shapes
/// - input and output: any, equal
pub fn activate<const D: usize>(x: Tensor<D>, function: Activation) -> Tensor<D> {
    if applies(&x) {
        return run([x.into_dispatch()], function);
    }
    composed(x, function)
}

/// The function in burn's primitives.
fn composed<const D: usize>(x: Tensor<D>, function: Activation) -> Tensor<D> {
    match function {
        Activation::GeluErf => activation::gelu(x),
        Activation::GeluTanh => gelu_tanh(x),
        Activation::Relu => activation::relu(x),
        Activation::Sigmoid => activation::sigmoid(x),
        Activation::Tanh => activation::tanh(x),
        Activation::LeakyRelu => activation::leaky_relu(x, LEAKY_RELU_SLOPE),
        Activation::Elu => activation::elu(x, 1.0),
        Activation::Swish => activation::silu(x),
    }
}

/// The tanh form of GELU as `x * sigmoid(2 sqrt(2/π) (x + 0.044715 x³))`, which is the same function.
///
/// burn's own takes the cube by a general power, forward and backward; this form needs products and one sigmoid.
fn gelu_tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    const SCALE: f64 = 2.0 * 0.797_884_560_802_865_4;
    let inner = (x.clone() * x.clone() * (0.044_715 * SCALE) + SCALE) * x.clone();
    x * activation::sigmoid(inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_same, gradients_agree, gradients_are_slopes, normal};

    #[test]
    fn values_and_gradients_equal_those_of_burns_primitives() {
        for function in Activation::ALL {
            for shape in [[1, 1], [3, 45], [70, 541]] {
                let x = normal(shape, 3.0, 1);
                let fused = |[x]: [Tensor<2>; 1]| activate(x, function);
                let reference = |[x]: [Tensor<2>; 1]| composed(x, function);
                assert_same(&format!("{function:?}"), activate(x.clone(), function), composed(x.clone(), function));
                gradients_agree(&format!("{function:?}"), [x], fused, reference);
            }
        }
    }

    #[test]
    fn gradients_are_the_slopes_of_the_values() {
        for function in Activation::ALL {
            // Shifted away from 0, where some have no slope.
            let x = normal([2, 5], 0.1, 3) + 0.7;
            gradients_are_slopes(&format!("{function:?}"), [x], |[x]| activate(x, function));
        }
    }
}
