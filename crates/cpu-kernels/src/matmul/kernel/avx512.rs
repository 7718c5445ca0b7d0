//! Blocks with AVX-512: fused multiply-adds on `f32`, dot products of `bf16` pairs and byte quads.

use std::arch::x86_64::*;

use super::{Block, Job};
use crate::matmul::format::{GROUP, TILE, TILE_BYTES};

/// Rows computed together: 16 sums of 16 lanes for panels of 32 columns.
const TOGETHER: usize = 8;

/// # Safety
/// See [`super::run`]; the machine has AVX-512 F.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn panel(job: Job, block: &mut Block) {
    for row in (0..job.rows).step_by(TOGETHER) {
        let mut sums = [[_mm512_setzero_ps(); 2]; TOGETHER];
        let (mut left, mut right) = (job.left.cast::<f32>(), job.right.cast::<f32>());
        for _ in 0..job.steps {
            // SAFETY: both groups have 32 lanes in each of `steps` steps; `row + 8` is at most 32.
            unsafe {
                let r = [_mm512_load_ps(right), _mm512_load_ps(right.add(16))];
                for (i, sums) in sums.iter_mut().enumerate() {
                    let x = _mm512_set1_ps(*left.add(row + i));
                    sums[0] = _mm512_fmadd_ps(x, r[0], sums[0]);
                    sums[1] = _mm512_fmadd_ps(x, r[1], sums[1]);
                }
                left = left.add(GROUP);
                right = right.add(GROUP);
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            let to = block.0[(row + i) * GROUP..][..GROUP].as_mut_ptr();
            // SAFETY: a row of the block, which is aligned to 64 bytes.
            unsafe {
                _mm512_store_ps(to, sums[0]);
                _mm512_store_ps(to.add(16), sums[1]);
            }
        }
    }
}

macro_rules! tiles {
    ($name:ident, $features:literal, $zero:expr, $sum:expr, $bits:expr) => {
        /// # Safety
        /// See [`super::run`]; the machine has the features.
        #[target_feature(enable = $features)]
        pub(super) unsafe fn $name(job: Job, block: &mut Block) {
            let (row_tiles, col_tiles) = job.tiles();
            for (rt, ct) in (0..row_tiles).flat_map(|r| (0..col_tiles).map(move |c| (r, c))) {
                for row in (0..TILE).step_by(TOGETHER) {
                    let mut sums = [$zero; TOGETHER];
                    // SAFETY: both groups have two tiles in each of `steps` steps.
                    unsafe {
                        let mut left = job.left.add(rt * TILE_BYTES + row * 64);
                        let mut right = job.right.add(ct * TILE_BYTES);
                        for _ in 0..job.steps {
                            for p in 0..TILE {
                                let r = _mm512_load_si512(right.add(p * 64).cast());
                                for (i, sum) in sums.iter_mut().enumerate() {
                                    let x = *left.add(i * 64 + p * 4).cast::<i32>();
                                    *sum = $sum(*sum, _mm512_set1_epi32(x), r);
                                }
                            }
                            left = left.add(2 * TILE_BYTES);
                            right = right.add(2 * TILE_BYTES);
                        }
                    }
                    for (i, sum) in sums.iter().enumerate() {
                        let to = block.0[(rt * TILE + row + i) * GROUP + ct * TILE..][..TILE].as_mut_ptr();
                        // SAFETY: 16 values of the block, which is aligned to 64 bytes.
                        unsafe { _mm512_store_ps(to, $bits(*sum)) };
                    }
                }
            }
        }
    };
}

tiles!(
    pairs,
    "avx512f,avx512bf16",
    _mm512_setzero_ps(),
    // SAFETY (transmute): registers of the same size without invalid values.
    |sum, x, y| {
        let bf16 = |bits| std::mem::transmute::<__m512i, __m512bh>(bits);
        _mm512_dpbf16_ps(sum, bf16(x), bf16(y))
    },
    |sum| sum
);
tiles!(quads, "avx512f,avx512vnni", _mm512_setzero_si512(), |sum, x, y| _mm512_dpbusd_epi32(sum, x, y), |sum| {
    _mm512_castsi512_ps(sum)
});
