//! The operations on tensors of the CPU backend, their forward and their backward passes; no autodiff.
//!
//! `host` has tensors as slices, `packed` and `scratch` the memory of tasks.

pub(crate) mod activation;
pub(crate) mod attention;
pub(crate) mod binary;
pub(crate) mod dropout;
pub(crate) mod embedding;
pub(crate) mod ffn;
pub(crate) mod host;
pub(crate) mod linear;
pub(crate) mod losses;
pub(crate) mod norm;
mod packed;
mod pending_gradient;
mod scratch;

pub(crate) use pending_gradient::PendingGradient;

use std::fmt::Debug;

use burn::backend::flex::FlexTensor;

/// What the forward pass of an operation with `N` inputs has kept, and its backward pass.
pub(crate) trait BackwardPass<const N: usize>: Clone + Debug + Send + 'static {
    /// The gradients of the inputs from that of the output; those that are not `wanted` may be missing.
    fn gradients(self, grad: FlexTensor, wanted: [bool; N]) -> [Option<FlexTensor>; N];
}
