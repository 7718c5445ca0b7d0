//! Blocks with AVX-512: fused multiply-adds on `f32`, dot products of `bf16` pairs and byte quads.
//!
//! Eight rows and 32 columns are computed together: 16 sums, two vectors of the right operand, and values of the left one straight
//! from memory.

use std::arch::x86_64::*;

use super::{Block, Job, LINE};
use crate::matmul::format::{GROUP, TILE, TILE_BYTES};

/// Rows computed together.
const TOGETHER: usize = 8;
/// Steps of `f32` between which lines are brought closer.
const STEPS: usize = 8;

impl Job {
    /// Lines of [`Job::next`] that each pass over eight rows brings closer in a step.
    fn lines_of_eight_rows(&self) -> usize {
        self.ahead / LINE / self.rows.div_ceil(TOGETHER)
    }
}

/// The sums of eight rows from `to` on: what the block holds, or zeros.
///
/// # Safety
/// `to` leads to eight rows of a block from a multiple of 16 columns on, with `TILES` times 16 more; the machine has AVX-512 F.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn begin<const TILES: usize>(to: *const f32, more: bool) -> [[__m512; TILES]; TOGETHER] {
    if !more {
        return [[_mm512_setzero_ps(); TILES]; TOGETHER];
    }
    // SAFETY: values of the block, which is aligned to 64 bytes.
    std::array::from_fn(|i| std::array::from_fn(|tile| unsafe { _mm512_load_ps(to.add(i * GROUP + tile * TILE)) }))
}

/// Stores what [`begin`] began.
///
/// # Safety
/// As there.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn end<const TILES: usize>(sums: [[__m512; TILES]; TOGETHER], to: *mut f32) {
    for (i, sums) in sums.into_iter().enumerate() {
        for (tile, sum) in sums.into_iter().enumerate() {
            // SAFETY: as in `begin`.
            unsafe { _mm512_store_ps(to.add(i * GROUP + tile * TILE), sum) };
        }
    }
}

/// `$name(job, block)` calls `$some::<TILES>(job, row, to)` for eight rows at a time, with the tiles of columns that are wanted; before,
/// `job.$bring`, where `$some` brings nothing closer itself.
macro_rules! by_rows {
    ($name:ident, $some:ident, $features:literal $(, $bring:ident)?) => {
        /// # Safety
        /// See [`super::run`]; the machine has the features.
        #[target_feature(enable = $features)]
        pub(super) unsafe fn $name(job: Job, block: &mut Block) {
            for row in (0..job.rows).step_by(TOGETHER) {
                $(job.$bring(row / TOGETHER, job.rows.div_ceil(TOGETHER));)?
                // SAFETY: the caller's promises; rows `row..row + 8` of the group and of the block, which have 32.
                unsafe {
                    let to = block.0.as_mut_ptr().add(row * GROUP);
                    match job.tiles() {
                        (_, 1) => $some::<1>(job, row, to),
                        _ => $some::<2>(job, row, to),
                    }
                }
            }
        }
    };
}

by_rows!(panel, some_panel, "avx512f");
by_rows!(halves, some_halves, "avx512f", bring_part);
by_rows!(pairs, some_pairs, "avx512f,avx512bf16");
by_rows!(quads, some_quads, "avx512f,avx512vnni");

/// Computes some rows of a block of `f32` products.
///
/// # Safety
/// See [`by_rows`].
#[target_feature(enable = "avx512f")]
unsafe fn some_panel<const TILES: usize>(job: Job, row: usize, to: *mut f32) {
    // SAFETY: both groups have 32 lanes in each of `steps` steps; `row + 8` is at most 32.
    unsafe {
        let mut sums = begin::<TILES>(to, job.more);
        let (mut left, mut right) = (job.left.cast::<f32>().add(row), job.right.cast::<f32>());
        // A step is half a line of the columns, of which several passes over rows bring their shares.
        let passes = job.rows.div_ceil(TOGETHER);
        let lines = STEPS * job.ahead / LINE / passes;
        let mut next = job.next.wrapping_add(row / TOGETHER * job.steps * job.ahead / passes);
        for step in (0..job.steps).step_by(STEPS) {
            for line in 0..lines {
                _mm_prefetch::<_MM_HINT_T1>(next.wrapping_add(line * LINE).cast());
            }
            next = next.wrapping_add(lines * LINE);
            for _ in step..job.steps.min(step + STEPS) {
                let r: [__m512; TILES] = std::array::from_fn(|tile| _mm512_load_ps(right.add(tile * TILE)));
                for (i, sums) in sums.iter_mut().enumerate() {
                    let x = _mm512_set1_ps(*left.add(i));
                    for (sum, r) in sums.iter_mut().zip(r) {
                        *sum = _mm512_fmadd_ps(x, r, *sum);
                    }
                }
                left = left.wrapping_add(GROUP);
                right = right.wrapping_add(GROUP);
            }
        }
        end(sums, to);
    }
}

