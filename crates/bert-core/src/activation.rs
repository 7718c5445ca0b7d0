//! Activation functions under the names that Hugging Face configurations use.

use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

/// Slope of [`Activation::LeakyRelu`] for negative inputs (PyTorch's default, used by EfficientBERT).
const LEAKY_RELU_SLOPE: f64 = 0.01;

/// Elementwise activation.
///
/// Two GELUs exist and are not interchangeable: Hugging Face's `"gelu"` is the erf form, the
/// EfficientBERT reference code uses the tanh form, which Hugging Face calls `"gelu_new"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Activation {
    /// `x * Φ(x)` with the Gaussian cdf by erf; `"gelu"`.
    #[serde(rename = "gelu")]
    GeluErf,
    /// `x/2 * (1 + tanh(sqrt(2/π) (x + 0.044715 x³)))`; `"gelu_new"` or `"gelu_pytorch_tanh"`.
    #[serde(rename = "gelu_new", alias = "gelu_pytorch_tanh", alias = "gelu_tanh")]
    GeluTanh,
    /// `max(x, 0)`.
    #[serde(rename = "relu")]
    Relu,
    /// `1 / (1 + exp(-x))`.
    #[serde(rename = "sigmoid")]
    Sigmoid,
    /// `tanh(x)`.
    #[serde(rename = "tanh")]
    Tanh,
    /// `x` if positive, else `0.01 x`.
    #[serde(rename = "leaky_relu")]
    LeakyRelu,
    /// `x` if positive, else `exp(x) - 1`.
    #[serde(rename = "elu")]
    Elu,
    /// `x * sigmoid(x)`, also called SiLU.
    #[serde(rename = "swish", alias = "silu")]
    Swish,
}

impl Activation {
    /// Applies the function to every element.
    ///
    /// # Shapes
    /// - input and output: any, equal
    pub fn forward<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::GeluErf => activation::gelu(x),
            Self::GeluTanh => gelu_tanh(x),
            Self::Relu => activation::relu(x),
            Self::Sigmoid => activation::sigmoid(x),
            Self::Tanh => activation::tanh(x),
            Self::LeakyRelu => activation::leaky_relu(x, LEAKY_RELU_SLOPE),
            Self::Elu => activation::elu(x, 1.0),
            Self::Swish => activation::silu(x),
        }
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
