//! A feed-forward as one operation, see [`crate::ffn_block`].
//!
//! Nothing in it mixes two tokens but the gradients of weights, so a task takes some tokens through the whole block: what one step
//! writes the next one reads from the core's cache, and only what the backward pass needs is kept.

mod backward;
mod forward;
mod program;

pub(crate) use program::Layout;
pub use program::{Program, Step};

use cpu_kernels::matmul::Precision;

use crate::kernels::dropout::Mask;

/// Most steps of a program that is fused; the search's expressions have 7 operators at most, and cuts between them.
const MAX_STEPS: usize = 12;

/// What the operation needs beside its tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct FfnSettings {
    /// What is computed between the input and the residual.
    pub program: Program,
    /// The widths of its values.
    pub layout: Layout,
    /// Number format of the products.
    pub precision: Precision,
    /// Added to the variance.
    pub eps: f32,
    /// Mask before the residual.
    pub dropout: Option<Mask>,
}
