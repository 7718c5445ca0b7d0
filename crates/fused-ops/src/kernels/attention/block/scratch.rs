//! What a task needs beside its part of the results.

use std::cell::RefCell;

use cpu_kernels::matmul::{Input, Precision};

use crate::kernels::packed::tokens;

/// Texts of `seq` tokens in a task, at least 1.
pub(super) fn texts(seq: usize, precision: Precision) -> usize {
    (tokens(precision) / seq).max(1)
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
}

/// Memory that only one task uses.
#[derive(Default)]
pub(super) struct Scratch {
    /// The packed left operand of a product.
    pub input: Input,
    /// Queries, keys and values, and in the backward pass their gradients behind them.
    pub projected: Vec<f32>,
    /// Contexts, or their gradients.
    pub context: Vec<f32>,
    /// What is normalized, or the gradient behind the last linear map.
    pub sum: Vec<f32>,
}

/// Runs a task with this thread's memory. The task must not wait for others.
pub(super) fn with_scratch<R>(task: impl FnOnce(&mut Scratch) -> R) -> R {
    SCRATCH.with_borrow_mut(task)
}
