//! Blocks with NEON: fused multiply-adds on `f32`, products of bytes, and dot products of byte quads.
//!
//! Eight rows and twelve columns are computed together, as in BLIS (its kernels for `armv8a`): of the 32 registers, 24 hold sums, three a row of
//! the right operand and two a column of the left one, from which the instructions take one value by its number. Multiply-adds of Neoverse V1 take
//! four cycles and have four pipelines (Arm, Neoverse V1 Software Optimization Guide), so they need 16 independent sums. A step loads five
//! vectors for 24 products.
//!
//! Processors without dot products multiply bytes to `i16`, of which two products of signed bytes have room for (twice 128 x 127 is below
//! 2^15), and add pairs of these to the sums in 32 bits: three instructions for 16 products, where a multiply-add of `i16` has four for each.

use std::arch::aarch64::*;

use super::{Block, Job};
use crate::matmul::format::{GROUP, TILE, TILE_BYTES};

/// Values of a vector.
const WIDE: usize = 4;
/// Most vectors of columns computed together.
const TOGETHER: usize = 3;
/// Bytes of all lanes of a panel of words.
const PANEL: usize = GROUP * 4;

/// Sums of `QUADS` times four rows and `VECTORS` times four columns.
type Sums<const QUADS: usize, const VECTORS: usize> = [[[float32x4_t; VECTORS]; WIDE]; QUADS];

/// The sums from `to` on: what the block holds, or zeros.
///
/// # Safety
/// `to` leads to these rows and columns of a block.
#[inline(always)]
unsafe fn begin<const QUADS: usize, const VECTORS: usize>(to: *const f32, more: bool) -> Sums<QUADS, VECTORS> {
    // SAFETY: the caller's promise; NEON is in the baseline of aarch64.
    unsafe {
        let mut sums = [[[vdupq_n_f32(0.0); VECTORS]; WIDE]; QUADS];
        if more {
            for (row, sums) in sums.as_flattened_mut().iter_mut().enumerate() {
                for (vector, sum) in sums.iter_mut().enumerate() {
                    *sum = vld1q_f32(to.add(row * GROUP + vector * WIDE));
                }
            }
        }
        sums
    }
}

/// Stores what [`begin`] began.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn end<const QUADS: usize, const VECTORS: usize>(sums: &Sums<QUADS, VECTORS>, to: *mut f32) {
    for (row, sums) in sums.as_flattened().iter().enumerate() {
        for (vector, sum) in sums.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { vst1q_f32(to.add(row * GROUP + vector * WIDE), *sum) };
        }
    }
}

/// Vectors of columns in parts of at most [`TOGETHER`], as equal as they can be: first and number.
pub(super) fn parts(cols: usize) -> impl Iterator<Item = (usize, usize)> {
    let vectors = cols.div_ceil(WIDE);
    let count = vectors.div_ceil(TOGETHER);
    (0..count).map(move |i| (i * vectors / count, (i + 1) * vectors / count - i * vectors / count))
}

/// Vectors from `at` on. They are read as values: the intrinsic copies memory, by way of the stack in builds that check copies.
///
/// # Safety
/// `at` leads to `N` vectors, aligned.
#[inline(always)]
pub(super) unsafe fn load<const N: usize>(at: *const u8) -> [float32x4_t; N] {
    // SAFETY: the caller's promise; NEON is in the baseline of aarch64.
    unsafe {
        let mut vectors = [vdupq_n_f32(0.0); N];
        for (i, vector) in vectors.iter_mut().enumerate() {
            *vector = *at.add(i * 16).cast();
        }
        vectors
    }
}

/// `sum + cols rows[LANE]`
#[inline(always)]
fn multiply_add<const LANE: i32>(sum: float32x4_t, cols: float32x4_t, rows: float32x4_t) -> float32x4_t {
    // SAFETY: NEON is in the baseline of aarch64.
    unsafe { vfmaq_laneq_f32::<LANE>(sum, cols, rows) }
}

