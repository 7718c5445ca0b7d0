//! The whole attention block of an encoder layer as one operation, see [`crate::attention_block`].
//!
//! Nothing in it mixes two texts but the gradients of weights, so a task takes a few texts through the whole block: what one
//! part writes the next one reads from the core's cache. `X` is packed once for queries, keys and values, and the gradients of the
//! three are summed up where they are written.

mod backward;
mod forward;
mod scratch;

pub(crate) use forward::Saved;
use forward::Stores;
pub(crate) use forward::{Inputs, forward};

use burn::backend::flex::FlexTensor;

use super::Heads;
use crate::kernels::dropout::Mask;
use crate::kernels::host::dims;

/// What the operation needs beside its tensors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockSettings {
    /// Heads and number format.
    pub heads: Heads,
    /// Added to the variance.
    pub eps: f32,
    /// Masks of the probabilities and of the output.
    pub dropout: [Option<Mask>; 2],
}

/// A matrix and its sizes.
fn whole(weight: &FlexTensor) -> (&FlexTensor, [usize; 2]) {
    (weight, dims(weight))
}
