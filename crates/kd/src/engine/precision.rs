//! The number format of a training's matrix products.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{DType, Device};
use serde::{Deserialize, Serialize};

use super::Devices;
use crate::{Error, Result};

/// Number format of matrix products, forward and backward; weights, sums and everything else are `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Operands as they are.
    #[default]
    F32,
    /// Operands rounded to `bf16`: 8 significant bits, several times faster where the device has instructions for it.
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

    /// Whether `devices` can train in this format; [`train`](super::train) asks too, before its first step.
    ///
    /// # Errors
    /// A device does not compute in this format.
    pub fn check(self, devices: &Devices) -> Result<()> {
        let able = |device: &Device| *device == Device::flex() || device.supports_dtype(DType::BF16);
        if self == Self::F32 || devices.all().all(able) {
            return Ok(());
        }
        let message = format!("{self} is not available on this device; use {}", Self::F32);
        Err(Error::Setting { field: "precision", message })
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
