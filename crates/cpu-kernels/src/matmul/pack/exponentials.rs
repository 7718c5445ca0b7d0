//! Probabilities of attention in `bf16` pairs, straight from the scores.

use std::arch::x86_64::*;

use super::{Pairs, STEP, Side};
use crate::elementwise::exp2::exp2_within_3e_6;
use crate::matmul::format::{TILE, TILE_BYTES};

/// Values of a vector.
const LANES: usize = 16;

/// `exp(x - max)` of every row, rounded to `bf16`, as rows of the left operand, and the sums before rounding. Exponentials are within 3e-6,
/// a thousandth of the rounding. Rows behind the last are left alone.
///
/// # Shapes
/// `scores [sums.len(), width]`
///
/// # Safety
/// `to` has room for the groups of these rows; the machine has the features.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
pub(crate) unsafe fn pack_exponentials(scores: &[f32], width: usize, to: *mut u8, sums: &mut [f32]) {
    assert_eq!(scores.len(), sums.len() * width, "rows of scores");
    let pairs = Pairs::new(sums.len(), width, 1, Side::Left);
    let step = 2 * TILE_BYTES;
    for (lane, (row, total)) in scores.chunks_exact(width.max(1)).zip(sums).enumerate() {
        let (whole, rest) = row.as_chunks::<STEP>();
        let mask = (1u32 << rest.len()) - 1;
        let masks = [mask as u16, (mask >> LANES) as u16];
        // SAFETY: the values of each step, of the last one those that there are.
        let (all, some) = unsafe {
            let all = |values: &[f32; STEP]| [0, 1].map(|i| _mm512_loadu_ps(values.as_ptr().add(i * LANES)));
            (all, [0, 1].map(|i| _mm512_mask_loadu_ps(lowest(), masks[i], rest.as_ptr().wrapping_add(i * LANES))))
        };
        let highest = whole.iter().fold([lowest(); 2], |highest, values| larger(all(values), highest));
        let [a, b] = larger(some, highest);
        let from = _mm512_set1_ps(-_mm512_reduce_max_ps(_mm512_max_ps(a, b)));
        // SAFETY: the row's own 64 bytes in each step.
        let to = unsafe { to.add(pairs.tile(lane, 0) + lane % TILE * 64) };
        let mut sum = [_mm512_setzero_ps(); 2];
        for (index, values) in whole.iter().enumerate() {
            let powers = exponentials(all(values), from);
            sum = [_mm512_add_ps(sum[0], powers[0]), _mm512_add_ps(sum[1], powers[1])];
            // SAFETY: as above.
            unsafe { store(powers, to.add(index * step)) };
        }
        if !rest.is_empty() {
            let powers = exponentials(some, from);
            let powers = [0, 1].map(|i| _mm512_maskz_mov_ps(masks[i], powers[i]));
            sum = [_mm512_add_ps(sum[0], powers[0]), _mm512_add_ps(sum[1], powers[1])];
            // SAFETY: as above.
            unsafe { store(powers, to.add(whole.len() * step)) };
        }
        *total = _mm512_reduce_add_ps(_mm512_add_ps(sum[0], sum[1]));
    }
}

/// What everything blocked has in common.
#[inline]
#[target_feature(enable = "avx512f")]
fn lowest() -> __m512 {
    _mm512_set1_ps(f32::MIN)
}

/// The larger values; those of `highest` where `values` are NaN.
#[inline]
#[target_feature(enable = "avx512f")]
fn larger(values: [__m512; 2], highest: [__m512; 2]) -> [__m512; 2] {
    [_mm512_max_ps(values[0], highest[0]), _mm512_max_ps(values[1], highest[1])]
}

/// `exp(x + from)`; NaN stays.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn exponentials(x: [__m512; 2], from: __m512) -> [__m512; 2] {
    let log2_e = _mm512_set1_ps(std::f32::consts::LOG2_E);
    x.map(|x| exp2_within_3e_6(_mm512_mul_ps(_mm512_add_ps(_mm512_max_ps(lowest(), x), from), log2_e)))
}

/// Stores 32 values as `bf16`.
///
/// # Safety
/// `to` leads to 64 bytes of this thread, from a multiple of 64 on; the machine has the features.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn store(values: [__m512; 2], to: *mut u8) {
    // SAFETY: the caller's promise; the type of packed `bf16` has no operations of its own.
    unsafe {
        let both = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(values[1], values[0]));
        _mm512_store_si512(to.cast(), both);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;
    use crate::matmul::buffer::Buffer;
    use crate::matmul::format::{Format, GROUP};

    #[test]
    fn exponentials_are_those_of_the_formula_and_zeros_stand_behind_them() {
        if Isa::best() < Isa::Avx512 {
            return;
        }
        for (rows, width) in [(1usize, 1usize), (3, 15), (17, 16), (33, 31), (32, 32), (5, 33), (40, 128), (2, 135)] {
            let mut scores: Vec<f32> = (0..rows * width).map(|i| (i * 7919 % 2003) as f32 / 150.0 - 9.0).collect();
            // Blocked and masked keys count nothing where there are others.
            if width > 2 {
                (scores[0], scores[1]) = (f32::NEG_INFINITY, -10_000.0);
            }
            let bytes = rows.div_ceil(GROUP) * Format::Pairs { planes: 1 }.group_bytes(width, Side::Left);
            let (buffer, mut sums) = (Buffer::new(bytes), vec![0.0; rows]);
            // SAFETY: room for the rows, which begins as ones; the machine has AVX-512.
            let packed = unsafe {
                buffer.start().write_bytes(1, bytes);
                pack_exponentials(&scores, width, buffer.start(), &mut sums);
                std::slice::from_raw_parts(buffer.start().cast::<u16>(), bytes / 2)
            };
            let pairs = Pairs::new(rows, width, 1, Side::Left);
            for (lane, row) in scores.chunks(width).enumerate() {
                let highest = row.iter().copied().fold(f32::MIN, f32::max);
                let exact: Vec<f64> = row.iter().map(|x| f64::from(x - highest).exp()).collect();
                for k in 0..width.next_multiple_of(STEP) {
                    let at = (pairs.tile(lane, k) + lane % TILE * 64) / 2 + k % STEP;
                    let found = f64::from(f32::from_bits(u32::from(packed[at]) << 16));
                    let exact = exact.get(k).copied().unwrap_or(0.0);
                    // Half a step of eight bits.
                    assert!(
                        (found - exact).abs() <= exact / 255.0,
                        "{rows} x {width}, {lane}, {k}: {found} for {exact}"
                    );
                }
                let sum: f64 = exact.iter().sum();
                assert!((f64::from(sums[lane]) / sum - 1.0).abs() < 5e-6, "{} for {sum}", sums[lane]);
            }
        }
    }

    #[test]
    fn a_row_with_everything_blocked_is_uniform() {
        if Isa::best() < Isa::Avx512 {
            return;
        }
        let (buffer, mut sums) = (Buffer::new(Format::Pairs { planes: 1 }.group_bytes(40, Side::Left)), [0.0]);
        // SAFETY: room for a group; the machine has AVX-512.
        unsafe { pack_exponentials(&[f32::NEG_INFINITY; 40], 40, buffer.start(), &mut sums) };
        assert!((sums[0] - 40.0).abs() < 1e-3, "{sums:?}");
    }
}
