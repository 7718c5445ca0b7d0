//! Rows of bytes with AVX-512.

use std::arch::x86_64::*;

use super::bytes::{Grid, Quantized, Rows, STEP};
use crate::matmul::format::TILE;

/// Values of a vector.
const LANES: usize = 16;
/// Vectors of a step.
const VECTORS: usize = STEP / LANES;

/// The vectors of a step, whose first `here` values exist; the others are zeros.
///
/// # Safety
/// There are `here` values at `at`; the machine has AVX-512 F.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load(at: *const f32, here: usize) -> [__m512; VECTORS] {
    let mask = if here >= STEP { u64::MAX } else { (1u64 << here) - 1 };
    std::array::from_fn(|i| {
        // SAFETY: masked to values that exist. `wrapping_add`: where none does, the mask is empty.
        unsafe { _mm512_maskz_loadu_ps((mask >> (i * LANES)) as u16, at.wrapping_add(i * LANES)) }
    })
}

/// [`super::bytes::quantize_row`], to the bit.
///
/// # Safety
/// The machine has AVX-512 F and BW.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn quantize_row(row: &[f32], lane: usize, steps: &mut [Rows]) -> Quantized {
    // Minima and maxima give their second operand where the first is NaN.
    let mut low = [_mm512_setzero_ps(); VECTORS];
    let mut high = low;
    for values in row.chunks(STEP) {
        // SAFETY: these values exist.
        let values = unsafe { load(values.as_ptr(), values.len()) };
        for ((low, high), x) in low.iter_mut().zip(&mut high).zip(values) {
            *low = _mm512_min_ps(x, *low);
            *high = _mm512_max_ps(x, *high);
        }
    }
    let [low, high] = [
        _mm512_reduce_min_ps(_mm512_min_ps(_mm512_min_ps(low[0], low[1]), _mm512_min_ps(low[2], low[3]))),
        _mm512_reduce_max_ps(_mm512_max_ps(_mm512_max_ps(high[0], high[1]), _mm512_max_ps(high[2], high[3]))),
    ];
    let grid = Grid::of(low, high);
    let (inverse, zero, most) = (_mm512_set1_ps(grid.inverse), _mm512_set1_ps(grid.zero), _mm512_set1_ps(255.0));
    // Packing interleaves four vectors by quarters of 128 bits.
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    let (tile, lane) = (lane / TILE, lane % TILE);
    for (values, step) in row.chunks(STEP).zip(steps) {
        // SAFETY: these values exist.
        let values = unsafe { load(values.as_ptr(), values.len()) };
        // Saturation is the lower clamp: what is below 0 becomes 0, and so does NaN, which converts to the lowest number.
        let [a, b, c, d] = values.map(|x| {
            let value = _mm512_add_ps(_mm512_mul_ps(x, inverse), zero);
            _mm512_cvtps_epi32(_mm512_min_ps(most, value))
        });
        let bytes = _mm512_packus_epi16(_mm512_packus_epi32(a, b), _mm512_packus_epi32(c, d));
        let bytes = _mm512_permutexvar_epi32(order, bytes);
        // SAFETY: the 64 bytes of the lane in this step.
        unsafe { _mm512_storeu_si512(step[tile][lane].as_mut_ptr().cast(), bytes) };
    }
    grid.quantized()
}
