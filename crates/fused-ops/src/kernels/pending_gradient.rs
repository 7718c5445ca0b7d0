//! Gradients of operations with more than one output.

use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::flex::FlexTensor;

/// Holds the gradient of scores that were returned, until the backward pass of their attention takes it.
///
/// burn's operations have one output. Attention's is the context, and its scores are the output of a second operation
/// that follows the first: its backward pass runs earlier and leaves here what it is given. So the gradients of scores and
/// of probabilities meet head by head in a core's cache, not in two tensors of `[batch, heads, seq, seq]`.
#[derive(Clone, Debug, Default)]
pub(crate) struct PendingGradient(Arc<Mutex<Option<FlexTensor>>>);

impl PendingGradient {
    pub fn put(&self, grad: FlexTensor) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(grad);
    }

    pub fn take(&self) -> Option<FlexTensor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
