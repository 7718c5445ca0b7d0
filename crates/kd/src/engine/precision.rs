//! The number format of a training's matrix products.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Number format of matrix products on the CPU, forward and backward; weights, sums and everything else are `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Operands as they are.
    #[default]
    F32,
    /// Operands rounded to `bf16`: 8 significant bits, several times faster where the processor has instructions for it.
    Bf16,
}

impl Precision {
    /// Both.
    pub const ALL: [Self; 2] = [Self::F32, Self::Bf16];

    /// Name as read by [`FromStr`] and in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// Runs `work` with matrix products in this format; their gradients use it too, wherever they are computed.
    pub fn scope<R>(self, work: impl FnOnce() -> R) -> R {
        let kernels = match self {
            Self::F32 => fused_ops::Precision::F32,
            Self::Bf16 => fused_ops::Precision::Bf16,
        };
        fused_ops::with_precision(kernels, work)
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|p| p.name() == text)
            .ok_or_else(|| format!("unknown precision `{text}`: one of {}", known()))
    }
}