/// The lower `bf16` of every pair of columns with the first of two inner indices, the upper one with the second.
///
/// # Safety
/// See [`by_rows`].
#[target_feature(enable = "avx512f")]
unsafe fn some_halves<const TILES: usize>(job: Job, row: usize, to: *mut f32) {
    let upper = _mm512_set1_epi32(0xffff_0000_u32.cast_signed());
    let mut rest = job.k.div_ceil(2);
    // SAFETY: the left group has 32 lanes for each of 32 `steps` inner indices, the right one two tiles in each of `steps` steps.
    unsafe {
        let mut sums = begin::<TILES>(to, job.more);
        let (mut left, mut right) = (job.left.cast::<f32>().add(row), job.right);
        for _ in 0..job.steps {
            let here = rest.min(TILE);
            rest -= here;
            for p in 0..here {
                let at = right.add(p * 64);
                let r: [__m512i; TILES] =
                    std::array::from_fn(|tile| _mm512_load_si512(at.add(tile * TILE_BYTES).cast()));
                let halves = [
                    r.map(|r| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(r))),
                    r.map(|r| _mm512_castsi512_ps(_mm512_and_si512(r, upper))),
                ];
                for (half, r) in halves.into_iter().enumerate() {
                    for (i, sums) in sums.iter_mut().enumerate() {
                        let x = _mm512_set1_ps(*left.add(half * GROUP + i));
                        for (sum, r) in sums.iter_mut().zip(r) {
                            *sum = _mm512_fmadd_ps(x, r, *sum);
                        }
                    }
                }
                left = left.wrapping_add(2 * GROUP);
            }
            right = right.wrapping_add(2 * TILE_BYTES);
        }
        end(sums, to);
    }
}

/// The loop of a dot product instruction over tiles; sums are kept as bits of `f32`.
macro_rules! tiles {
    ($some:ident, $features:literal, $values:literal, $sum:expr) => {
        /// # Safety
        /// See [`by_rows`].
        #[target_feature(enable = $features)]
        unsafe fn $some<const TILES: usize>(job: Job, row: usize, to: *mut f32) {
            let mut rest = job.k.div_ceil($values);
            // SAFETY: both groups have two tiles in each of `steps` steps, and the second one's rows follow the first one's.
            unsafe {
                let mut sums = begin::<TILES>(to, job.more);
                let (mut left, mut right) = (job.left.add(row * 64), job.right);
                let lines = job.lines_of_eight_rows();
                let mut next = job.next.wrapping_add(row / TOGETHER * job.steps * lines * LINE);
                for _ in 0..job.steps {
                    let here = rest.min(TILE);
                    rest -= here;
                    for line in 0..lines {
                        _mm_prefetch::<_MM_HINT_T1>(next.wrapping_add(line * LINE).cast());
                    }
                    next = next.wrapping_add(lines * LINE);
                    for p in 0..here {
                        let at = right.add(p * 64);
                        let r: [__m512i; TILES] =
                            std::array::from_fn(|tile| _mm512_load_si512(at.add(tile * TILE_BYTES).cast()));
                        for (i, sums) in sums.iter_mut().enumerate() {
                            let x = _mm512_set1_epi32(*left.add(i * 64 + p * 4).cast::<i32>());
                            for (sum, r) in sums.iter_mut().zip(r) {
                                *sum = $sum(*sum, x, r);
                            }
                        }
                    }
                    left = left.wrapping_add(2 * TILE_BYTES);
                    right = right.wrapping_add(2 * TILE_BYTES);
                }
                end(sums, to);
            }
        }
    };
}

// SAFETY (transmute): registers of the same size without invalid values.
tiles!(some_pairs, "avx512f,avx512bf16", 2, |sum, x, y| {
    let bf16 = |bits| std::mem::transmute::<__m512i, __m512bh>(bits);
    _mm512_dpbf16_ps(sum, bf16(x), bf16(y))
});
tiles!(some_quads, "avx512f,avx512vnni", 4, |sum, x, y| {
    _mm512_castsi512_ps(_mm512_dpbusd_epi32(_mm512_castps_si512(sum), x, y))
});
