//! What callers use: fused operations where the kernels apply, burn's primitives elsewhere.

mod activation;
mod attention;
mod binary;
mod cross_entropy;
mod dropout;
mod embedding;
mod ffn;
mod linear;
mod losses;
mod norm;
mod precision;
mod product;
mod round_int8;

pub use activation::activate;
pub use attention::{Block, Projection, attention, attention_block, local_attention, ragged_attention};
pub use binary::combine;
pub use cross_entropy::cross_entropy_rows;
pub use dropout::{dropout, with_dropout_seed};
pub use embedding::{embedding, embedding_sum, trigram};
pub use ffn::{Ffn, ffn_block};
pub use linear::{dense, dense_activated, linear, linear_part};
pub use losses::{attention_mse, mse, soft_cross_entropy};
pub use norm::{Affine, layer_norm, residual_layer_norm};
pub use precision::{Precision, precision, with_precision};
pub use round_int8::{round_table_rows, with_rounded_int8};

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Device, Tensor};

/// Whether the kernels of this crate apply: `f32` on the CPU backend, with or without autodiff.
fn applies<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && on_flex(&x.device())
}

/// Whether a device is the processor, with or without autodiff.
pub fn on_flex(device: &Device) -> bool {
    match device.as_dispatch() {
        DispatchDevice::Flex(_) => true,
        DispatchDevice::Autodiff(_) => matches!(device.clone().inner().as_dispatch(), DispatchDevice::Flex(_)),
        // Other backends exist only where their features are on.
        #[allow(unreachable_patterns)]
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_is_recognized_with_and_without_autodiff() {
        for device in [Device::flex(), Device::flex().autodiff()] {
            assert!(applies(&Tensor::<1>::zeros([2], &device)));
        }
    }
}
