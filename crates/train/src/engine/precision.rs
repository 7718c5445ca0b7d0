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
    /// Operands rounded to `f16`: 11 significant bits and a range that needs a loss scale, which the engine keeps. For graphics
    /// cards that have no `bf16`; not on the CPU.
    F16,
}

impl Precision {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::F32, Self::Bf16, Self::F16];

    /// Name as read by [`FromStr`] and in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }

    /// Whether `device` can train in this format. The CPU has kernels of its own for it, or none.
    fn is_on(self, device: &Device) -> bool {
        let on_cpu = *device == Device::flex();
        match self {
            Self::F32 => true,
            Self::Bf16 => on_cpu || device.supports_dtype(DType::BF16),
            Self::F16 => !on_cpu && device.supports_dtype(DType::F16),
        }
    }

    /// Whether `devices` can train in this format; [`train`](super::train) asks too, before its first step.
    ///
    /// # Errors
    /// A device does not compute in this format.
    pub fn check(self, devices: &Devices) -> Result<()> {
        let on_all = |precision: &Self| devices.all().all(|device| precision.is_on(device));
        if on_all(&self) {
            return Ok(());
        }
        let others = Self::ALL.into_iter().filter(on_all).map(Self::name).collect::<Vec<_>>().join(" or ");
        let message = format!("{self} is not available on this device; use {others}");
        Err(Error::Setting { field: "precision", message })
    }

    /// Runs `work` with matrix products in this format; their gradients use it too, wherever they are computed.
    pub fn scope<R>(self, work: impl FnOnce() -> R) -> R {
        let kernels = match self {
            Self::F32 => fused_ops::Precision::F32,
            Self::Bf16 => fused_ops::Precision::Bf16,
            Self::F16 => fused_ops::Precision::F16,
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
