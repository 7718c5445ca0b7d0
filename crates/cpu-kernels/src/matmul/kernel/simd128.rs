//! Blocks with the vectors of WebAssembly: four `f32`, or eight `i16` that are multiplied and added in pairs.
//!
//! Eight accumulators stand beside what is multiplied, as many as the 16 vector registers of x86-64 have room for.

use core::arch::wasm32::{
    f32x4_add, f32x4_mul, f32x4_splat, i16x8_shl, i16x8_shr, i32x4_add, i32x4_dot_i16x8, u8x16_shuffle,
    u16x8_extend_high_u8x16, u16x8_extend_low_u8x16, u32x4_shl, u32x4_splat, v128, v128_and, v128_load,
    v128_load32_splat, v128_store,
};
use std::mem::MaybeUninit;

use super::{Block, Job};
use crate::matmul::format::{GROUP, TILE, TILE_BYTES};

/// Rows and vectors of columns that are computed together.
const ROWS: usize = 4;
const VECTORS: usize = 2;
const COLS: usize = 4 * VECTORS;

/// Sums of a part of a block.
type Sums = [[v128; VECTORS]; ROWS];

/// The sums that stand at `at` in a block, or zeros.
///
/// # Safety
/// `at` leads to `ROWS` rows of `COLS` values of a block.
#[inline(always)]
unsafe fn begun(at: *const f32, more: bool) -> Sums {
    let mut sums = [[f32x4_splat(0.0); VECTORS]; ROWS];
    if more {
        for (row, sums) in sums.iter_mut().enumerate() {
            for (vector, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the caller's promise.
                *sum = unsafe { v128_load(at.add(row * GROUP + 4 * vector).cast()) };
            }
        }
    }
    sums
}

/// Writes sums to where [`begun`] reads them.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn end(sums: &Sums, at: *mut f32) {
    for (row, sums) in sums.iter().enumerate() {
        for (vector, sum) in sums.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { v128_store(at.add(row * GROUP + 4 * vector).cast(), *sum) };
        }
    }
}

/// Computes a block of `f32` products.
///
/// # Safety
/// See [`super::run`].
pub(super) unsafe fn panel(job: Job, block: &mut Block) {
    for row in (0..job.rows).step_by(ROWS) {
        for col in (0..job.cols).step_by(COLS) {
            // SAFETY: packed groups have `steps` steps of 32 values, and blocks as many rows and columns.
            unsafe {
                let at = block.0.as_mut_ptr().add(row * GROUP + col);
                let mut sums = begun(at, job.more);
                let (mut left, mut right) = (job.left.cast::<u32>().add(row), job.right.cast::<u32>().add(col));
                for _ in 0..job.steps {
                    let columns = [v128_load(right.cast()), v128_load(right.add(4).cast())];
                    for (row, sums) in sums.iter_mut().enumerate() {
                        let x = v128_load32_splat(left.add(row));
                        for (sum, y) in sums.iter_mut().zip(columns) {
                            *sum = f32x4_add(*sum, f32x4_mul(x, y));
                        }
                    }
                    (left, right) = (left.add(GROUP), right.add(GROUP));
                }
                end(&sums, at);
            }
        }
    }
}

/// Pairs along `k` in a step of `bf16`.
const PAIRS: usize = 16;

/// Computes a block of `bf16` products, in pairs.
///
/// # Safety
/// See [`super::run`].
pub(super) unsafe fn pairs(job: Job, block: &mut Block) {
    // The first of a pair is the lower half of a word, the upper half of an `f32`.
    let first = |words: v128| u32x4_shl(words, 16);
    let second = |words: v128| v128_and(words, u32x4_splat(0xffff_0000));
    for row in (0..job.rows).step_by(ROWS) {
        for col in (0..job.cols).step_by(COLS) {
            // SAFETY: packed groups have `steps` steps of two tiles, of the left operand 16 rows of 64 bytes and of the right one 16 pairs of 64 bytes;
            // blocks have as many rows and columns.
            unsafe {
                let at = block.0.as_mut_ptr().add(row * GROUP + col);
                let mut sums = begun(at, job.more);
                let left = job.left.add(row / TILE * TILE_BYTES + row % TILE * 64).cast::<u32>();
                let right = job.right.add(col / TILE * TILE_BYTES + col % TILE * 4).cast::<u32>();
                // Words of a step, then the pair in it.
                let all = (0..job.steps).flat_map(|step| (0..PAIRS).map(move |pair| (step * TILE_BYTES / 2, pair)));
                for (step, pair) in all {
                    let columns = [0, 4].map(|vector| v128_load(right.add(step + pair * TILE + vector).cast()));
                    for (row, sums) in sums.iter_mut().enumerate() {
                        let x = v128_load32_splat(left.add(step + row * PAIRS + pair));
                        for (sum, y) in sums.iter_mut().zip(columns) {
                            *sum = f32x4_add(*sum, f32x4_mul(first(x), first(y)));
                            *sum = f32x4_add(*sum, f32x4_mul(second(x), second(y)));
                        }
                    }
                }
                end(&sums, at);
            }
        }
    }
}

