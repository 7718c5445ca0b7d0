//! Products of strided views.
//!
//! Packing reads the operands from memory that is far away from the processor, so it should happen once, and what is packed
//! should be used while it is in the second-level cache of the core that packed it. The three ways to divide a product serve that
//! for the three products of a linear map in training:
//!
//! | division | for | each task |
//! |---|---|---|
//! | [`by_rows`] | many rows: `X W`, `dY Wᵀ` | packs its rows, multiplies all columns; the right operand is packed before |
//! | [`by_inner`] | few outputs of long sums: `Xᵀ dY` | packs a range of the inner dimension of both, sums up a product of its own |
//! | [`by_blocks`] | the rest | a block of the product; both operands are packed before |

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::buffer::Buffer;
use super::epilogue::{Epilogue, Output};
use super::format::{Format, GROUP};
use super::multiply::{blocks, multiply};
use super::pack::Side;
use super::packed::{Input, Weights};
use super::{MatMut, MatRef, Precision, Written};
use crate::elementwise::binary::add_in_place;
use crate::{Isa, OutSlice};

/// Rows and columns of the product that one task of [`by_blocks`] computes.
const TASK: (usize, usize) = (64, 256);
/// Bytes of one packed group that a task of [`by_blocks`] multiplies at a time: its groups should fit the second-level cache.
const GROUP_IN_CACHE: usize = 96 << 10;
/// Bytes of packed rows of a task of [`by_rows`].
const ROWS_IN_CACHE: usize = 640 << 10;
/// Rows from which a product is divided by rows.
const MANY_ROWS: usize = 256;
/// Inner size from which a product is divided along it.
const LONG_SUM: usize = 1024;
/// Largest product of a task of [`by_inner`]: it should stay in the second-level cache while it is summed up.
const SMALL_PRODUCT: usize = 1 << 19;
/// Inner indices of a task of [`by_inner`].
const INNER: usize = 512;
/// Bytes of a packed group that a task of [`by_inner`] multiplies at a time: with one plane and with three.
const INNER_IN_CACHE: [usize; 2] = [32 << 10, 24 << 10];
/// Multiply-adds below which a product is not worth a second thread.
pub(super) const SMALL: usize = 1 << 18;

thread_local! {
    /// Packed operands keep their memory: fresh pages cost more than packing does. A stack, because a thread that waits for others
    /// inside a product may begin another one.
    static OPERANDS: RefCell<Vec<(Input, Weights)>> = const { RefCell::new(Vec::new()) };
    /// Sums of the tasks of [`by_inner`].
    static SUMS: RefCell<Vec<Buffer>> = const { RefCell::new(Vec::new()) };
}

/// Runs `body` with packed operands of this thread.
fn with_operands(body: impl FnOnce(&mut Input, &mut Weights)) {
    let mut operands = OPERANDS.with_borrow_mut(Vec::pop).unwrap_or_else(|| (Input::default(), Weights::empty()));
    body(&mut operands.0, &mut operands.1);
    OPERANDS.with_borrow_mut(|stack| stack.push(operands));
}

/// `out = epilogue(a b)` with all threads of the current pool. The result does not depend on their number.
///
/// # Shapes
/// `a [m, k]`, `b [k, n]`, `out [m, n]`, bias `[n]`.
///
/// # Panics
/// The shapes do not fit, `precision` is [`Precision::Int8`], or the product is to be added to memory without values.
pub fn matmul<'a>(
    a: MatRef<'_>,
    b: MatRef<'_>,
    out: MatMut<'a>,
    precision: Precision,
    epilogue: &Epilogue<'_>,
) -> Written<'a> {
    product(a, b, out, precision, epilogue, true)
}

/// [`matmul`] on the calling thread alone.
///
/// # Panics
/// As [`matmul`].
pub fn matmul_serial<'a>(
    a: MatRef<'_>,
    b: MatRef<'_>,
    out: MatMut<'a>,
    precision: Precision,
    epilogue: &Epilogue<'_>,
) -> Written<'a> {
    product(a, b, out, precision, epilogue, false)
}

