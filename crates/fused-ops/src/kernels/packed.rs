//! Weights of a block of operations, packed for one pass, and how its tokens are cut into tasks.

use std::cell::RefCell;

use burn::backend::flex::FlexTensor;
use cpu_kernels::matmul::{MatRef, Precision, Weights};
use rayon::prelude::*;

use super::host::{leading, matrix};

/// Tokens that a task takes through a block: what lies between its parts should stay in the second-level cache, and the weights, three
/// times as large in `f32`, be read from afar rarely. By the sizes alone, and so are the bits of sums over tasks.
pub(crate) fn tokens(precision: Precision) -> usize {
    if precision == Precision::F32 { 128 } else { 64 }
}

thread_local! {
    /// Packed weights keep their memory from one block to the next. A stack, because a thread that waits for others may begin
    /// another block.
    static PACKED: RefCell<Vec<Weights>> = const { RefCell::new(Vec::new()) };
}

/// Runs `work` with the leading `[rows, columns]` of each matrix packed, transposed if asked.
pub(crate) fn with_packed<const N: usize, R>(
    weights: [(&FlexTensor, [usize; 2]); N],
    transposed: bool,
    precision: Precision,
    work: impl FnOnce(&[Weights; N]) -> R,
) -> R {
    let mut packed: [Weights; N] =
        std::array::from_fn(|_| PACKED.with_borrow_mut(Vec::pop).unwrap_or_else(Weights::empty));
    packed.par_iter_mut().zip(weights).with_max_len(1).for_each(|(packed, (weight, [rows, cols]))| {
        let weight = matrix(weight.clone());
        let view: MatRef<'_> = leading(&weight, rows, cols);
        packed.repack(if transposed { view.t() } else { view }, precision, false);
    });
    let result = work(&packed);
    PACKED.with_borrow_mut(|stack| stack.extend(packed));
    result
}