/// Adds to each 32-bit sum the products of the four signed bytes of its column with those of row `LANE`. An intrinsic of its own is not stable in
/// the oldest Rust that this crate supports.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn dot<const LANE: i32>(sum: float32x4_t, cols: float32x4_t, rows: float32x4_t) -> float32x4_t {
    let mut sum = sum;
    // SAFETY: an instruction on registers, which the feature has (Arm ARM, SDOT by element).
    unsafe {
        std::arch::asm!(
            "sdot {sum:v}.4s, {cols:v}.16b, {rows:v}.4b[{lane}]",
            sum = inout(vreg) sum,
            cols = in(vreg) cols,
            rows = in(vreg) rows,
            lane = const LANE,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// Adds the products of `$rows`, vectors of four rows, and `$cols`, vectors of four columns.
macro_rules! add {
    ($sum:ident, $sums:ident, $rows:expr, $cols:expr) => {
        for (sums, rows) in $sums.iter_mut().zip($rows) {
            for (vector, cols) in $cols.iter().enumerate() {
                sums[0][vector] = $sum::<0>(sums[0][vector], *cols, rows);
                sums[1][vector] = $sum::<1>(sums[1][vector], *cols, rows);
                sums[2][vector] = $sum::<2>(sums[2][vector], *cols, rows);
                sums[3][vector] = $sum::<3>(sums[3][vector], *cols, rows);
            }
        }
    };
}

/// `$name(job, block)` calls `$some` for eight rows and up to twelve columns at a time.
macro_rules! by_parts {
    ($name:ident, $some:ident, $features:literal) => {
        /// # Safety
        /// See [`super::run`]; the machine has the features.
        #[target_feature(enable = $features)]
        pub(super) unsafe fn $name(job: Job, block: &mut Block) {
            for row in (0..job.rows).step_by(2 * WIDE) {
                for (vector, vectors) in parts(job.cols) {
                    let col = vector * WIDE;
                    let to = block.0.as_mut_ptr().wrapping_add(row * GROUP + col);
                    // SAFETY: the caller's promises; these rows and columns are in the groups and the block, which have 32.
                    unsafe {
                        match (job.rows - row <= WIDE, vectors) {
                            (true, 1) => $some::<1, 1>(job, row, col, to),
                            (true, 2) => $some::<1, 2>(job, row, col, to),
                            (true, _) => $some::<1, 3>(job, row, col, to),
                            (false, 1) => $some::<2, 1>(job, row, col, to),
                            (false, 2) => $some::<2, 2>(job, row, col, to),
                            (false, _) => $some::<2, 3>(job, row, col, to),
                        }
                    }
                }
            }
        }
    };
}

by_parts!(panel, some_panel, "neon");
by_parts!(halves, some_halves, "neon");
by_parts!(quads, some_quads, "neon,dotprod");

/// `$some` computes some rows and columns of a block of words in panels, `$values` inner indices in each.
macro_rules! panels {
    ($some:ident, $features:literal, $values:literal, $sum:ident) => {
        /// # Safety
        /// See [`by_parts`].
        #[target_feature(enable = $features)]
        unsafe fn $some<const QUADS: usize, const VECTORS: usize>(job: Job, row: usize, col: usize, to: *mut f32) {
            // SAFETY: both groups have 32 words for every `$values` inner indices.
            unsafe {
                let mut sums = begin::<QUADS, VECTORS>(to, job.more);
                let (mut left, mut right) = (job.left.add(row * 4), job.right.add(col * 4));
                for _ in 0..job.k.div_ceil($values) {
                    let (rows, cols) = (load::<QUADS>(left), load::<VECTORS>(right));
                    add!($sum, sums, rows, cols);
                    (left, right) = (left.wrapping_add(PANEL), right.wrapping_add(PANEL));
                }
                end(&sums, to);
            }
        }
    };
}

panels!(some_panel, "neon", 1, multiply_add);
panels!(some_quads, "neon,dotprod", 4, dot);

/// The lower `bf16` of every pair of columns with the first of two inner indices, the upper one with the second.
///
/// # Safety
/// See [`by_parts`].
#[target_feature(enable = "neon")]
unsafe fn some_halves<const QUADS: usize, const VECTORS: usize>(job: Job, row: usize, col: usize, to: *mut f32) {
    let mut rest = job.k.div_ceil(2);
    // Columns from a multiple of four on are in one tile.
    let offsets: [usize; VECTORS] = std::array::from_fn(|i| {
        let col = col + i * WIDE;
        col / TILE * TILE_BYTES + col % TILE * 4
    });
    // SAFETY: the left group has 32 lanes for each of 32 `steps` inner indices, the right one two tiles in each of `steps` steps.
    unsafe {
        let upper = vdupq_n_u32(0xffff_0000);
        let mut sums = begin::<QUADS, VECTORS>(to, job.more);
        let (mut left, mut right) = (job.left.add(row * 4), job.right);
        while rest > 0 {
            let here = rest.min(TILE);
            rest -= here;
            for pair in 0..here {
                let at = right.add(pair * 64);
                // The words are loaded twice, as there is no register to keep them in.
                let mut cols = [vdupq_n_f32(0.0); VECTORS];
                for (cols, offset) in cols.iter_mut().zip(offsets) {
                    *cols = vreinterpretq_f32_u32(vshlq_n_u32::<16>(*at.add(offset).cast()));
                }
                let rows = load::<QUADS>(left);
                add!(multiply_add, sums, rows, cols);
                for (cols, offset) in cols.iter_mut().zip(offsets) {
                    *cols = vreinterpretq_f32_u32(vandq_u32(*at.add(offset).cast(), upper));
                }
                let rows = load::<QUADS>(left.add(PANEL));
                add!(multiply_add, sums, rows, cols);
                left = left.wrapping_add(2 * PANEL);
            }
            right = right.wrapping_add(2 * TILE_BYTES);
        }
        end(&sums, to);
    }
}

/// Computes a block of 8-bit products, in fours, without dot products.
///
/// # Safety
/// See [`super::run`].
pub(super) unsafe fn quads_in_words(job: Job, block: &mut Block) {
    for row in (0..job.rows).step_by(WIDE) {
        for col in (0..job.cols).step_by(2 * WIDE) {
            // SAFETY: the caller's promises; four rows and eight columns of the groups and the block, which have 32.
            unsafe { four_by_eight(job, row, col, block.0.as_mut_ptr().add(row * GROUP + col)) };
        }
    }
}

/// Four rows and eight columns: 16 vectors of sums, each of two halves of the sums of two columns.
///
/// # Safety
/// See [`quads_in_words`].
unsafe fn four_by_eight(job: Job, row: usize, col: usize, to: *mut f32) {
    // SAFETY: both groups have 32 words for every four inner indices, and an even number of them in a step; NEON is in the baseline.
    unsafe {
        let mut sums = [[[vdupq_n_s32(0); 2]; 2]; WIDE];
        let (mut left, mut right) = (job.left.add(row * 4), job.right.add(col * 4));
        for _ in 0..job.k.div_ceil(8) {
            // Of two vectors of columns the next eight inner indices.
            let (first, second) = (load::<2>(right), load::<2>(right.add(PANEL)));
            for (i, sums) in sums.iter_mut().enumerate() {
                let row = |quad: usize| vreinterpretq_s8_s32(vld1q_dup_s32(left.add(quad * PANEL + i * 4).cast()));
                let (x, y) = (row(0), row(1));
                for (vector, sums) in sums.iter_mut().enumerate() {
                    let (a, b) = (vreinterpretq_s8_f32(first[vector]), vreinterpretq_s8_f32(second[vector]));
                    let products = vmull_s8(vget_low_s8(a), vget_low_s8(x));
                    let products = vmlal_s8(products, vget_low_s8(b), vget_low_s8(y));
                    sums[0] = vpadalq_s16(sums[0], products);
                    let products = vmull_high_s8(a, x);
                    let products = vmlal_high_s8(products, b, y);
                    sums[1] = vpadalq_s16(sums[1], products);
                }
            }
            (left, right) = (left.wrapping_add(2 * PANEL), right.wrapping_add(2 * PANEL));
        }
        for (i, sums) in sums.into_iter().enumerate() {
            for (vector, [first, second]) in sums.into_iter().enumerate() {
                let to = to.add(i * GROUP + vector * WIDE).cast::<i32>();
                let before = if job.more { vld1q_s32(to) } else { vdupq_n_s32(0) };
                vst1q_s32(to, vaddq_s32(before, vpaddq_s32(first, second)));
            }
        }
    }
}
