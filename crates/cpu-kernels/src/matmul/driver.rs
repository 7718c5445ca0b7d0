//! Products of strided views.

use std::cell::RefCell;

use rayon::prelude::*;

use super::epilogue::{Epilogue, Output};
use super::format::{Format, GROUP};
use super::multiply::blocks;
use super::packed::{Input, Weights};
use super::{MatMut, MatRef, Precision};

/// Rows and columns of the product that one task computes.
const TASK: (usize, usize) = (128, 256);
/// Bytes of one packed group that are multiplied at a time: what a task needs of both operands should fit the second-level cache.
const GROUP_IN_CACHE: usize = 96 << 10;

thread_local! {
    /// Packed operands keep their memory: fresh pages cost more than packing does. A stack, because a thread that waits for others
    /// inside a product may begin another one.
    static OPERANDS: RefCell<Vec<(Input, Weights)>> = const { RefCell::new(Vec::new()) };
}

/// Runs `body` with packed operands of this thread.
fn with_operands(body: impl FnOnce(&mut Input, &mut Weights)) {
    let mut operands =
        OPERANDS.with_borrow_mut(Vec::pop).unwrap_or_else(|| (Input::new(), Weights::unpacked(0, 0, Precision::F32)));
    body(&mut operands.0, &mut operands.1);
    OPERANDS.with_borrow_mut(|stack| stack.push(operands));
}

/// `out = epilogue(a b)` with all threads of the current pool. The result does not depend on their number.
///
/// # Shapes
/// `a [m, k]`, `b [k, n]`, `out [m, n]`, bias `[n]`.
///
/// # Panics
/// The shapes do not fit, or `precision` is [`Precision::Int8`].
pub fn matmul(a: MatRef<'_>, b: MatRef<'_>, out: MatMut<'_>, precision: Precision, epilogue: &Epilogue<'_>) {
    product(a, b, out, precision, epilogue, true);
}

/// [`matmul`] on the calling thread alone.
///
/// # Panics
/// As [`matmul`].
pub fn matmul_serial(a: MatRef<'_>, b: MatRef<'_>, out: MatMut<'_>, precision: Precision, epilogue: &Epilogue<'_>) {
    product(a, b, out, precision, epilogue, false);
}

fn product(
    a: MatRef<'_>,
    b: MatRef<'_>,
    mut out: MatMut<'_>,
    precision: Precision,
    epilogue: &Epilogue<'_>,
    parallel: bool,
) {
    let (m, k, n) = (a.rows(), a.cols(), b.cols());
    let found = (out.rows(), out.cols());
    assert!(b.rows() == k && found == (m, n), "[{m}, {k}] x [{}, {n}] into {found:?}", b.rows());
    assert!(epilogue.bias.is_none_or(|bias| bias.len() == n), "a bias for {n} columns");
    assert!(precision != Precision::Int8, "products of views are not computed in bytes");
    if m == 0 || n == 0 {
        return;
    }
    let stride = out.row_stride();
    let output = Output { out: out.data().as_mut_ptr(), stride };
    with_operands(|input, weights| {
        input.refill(a, precision, parallel);
        weights.refill(b, precision, parallel);
        let (rows, cols) = (m.div_ceil(TASK.0), n.div_ceil(TASK.1));
        let task = |index: usize| {
            let (row, col) = (index / cols * TASK.0, index % cols * TASK.1);
            // SAFETY: every task writes its own elements of `out`, which `MatMut` has checked; all is packed.
            unsafe { part(input, weights, (row, m), (col, n), output, epilogue) };
        };
        if parallel && rows * cols > 1 && m * n * k > 1 << 18 {
            (0..rows * cols).into_par_iter().with_max_len(1).for_each(task);
        } else {
            (0..rows * cols).for_each(task);
        }
    });
}

/// One task, in parts of the inner dimension: the first replaces what `out` holds, the last applies bias and activation.
///
/// # Safety
/// The operands are packed, `output` is valid for the task's rows and columns.
unsafe fn part(
    input: &Input,
    weights: &Weights,
    (row, m): (usize, usize),
    (col, n): (usize, usize),
    output: Output,
    epilogue: &Epilogue<'_>,
) {
    let (rows, cols) = (row..m.min(row + TASK.0), col..n.min(col + TASK.1));
    let format: Format = weights.format();
    let steps = format.steps(weights.inputs);
    let most = (GROUP_IN_CACHE / format.step_bytes()).max(1);
    // Parts of equal length.
    let parts = steps.div_ceil(most).max(1);
    let length = steps.div_ceil(parts).max(1);
    const { assert!(TASK.0.is_multiple_of(GROUP) && TASK.1.is_multiple_of(GROUP)) };
    for index in 0..parts {
        let range = (index * length).min(steps)..((index + 1) * length).min(steps);
        let last = index + 1 == parts;
        let epilogue = Epilogue {
            scale: epilogue.scale,
            bias: epilogue.bias.filter(|_| last),
            activation: epilogue.activation.filter(|_| last),
            accumulate: epilogue.accumulate || index > 0,
        };
        // SAFETY: the caller's promises.
        unsafe { blocks(input, weights, rows.clone(), cols.clone(), range, output, &epilogue) };
    }
}
