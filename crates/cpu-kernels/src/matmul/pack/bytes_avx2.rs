//! Rows of bytes with AVX2.

use std::arch::x86_64::*;

use super::bytes::{Grid, Quantized, Rows, STEP};
use crate::matmul::format::TILE;

/// Values of a vector.
const LANES: usize = 8;
/// Vectors of half a step.
const VECTORS: usize = 4;

/// Half a step of values.
///
/// # Safety
/// There are 32 values at `at`; the machine has AVX.
#[inline]
#[target_feature(enable = "avx")]
unsafe fn load(at: *const f32) -> [__m256; VECTORS] {
    // SAFETY: the caller's promise.
    std::array::from_fn(|i| unsafe { _mm256_loadu_ps(at.add(i * LANES)) })
}

/// [`super::bytes::quantize_row`], to the bit.
///
/// # Safety
/// The machine has AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn quantize_row(row: &[f32], lane: usize, steps: &mut [Rows]) -> Quantized {
    const HALF: usize = STEP / 2;
    let (whole, rest) = row.as_chunks::<HALF>();
    // Zeros are in the range anyway, and the byte of 0 stands where there is no value.
    let mut last = [[0.0; HALF]; 2];
    last[0][..rest.len()].copy_from_slice(rest);
    // Minima and maxima give their second operand where the first is NaN.
    let mut low = [_mm256_setzero_ps(); VECTORS];
    let mut high = low;
    for values in whole.iter().chain(&last[..1]) {
        // SAFETY: 32 values.
        let values = unsafe { load(values.as_ptr()) };
        for ((low, high), x) in low.iter_mut().zip(&mut high).zip(values) {
            *low = _mm256_min_ps(x, *low);
            *high = _mm256_max_ps(x, *high);
        }
    }
    let low = _mm256_min_ps(_mm256_min_ps(low[0], low[1]), _mm256_min_ps(low[2], low[3]));
    let high = _mm256_max_ps(_mm256_max_ps(high[0], high[1]), _mm256_max_ps(high[2], high[3]));
    let (mut lows, mut highs) = ([0.0; LANES], [0.0; LANES]);
    // SAFETY: eight values each.
    unsafe {
        _mm256_storeu_ps(lows.as_mut_ptr(), low);
        _mm256_storeu_ps(highs.as_mut_ptr(), high);
    }
    let grid = Grid::of(lows.into_iter().fold(0.0, f32::min), highs.into_iter().fold(0.0, f32::max));
    let (inverse, zero, most) = (_mm256_set1_ps(grid.inverse), _mm256_set1_ps(grid.zero), _mm256_set1_ps(255.0));
    // Packing interleaves four vectors by halves.
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let (tile, lane) = (lane / TILE, lane % TILE);
    let halves = steps.iter_mut().flat_map(|step| step[tile][lane].as_chunks_mut::<HALF>().0);
    for (values, to) in whole.iter().chain(&last).zip(halves) {
        // SAFETY: 32 values.
        let values = unsafe { load(values.as_ptr()) };
        // Saturation is the lower clamp: what is below 0 becomes 0, and so does NaN, which converts to the lowest number.
        let [a, b, c, d] = values.map(|x| {
            let value = _mm256_add_ps(_mm256_mul_ps(x, inverse), zero);
            _mm256_cvtps_epi32(_mm256_min_ps(most, value))
        });
        let bytes = _mm256_packus_epi16(_mm256_packus_epi32(a, b), _mm256_packus_epi32(c, d));
        // SAFETY: 32 bytes of the lane.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), _mm256_permutevar8x32_epi32(bytes, order)) };
    }
    grid.quantized()
}
