//! From `--device` to a device.

use burn::tensor::Device;
use clap::ValueEnum;

use crate::error::CliError;

/// Kinds of devices; every build has the CPU.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// This machine's processor.
    Cpu,
    /// An NVIDIA card (feature `cuda`).
    Cuda,
    /// A graphics card through Vulkan, Metal or DirectX (feature `wgpu`).
    Wgpu,
}

impl DeviceKind {
    /// Name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Wgpu => "wgpu",
        }
    }

    /// Opens the device.
    ///
    /// # Errors
    /// This build does not support it.
    pub fn open(self) -> Result<Device, CliError> {
        match self {
            Self::Cpu => Ok(Device::flex()),
            Self::Cuda => cuda(),
            Self::Wgpu => wgpu(),
        }
    }
}

#[cfg(feature = "cuda")]
fn cuda() -> Result<Device, CliError> {
    Ok(Device::cuda(0))
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Result<Device, CliError> {
    Err(not_built("cuda"))
}

#[cfg(feature = "wgpu")]
fn wgpu() -> Result<Device, CliError> {
    Ok(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice))
}

#[cfg(not(feature = "wgpu"))]
fn wgpu() -> Result<Device, CliError> {
    Err(not_built("wgpu"))
}

#[cfg(not(all(feature = "cuda", feature = "wgpu")))]
fn not_built(name: &str) -> CliError {
    CliError::usage(format!("--device {name}: this program was built without {name}"))
        .with_hint(format!("build it with `cargo build --release --package efficientbert --features {name}`"))
}