/// Steps that are widened at a time.
const STEPS: usize = 9;
/// Words of two `i16` in a step of a lane.
const WORDS: usize = 32;

/// Bytes of both operands as `i16`: of each quad the first and third value in a word, then the second and fourth.
#[repr(C, align(16))]
struct Widened {
    /// Words of each row.
    left: [[u32; STEPS * WORDS]; GROUP],
    /// Words of all columns, one after the other along `k`.
    right: [[u32; GROUP]; STEPS * WORDS],
}

/// Computes a block of 8-bit products, in fours.
///
/// # Safety
/// See [`super::run`].
pub(super) unsafe fn quads(job: Job, block: &mut Block) {
    let mut wide = MaybeUninit::<Widened>::uninit();
    let wide = wide.as_mut_ptr();
    for first in (0..job.steps).step_by(STEPS) {
        let steps = STEPS.min(job.steps - first);
        // Two words for every quad, of which only those that hold values are multiplied.
        let words = job.k.saturating_sub(first * 64).min(steps * 64).div_ceil(4) * 2;
        let rows = job.rows.next_multiple_of(ROWS).min(GROUP);
        // SAFETY: steps of both groups, each of two tiles; `wide` has room for them, and all that is read of it, `words` words of the rows and
        // columns that are computed, has been written.
        unsafe {
            let (left, right) = ((&raw mut (*wide).left).cast::<u32>(), (&raw mut (*wide).right).cast::<u32>());
            widen_left(job.left.add(first * 2 * TILE_BYTES), steps, rows, left);
            widen_right(job.right.add(first * 2 * TILE_BYTES), steps, job.cols.div_ceil(TILE), right);
            for row in (0..job.rows).step_by(ROWS) {
                for col in (0..job.cols).step_by(COLS) {
                    let at = block.0.as_mut_ptr().add(row * GROUP + col);
                    let mut sums = begun(at, job.more || first > 0);
                    let (mut left, mut right) = (left.add(row * STEPS * WORDS), right.add(col));
                    for _ in 0..words {
                        let columns = [v128_load(right.cast()), v128_load(right.add(4).cast())];
                        for (row, sums) in sums.iter_mut().enumerate() {
                            let x = v128_load32_splat(left.add(row * STEPS * WORDS));
                            for (sum, y) in sums.iter_mut().zip(columns) {
                                *sum = i32x4_add(*sum, i32x4_dot_i16x8(x, y));
                            }
                        }
                        (left, right) = (left.add(1), right.add(GROUP));
                    }
                    end(&sums, at);
                }
            }
        }
    }
}

/// Unsigned bytes of `rows` rows into [`Widened::left`].
///
/// # Safety
/// `from` leads to `steps` steps of a left operand; `to` to the words of 32 rows.
unsafe fn widen_left(from: *const u8, steps: usize, rows: usize, to: *mut u32) {
    for (row, step) in (0..rows).flat_map(|row| (0..steps).map(move |step| (row, step))) {
        for part in 0..4 {
            // SAFETY: 16 of the 64 bytes of the row in this step, to 8 words.
            unsafe {
                let values = v128_load(from.add(step * 2 * TILE_BYTES + row * 64 + part * 16).cast());
                let values = u8x16_shuffle::<0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15>(values, values);
                let to = to.add((row * STEPS + step) * WORDS + part * 8);
                v128_store(to.cast(), u16x8_extend_low_u8x16(values));
                v128_store(to.add(4).cast(), u16x8_extend_high_u8x16(values));
            }
        }
    }
}

/// Signed bytes of `tiles` times 16 columns into [`Widened::right`].
///
/// # Safety
/// As [`widen_left`], for `tiles` tiles of a right operand.
unsafe fn widen_right(from: *const u8, steps: usize, tiles: usize, to: *mut u32) {
    for (step, quarter) in (0..steps).flat_map(|step| (0..4 * tiles).map(move |quarter| (step, quarter))) {
        for quad in 0..TILE {
            // SAFETY: 4 of the 16 columns of a quad, to as many words twice.
            unsafe {
                let at = step * 2 * TILE_BYTES + quarter / 4 * TILE_BYTES + quad * 64 + quarter % 4 * 16;
                let values = v128_load(from.add(at).cast());
                let to = to.add((step * WORDS + 2 * quad) * GROUP + quarter * 4);
                v128_store(to.cast(), i16x8_shr(i16x8_shl(values, 8), 8));
                v128_store(to.add(GROUP).cast(), i16x8_shr(values, 8));
            }
        }
    }
}