/// `out = epilogue(input w)` on the calling thread, of operands packed by [`Input::repack`] and [`Weights::repack`].
///
/// # Shapes
/// `input [m, k]`, `w [k, n]`, `out [m, n]`, bias `[n]`.
///
/// # Panics
/// The shapes do not fit, the operands were packed in different formats, or the product is to be added to memory without values.
pub fn multiply_all<'a>(input: &Input, weights: &Weights, mut out: MatMut<'a>, epilogue: &Epilogue<'_>) -> Written<'a> {
    let (m, n) = (input.rows(), weights.outputs());
    assert_eq!((out.rows(), out.cols()), (m, n), "shape of a product");
    let Output { out: start, stride } = out.output(epilogue.accumulate);
    if m > 0 && n > 0 {
        // SAFETY: there is memory for all rows, which began as zeros, so that whatever was packed is read from initialized memory;
        // the elements of `out`, which `MatMut` has checked, are borrowed for writing and hold values where they are read.
        unsafe { multiply(input, weights, 0..m, 0..n, start, stride, epilogue) };
    }
    // SAFETY: the product has written all rows and columns.
    unsafe { Written::new(out) }
}

/// A product whose shapes fit.
#[derive(Clone, Copy)]
struct Product<'a> {
    a: MatRef<'a>,
    b: MatRef<'a>,
    output: Output,
    precision: Precision,
    epilogue: Epilogue<'a>,
    parallel: bool,
}

fn product<'a>(
    a: MatRef<'_>,
    b: MatRef<'_>,
    mut out: MatMut<'a>,
    precision: Precision,
    epilogue: &Epilogue<'_>,
    parallel: bool,
) -> Written<'a> {
    let (m, k, n) = (a.rows(), a.cols(), b.cols());
    let found = (out.rows(), out.cols());
    assert!(b.rows() == k && found == (m, n), "[{m}, {k}] x [{}, {n}] into {found:?}", b.rows());
    assert!(epilogue.bias.is_none_or(|bias| bias.len() == n), "a bias for {n} columns");
    assert!(precision != Precision::Int8, "products of views are not computed in bytes");
    let output = out.output(epilogue.accumulate);
    let product = Product { a, b, output, precision, epilogue: *epilogue, parallel: parallel && m * n * k > SMALL };
    // The division depends on the sizes alone, and so do the bits of the result.
    if m == 0 || n == 0 {
        // No elements.
    } else if k >= LONG_SUM && m * n <= SMALL_PRODUCT {
        by_inner(product);
    } else if m >= MANY_ROWS {
        by_rows(product);
    } else {
        by_blocks(product);
    }
    // SAFETY: each of the three writes all rows and columns.
    unsafe { Written::new(out) }
}

/// Runs tasks one by one, or each as one piece of work of the pool.
pub(super) fn run(tasks: usize, parallel: bool, task: impl Fn(usize) + Sync + Send) {
    if parallel && tasks > 1 {
        (0..tasks).into_par_iter().with_max_len(1).for_each(task);
    } else {
        (0..tasks).for_each(task);
    }
}

fn by_rows(product: Product<'_>) {
    let Product { a, b, output, precision, epilogue, parallel } = product;
    let (m, n) = (a.rows(), b.cols());
    with_operands(|_, weights| {
        weights.repack(b, precision, parallel);
        let weights = &*weights;
        let group = weights.format().group_bytes(a.cols(), Side::Left).max(1);
        let rows = (ROWS_IN_CACHE / group).clamp(1, TASK.0 / GROUP) * GROUP;
        run(m.div_ceil(rows), parallel, |task| {
            let range = task * rows..m.min((task + 1) * rows);
            with_operands(|input, _| {
                input.repack(a.rows_in(range.clone()), precision, false);
                let steps = 0..weights.format().steps(a.cols());
                // SAFETY: every task writes its own rows of `out`, which `MatMut` has checked; all is packed.
                unsafe { blocks(input, weights, 0..range.len(), 0..n, steps, output.below(range.start), &epilogue) };
            });
        });
    });
}

