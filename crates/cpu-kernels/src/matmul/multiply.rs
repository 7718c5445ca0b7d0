//! Products of packed operands.

use std::cell::RefCell;
use std::ops::Range;

use super::epilogue::{Bytes, Epilogue, Output, finish, finish_bytes};
use super::format::GROUP;
use super::kernel::{self, Block, Job};
use super::pack::Side;
use super::packed::{Input, Weights};

/// Bytes of packed rows that are multiplied with one group of columns after the other: they should stay in the second-level cache.
const ROWS_IN_CACHE: usize = 768 << 10;
/// Blocks whose sums wait while one part of the columns, which stays in the first-level cache, is multiplied with all their rows.
const TOGETHER: usize = 4;

thread_local! {
    /// Blocks that a kernel fills; clearing new ones costs a small product a fifth of its time.
    static SUMS: RefCell<[Block; TOGETHER]> = RefCell::new(std::array::from_fn(|_| Block::new()));
}

/// `out = epilogue(x w)` for some rows and columns of the product, on the calling thread.
///
/// # Shapes
/// `input [rows.., inputs]`, `weights [inputs, outputs]`; element `(i, j)` goes to `out + i * out_stride + j`; bias `[outputs]`.
///
/// # Safety
/// The rows have been packed. `rows` and `cols` start at multiples of [`super::ROW_GROUP`] and [`super::COL_GROUP`] and end at one
/// or at the operand's end. The elements of `out` are valid, and no other thread uses them meanwhile; where the product is added to
/// them, they hold values.
///
/// # Panics
/// The operands were packed for different sizes, precisions or instruction sets, or the bias is too short.
pub unsafe fn multiply(
    input: &Input,
    weights: &Weights,
    rows: Range<usize>,
    cols: Range<usize>,
    out: *mut f32,
    out_stride: usize,
    epilogue: &Epilogue<'_>,
) {
    assert_eq!(input.k, weights.inputs, "inner sizes of a product");
    let format = weights.format();
    assert!(input.format() == format && input.isa == weights.isa, "operands packed in different formats");
    // SAFETY: the caller's promises.
    unsafe {
        blocks(input, weights, rows, cols, 0..format.steps(input.k), Output { out, stride: out_stride }, epilogue);
    };
}

/// [`multiply`] over some steps of the inner dimension.
///
/// # Safety
/// As [`multiply`]; `steps` lies within the operands.
pub(super) unsafe fn blocks(
    input: &Input,
    weights: &Weights,
    rows: Range<usize>,
    cols: Range<usize>,
    steps: Range<usize>,
    output: Output,
    epilogue: &Epilogue<'_>,
) {
    assert!(cols.end <= weights.outputs && epilogue.bias.is_none_or(|b| b.len() >= cols.end), "columns of a product");
    let (format, isa) = (weights.format(), weights.isa);
    let count = steps.len();
    let together = (ROWS_IN_CACHE / (count * format.step_bytes(Side::Left)).max(1)).max(1) * GROUP;
    // Parts of equal length.
    let parts = count.div_ceil(kernel::steps_in_cache(format, isa)).max(1);
    let length = count.div_ceil(parts);
    // The rows of a group of columns together bring the next one closer, each a share of it; then they look at what is there.
    let ahead = kernel::ahead(format, isa, rows.len().min(together));
    let (first_step, group) = (steps.start, count * format.step_bytes(Side::Right));
    let next = |index: usize, col: usize, skipped: usize| {
        let share = (index * count + skipped) * ahead;
        // Nothing is left after the last columns, and for more rows than share the columns.
        let (col, share, ahead) =
            if col < cols.end && share < group { (col, share, ahead) } else { (cols.start, 0, 0) };
        let groups = col / GROUP * format.group_bytes(input.k, Side::Right);
        let offset = groups + first_step * format.step_bytes(Side::Right) + share;
        (weights.packed.start().wrapping_add(offset).cast_const(), ahead)
    };
    SUMS.with_borrow_mut(|sums| {
        kernel::begin(isa);
        for first in rows.clone().step_by(together) {
            let last = rows.end.min(first + together);
            for col in cols.clone().step_by(GROUP) {
                let col = col..cols.end.min(col + GROUP);
                // They are needed when the product is there: too late to fetch them.
                bring(weights.quantized.get(col.clone()).unwrap_or_default());
                bring(epilogue.bias.map_or(&[], |bias| &bias[col.clone()]));
                for some in (first..last).step_by(TOGETHER * GROUP) {
                    let some = some..last.min(some + TOGETHER * GROUP);
                    for part in 0..parts {
                        let skipped = (part * length).min(count);
                        for (row, block) in some.clone().step_by(GROUP).zip(&mut *sums) {
                            let row = row..some.end.min(row + GROUP);
                            let first_step = steps.start + skipped;
                            let steps = length.min(count - skipped);
                            let offset = |lane: usize, side: Side| {
                                lane / GROUP * format.group_bytes(input.k, side) + first_step * format.step_bytes(side)
                            };
                            let (next, ahead) = next((row.start - first) / GROUP, col.end, skipped);
                            // SAFETY: groups of the packed operands; the caller promises the rest.
                            unsafe {
                                let job = Job {
                                    left: input.packed.start().add(offset(row.start, Side::Left)),
                                    right: weights.packed.start().add(offset(col.start, Side::Right)),
                                    steps,
                                    k: (steps * format.step()).min(input.k.saturating_sub(first_step * format.step())),
                                    rows: row.len(),
                                    cols: col.len(),
                                    next,
                                    ahead,
                                    more: part > 0,
                                };
                                kernel::run(format, isa, job, block);
                                if part + 1 < parts {
                                    continue;
                                }
                                let col = col.clone();
                                if format.in_bytes() {
                                    let rows = input.quantized(row.clone());
                                    let bytes = Bytes { rows, cols: &weights.quantized[col.clone()] };
                                    finish_bytes(bytes, block, row, col, output, epilogue, isa);
                                } else {
                                    finish(block, row, col, output, epilogue, isa);
                                }
                            }
                        }
                    }
                }
            }
        }
        kernel::end(isa);
    });
}

/// Brings values closer that are used soon.
#[inline]
fn bring<T>(values: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for at in (0..size_of_val(values)).step_by(64) {
        // SAFETY: an instruction of every x86-64, which reads nothing.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(values.as_ptr().cast::<i8>().wrapping_add(at));
        }
    }
    let _ = values;
}
