//! Activation functions under the names that Hugging Face configurations use.

use serde::{Deserialize, Serialize};

/// Elementwise activation.
///
/// Two GELUs exist and are not interchangeable: Hugging Face's `"gelu"` is the erf form, the
/// EfficientBERT reference code uses the tanh form, which Hugging Face calls `"gelu_new"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Activation {
    /// `x * Φ(x)` with the Gaussian cdf by erf; `"gelu"`.
    #[serde(rename = "gelu", alias = "gelu_python")]
    GeluErf,
    /// `x/2 * (1 + tanh(sqrt(2/π) (x + 0.044715 x³)))`; `"gelu_new"`, and under five more names.
    #[serde(
        rename = "gelu_new",
        alias = "gelu_pytorch_tanh",
        alias = "gelu_python_tanh",
        alias = "gelu_fast",
        alias = "gelu_accurate",
        alias = "gelu_tanh"
    )]
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

impl From<mlp_space::Unary> for Activation {
    fn from(operator: mlp_space::Unary) -> Self {
        use mlp_space::Unary;
        match operator {
            Unary::Gelu => Self::GeluTanh,
            Unary::Sigmoid => Self::Sigmoid,
            Unary::Tanh => Self::Tanh,
            Unary::Relu => Self::Relu,
            Unary::LeakyRelu => Self::LeakyRelu,
            Unary::Elu => Self::Elu,
            Unary::Swish => Self::Swish,
        }
    }
}

#[cfg(feature = "kernels")]
impl From<Activation> for cpu_kernels::elementwise::Activation {
    fn from(function: Activation) -> Self {
        match function {
            Activation::GeluErf => Self::GeluErf,
            Activation::GeluTanh => Self::GeluTanh,
            Activation::Relu => Self::Relu,
            Activation::Sigmoid => Self::Sigmoid,
            Activation::Tanh => Self::Tanh,
            Activation::LeakyRelu => Self::LeakyRelu,
            Activation::Elu => Self::Elu,
            Activation::Swish => Self::Swish,
        }
    }
}
