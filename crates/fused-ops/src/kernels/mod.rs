//! The operations on tensors of the CPU backend, their forward and their backward passes; no autodiff.
//!
//! `host` has tensors as slices, `packed` and `scratch` the memory of tasks.

pub(crate) mod activation;
pub(crate) mod attention;
pub(crate) mod binary;
pub(crate) mod cross_entropy;
pub(crate) mod dropout;
pub(crate) mod embedding;
pub(crate) mod ffn;
pub(crate) mod host;
pub(crate) mod linear;
pub(crate) mod losses;
pub(crate) mod norm;
mod packed;
mod pending_gradient;
pub(crate) mod round_int8;
mod scratch;

pub(crate) use pending_gradient::PendingGradient;

use std::fmt::Debug;

use burn::backend::flex::FlexTensor;

/// An operation with `N` inputs and one output.
pub(crate) trait Operation<const N: usize>: Sized {
    /// What the backward pass needs.
    type Saved: BackwardPass<N>;

    /// The output, and what the backward pass needs.
    fn forward(self, inputs: [FlexTensor; N]) -> (FlexTensor, Self::Saved);

    /// The output alone.
    fn value(self, inputs: [FlexTensor; N]) -> FlexTensor {
        self.forward(inputs).0
    }
}

/// What the forward pass of an operation with `N` inputs has kept, and its backward pass.
pub(crate) trait BackwardPass<const N: usize>: Clone + Debug + Send + 'static {
    /// The gradients of the inputs from that of the output; those that are not `wanted` may be missing.
    fn gradients(self, grad: FlexTensor, wanted: [bool; N]) -> [Option<FlexTensor>; N];
}