fn by_inner(product: Product<'_>) {
    let Product { a, b, output, precision, epilogue, parallel } = product;
    let (m, k, n) = (a.rows(), a.cols(), b.cols());
    let parts = k.div_ceil(INNER);
    let format = Format::new(precision, Isa::current());
    let in_cache = INNER_IN_CACHE[usize::from(precision == Precision::F32)];
    let length = (in_cache / format.step_bytes(Side::Left)).max(1) * format.step();
    let mut sums = SUMS.with_borrow_mut(Vec::pop).unwrap_or_else(|| Buffer::new(0));
    sums.reserve(parts * m * n * size_of::<f32>());
    let sum_of = |part: usize| Output { out: sums.start().cast::<f32>().wrapping_add(part * m * n), stride: n };
    run(parts, parallel, |part| {
        let (first, last) = (part * INNER, k.min((part + 1) * INNER));
        with_operands(|input, weights| {
            for from in (first..last).step_by(length) {
                let range = from..last.min(from + length);
                input.repack(a.cols_in(range.clone()), precision, false);
                weights.repack(b.rows_in(range.clone()), precision, false);
                let epilogue = Epilogue { scale: epilogue.scale, accumulate: from > first, ..Epilogue::default() };
                let steps = 0..weights.format().steps(range.len());
                // SAFETY: every task sums up its own part of the buffer; all is packed.
                unsafe { blocks(input, weights, 0..m, 0..n, steps, sum_of(part), &epilogue) };
            }
        });
    });
    let rows = m.div_ceil(TASK.0);
    run(rows, parallel, |task| {
        for row in task * TASK.0..m.min((task + 1) * TASK.0) {
            // SAFETY: every row of `out` belongs to one task and has room for `n` values.
            let out = unsafe { std::slice::from_raw_parts_mut(output.below(row).out.cast::<MaybeUninit<f32>>(), n) };
            // SAFETY: the sums are complete, and each part has this row of `n` values.
            let part = |part: usize| unsafe { std::slice::from_raw_parts(sum_of(part).below(row).out, n) };
            let out = OutSlice::from(out);
            let out = if epilogue.accumulate {
                // SAFETY: `MatMut::output` has made sure that there are values.
                let out = unsafe { out.assume_init() };
                add_in_place(out, part(0));
                out
            } else {
                out.copy_from(part(0))
            };
            // In the order of the parts.
            (1..parts).for_each(|index| add_in_place(out, part(index)));
            if let Some(bias) = epilogue.bias {
                add_in_place(out, bias);
            }
            if let Some(activation) = epilogue.activation {
                activation.forward_in_place(out);
            }
        }
    });
    SUMS.with_borrow_mut(|stack| stack.push(sums));
}

fn by_blocks(product: Product<'_>) {
    let Product { a, b, output, precision, epilogue, parallel } = product;
    let (m, n) = (a.rows(), b.cols());
    with_operands(|input, weights| {
        input.repack(a, precision, parallel);
        weights.repack(b, precision, parallel);
        let (rows, cols) = (m.div_ceil(TASK.0), n.div_ceil(TASK.1));
        run(rows * cols, parallel, |index| {
            let (row, col) = (index / cols * TASK.0, index % cols * TASK.1);
            let (rows, cols) = (row..m.min(row + TASK.0), col..n.min(col + TASK.1));
            // SAFETY: every task writes its own elements of `out`, which `MatMut` has checked; all is packed.
            unsafe { block(input, weights, rows, cols, output, &epilogue) };
        });
    });
}

/// One task of [`by_blocks`], in parts of the inner dimension: the first replaces what `out` holds, the last applies bias and
/// activation.
///
/// # Safety
/// The operands are packed, `output` is valid for the task's rows and columns.
unsafe fn block(
    input: &Input,
    weights: &Weights,
    rows: Range<usize>,
    cols: Range<usize>,
    output: Output,
    epilogue: &Epilogue<'_>,
) {
    const { assert!(TASK.0.is_multiple_of(GROUP) && TASK.1.is_multiple_of(GROUP)) };
    let format = weights.format();
    let steps = format.steps(weights.inputs);
    let most = (GROUP_IN_CACHE / format.step_bytes(Side::Left)).max(1);
    // Parts of equal length.
    let parts = steps.div_ceil(most).max(1);
    let length = steps.div_ceil(parts).max(1);
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
