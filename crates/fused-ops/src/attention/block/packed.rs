//! Weights of a block, packed for one pass, and what a task needs beside its part of the results.

use std::cell::RefCell;

use burn::backend::flex::FlexTensor;
use cpu_kernels::matmul::{Input, MatRef, Precision, Weights};
use rayon::prelude::*;

use crate::host::{dims, leading, matrix};

/// Tokens that a task takes through the block: what lies between its parts should stay in the second-level cache, and the weights, three
/// times as large in `f32`, be read from afar rarely.
fn tokens(precision: Precision) -> usize {
    if precision == Precision::F32 { 128 } else { 64 }
}

/// Texts of `seq` tokens in a task, at least 1. By the sizes alone, and so are the bits of sums over tasks.
pub(super) fn texts(seq: usize, precision: Precision) -> usize {
    (tokens(precision) / seq).max(1)
}

thread_local! {
    /// Packed weights keep their memory from one block to the next. A stack, because a thread that waits for others may begin
    /// another block.
    static PACKED: RefCell<Vec<[Weights; 4]>> = const { RefCell::new(Vec::new()) };
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
}

/// Runs `work` with the packed weights, transposed if asked.
pub(super) fn with_packed<R>(
    weights: &[FlexTensor; 4],
    transposed: bool,
    precision: Precision,
    work: impl FnOnce(&[Weights; 4]) -> R,
) -> R {
    let mut packed = PACKED.with_borrow_mut(Vec::pop).unwrap_or_else(|| std::array::from_fn(|_| Weights::empty()));
    packed.par_iter_mut().zip(weights).with_max_len(1).for_each(|(packed, weight)| {
        let weight = matrix(weight.clone());
        let [rows, cols] = dims(&weight);
        let view: MatRef<'_> = leading(&weight, rows, cols);
        packed.repack(if transposed { view.t() } else { view }, precision, false);
    });
    let result = work(&packed);
    PACKED.with_borrow_mut(|stack| stack.push(packed));
    result
}

/// Memory of a task that nobody else needs.
#[derive(Default)]
pub(super) struct Scratch {
    /// The packed left operand of a product.
    pub input: Input,
    /// Queries, keys and values.
    pub projected: Vec<f32>,
    /// Contexts, or their gradients.
    pub context: Vec<f32>,
}

/// Runs a task with this thread's memory. The task must not wait for others.
pub(super) fn with_scratch<R>(task: impl FnOnce(&mut Scratch) -> R) -> R {
    SCRATCH.with_borrow_mut(task)
}
