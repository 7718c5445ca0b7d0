//! Blocks with the matrix instructions of Armv8.6: `SMMLA` on bytes, `BFMMLA` on `bf16`.
//!
//! Both multiply two rows with two columns, eight bytes of each, and add to four sums. Eight rows and twelve columns are computed together: 24
//! registers hold sums, four the rows, and the columns come one pair after the other. On Neoverse V1 an instruction takes a slot in one of the four
//! pipelines, as a multiply-add of `f32` does, and does eight (in `bf16` four) times as many products; `BFMMLA`, of five cycles, needs 20
//! independent sums (Arm, Neoverse V1 Software Optimization Guide).
//!
//! `BFMMLA` rounds sums of two products by a rule of its own (to odd, without subnormal numbers: Arm ARM, `BFMMLA`), the same on all processors
//! unless a program asks for another. So results in `bf16` differ from those of other instruction sets in the last bits of `f32`.

use std::arch::aarch64::*;

use super::neon::{load, parts};
use super::{Block, Job};
use crate::matmul::format::GROUP;

/// Values of a vector.
const WIDE: usize = 4;
/// Bytes of all lanes of a panel of eight bytes each.
const PANEL: usize = GROUP * 8;

/// Sums of two rows and two columns.
type Square = int32x4_t;

/// The sums of `PAIRS` times two rows and `VECTORS` times four columns from `to` on: what the block holds, or zeros.
///
/// # Safety
/// `to` leads to these rows and columns of a block.
#[inline(always)]
unsafe fn begin<const PAIRS: usize, const VECTORS: usize>(
    to: *const f32,
    more: bool,
) -> [[[Square; 2]; VECTORS]; PAIRS] {
    // SAFETY: the caller's promise; NEON is in the baseline of aarch64.
    unsafe {
        let mut sums = [[[vdupq_n_s32(0); 2]; VECTORS]; PAIRS];
        if more {
            for (pair, sums) in sums.iter_mut().enumerate() {
                for (vector, sums) in sums.iter_mut().enumerate() {
                    let rows: [int64x2_t; 2] =
                        std::array::from_fn(|row| vld1q_s64(to.add((2 * pair + row) * GROUP + vector * WIDE).cast()));
                    let [first, second] = [vzip1q_s64(rows[0], rows[1]), vzip2q_s64(rows[0], rows[1])];
                    *sums = [vreinterpretq_s32_s64(first), vreinterpretq_s32_s64(second)];
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
unsafe fn end<const PAIRS: usize, const VECTORS: usize>(sums: &[[[Square; 2]; VECTORS]; PAIRS], to: *mut f32) {
    for (pair, sums) in sums.iter().enumerate() {
        for (vector, [first, second]) in sums.iter().enumerate() {
            // SAFETY: the caller's promise; NEON is in the baseline of aarch64.
            unsafe {
                let (first, second) = (vreinterpretq_s64_s32(*first), vreinterpretq_s64_s32(*second));
                let to = to.add(2 * pair * GROUP + vector * WIDE);
                vst1q_s64(to.cast(), vzip1q_s64(first, second));
                vst1q_s64(to.add(GROUP).cast(), vzip2q_s64(first, second));
            }
        }
    }
}

/// `$name` is the instruction `$text` on sums, two rows and two columns. Intrinsics for them are not stable in the oldest Rust that this crate supports.
macro_rules! instruction {
    ($name:ident, $text:literal, $features:literal) => {
        #[inline]
        #[target_feature(enable = $features)]
        fn $name(sums: Square, rows: float32x4_t, cols: float32x4_t) -> Square {
            let mut sums = sums;
            // SAFETY: an instruction on registers, which the feature has.
            unsafe {
                std::arch::asm!(
                    $text,
                    sums = inout(vreg) sums,
                    rows = in(vreg) rows,
                    cols = in(vreg) cols,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
            sums
        }
    };
}

instruction!(multiply_bytes, "smmla {sums:v}.4s, {rows:v}.16b, {cols:v}.16b", "neon,i8mm");
instruction!(multiply_halves, "bfmmla {sums:v}.4s, {rows:v}.8h, {cols:v}.8h", "neon,bf16");

/// `$name(job, block)` computes a block of products, of which `$values` inner indices are in eight bytes.
macro_rules! kernel {
    ($name:ident, $some:ident, $features:literal, $values:literal, $multiply:ident) => {
        /// # Safety
        /// See [`super::run`]; the machine has the features.
        #[target_feature(enable = $features)]
        pub(super) unsafe fn $name(job: Job, block: &mut Block) {
            for row in (0..job.rows).step_by(8) {
                for (vector, vectors) in parts(job.cols) {
                    let col = vector * WIDE;
                    let to = block.0.as_mut_ptr().wrapping_add(row * GROUP + col);
                    // SAFETY: the caller's promises; these rows and columns are in the groups and the block, which have 32.
                    unsafe {
                        match (job.rows - row <= 4, vectors) {
                            (true, 1) => $some::<2, 1>(job, row, col, to),
                            (true, 2) => $some::<2, 2>(job, row, col, to),
                            (true, _) => $some::<2, 3>(job, row, col, to),
                            (false, 1) => $some::<4, 1>(job, row, col, to),
                            (false, 2) => $some::<4, 2>(job, row, col, to),
                            (false, _) => $some::<4, 3>(job, row, col, to),
                        }
                    }
                }
            }
        }

        /// # Safety
        #[doc = concat!("See [`", stringify!($name), "`].")]
        #[target_feature(enable = $features)]
        unsafe fn $some<const PAIRS: usize, const VECTORS: usize>(job: Job, row: usize, col: usize, to: *mut f32) {
            // SAFETY: both groups have 32 times eight bytes for every `$values` inner indices.
            unsafe {
                let mut sums = begin::<PAIRS, VECTORS>(to, job.more);
                let (mut left, mut right) = (job.left.add(row * 8), job.right.add(col * 8));
                for _ in 0..job.k.div_ceil($values) {
                    let rows = load::<PAIRS>(left);
                    for vector in 0..VECTORS {
                        for half in 0..2 {
                            let cols = *right.add((2 * vector + half) * 16).cast();
                            for (sums, rows) in sums.iter_mut().zip(rows) {
                                sums[vector][half] = $multiply(sums[vector][half], rows, cols);
                            }
                        }
                    }
                    (left, right) = (left.wrapping_add(PANEL), right.wrapping_add(PANEL));
                }
                end(&sums, to);
            }
        }
    };
}

kernel!(octs, some_octs, "neon,i8mm", 8, multiply_bytes);
kernel!(fours, some_fours, "neon,bf16", 4, multiply_halves);
