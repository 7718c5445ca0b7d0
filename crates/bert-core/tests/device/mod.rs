//! The device of the tests that compare with PyTorch: the CPU, or the one that `EFFICIENTBERT_TEST_DEVICE` names.

#![allow(clippy::disallowed_methods, reason = "the device is chosen from outside")]

use burn::tensor::{DType, Device};

/// A device, and how near to the reference its results are.
#[derive(Clone, Debug)]
pub struct TestDevice {
    pub device: Device,
    pub is_cpu: bool,
}

impl TestDevice {
    /// # Panics
    /// The variable names something else than `cpu`, or a device that this build does not have.
    pub fn get() -> Self {
        match std::env::var("EFFICIENTBERT_TEST_DEVICE").as_deref() {
            Err(_) | Ok("cpu") => Self { device: Device::flex(), is_cpu: true },
            #[cfg(feature = "wgpu")]
            Ok("wgpu") => Self { device: Device::wgpu(burn::tensor::DeviceKind::DefaultDevice), is_cpu: false },
            #[cfg(feature = "cuda")]
            Ok("cuda") => Self { device: Device::cuda(0), is_cpu: false },
            Ok(other) => panic!("EFFICIENTBERT_TEST_DEVICE={other}: not a device of this build"),
        }
    }

    /// Whether products can be computed in `bf16`.
    #[allow(dead_code, reason = "not every test binary asks")]
    pub fn computes_bf16(&self) -> bool {
        self.is_cpu || self.device.supports_dtype(DType::BF16)
    }

    /// The tolerance of a comparison: `on_cpu` there and 1e-3 elsewhere, where sums have another order and functions are less exact.
    pub fn tolerance(&self, on_cpu: f64) -> f64 {
        if self.is_cpu { on_cpu } else { on_cpu.max(1e-3) }
    }
}
