//! The portable blocks, compiled for AVX2.

use std::arch::x86_64::*;

use super::{Block, Job, portable};
use crate::matmul::format::GROUP;

/// # Safety
/// See [`super::run`]; the machine has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn panel(job: Job, block: &mut Block) {
    for row in (0..job.rows).step_by(4) {
        for col in (0..job.cols).step_by(16) {
            let mut sums = [[_mm256_setzero_ps(); 2]; 4];
            let (mut left, mut right) = (job.left.cast::<f32>(), job.right.cast::<f32>());
            for _ in 0..job.steps {
                // SAFETY: both groups have 32 lanes in each of `steps` steps; `row + 4` and `col + 16` are at most 32.
                unsafe {
                    let r = [_mm256_load_ps(right.add(col)), _mm256_load_ps(right.add(col + 8))];
                    for (i, sums) in sums.iter_mut().enumerate() {
                        let x = _mm256_broadcast_ss(&*left.add(row + i));
                        sums[0] = _mm256_fmadd_ps(x, r[0], sums[0]);
                        sums[1] = _mm256_fmadd_ps(x, r[1], sums[1]);
                    }
                    left = left.add(GROUP);
                    right = right.add(GROUP);
                }
            }
            for (i, sums) in sums.iter().enumerate() {
                let to = block.0[(row + i) * GROUP + col..][..16].as_mut_ptr();
                // SAFETY: 16 values, 32 bytes aligned as the block is.
                unsafe {
                    _mm256_store_ps(to, sums[0]);
                    _mm256_store_ps(to.add(8), sums[1]);
                }
            }
        }
    }
}

/// # Safety
/// As [`panel`].
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn pairs(job: Job, block: &mut Block) {
    // SAFETY: the caller's promise.
    unsafe { portable::pairs(job, block) };
}

/// # Safety
/// As [`panel`].
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn quads(job: Job, block: &mut Block) {
    // SAFETY: the caller's promise.
    unsafe { portable::quads(job, block) };
}
