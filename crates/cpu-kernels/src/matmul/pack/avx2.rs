//! Tiles of `bf16` pairs and panels of `f32` with AVX2, reading memory in the order in which it lies.

use std::arch::x86_64::*;

use super::{Pairs, Panels, Side, Source};
use crate::matmul::format::{GROUP, TILE};

/// Lanes of a vector.
const WIDE: usize = 8;

/// [`super::portable::pack`].
///
/// # Safety
/// As there; the machine has AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn pack(source: Source, pairs: Pairs, to: *mut u8) {
    let strided = source.k_stride != 1 && source.lane_stride != 1;
    if strided || pairs.planes != 1 {
        // SAFETY: the caller's promises.
        return unsafe { super::portable::pack(source, pairs, to) };
    }
    // SAFETY: each reads what the caller promised and writes the tiles.
    let packed =
        unsafe { if source.k_stride == 1 { along_k(source, pairs, to) } else { along_lanes(source, pairs, to) } };
    if packed == pairs.side {
        return;
    }
    for (tile, _, _) in pairs.tiles() {
        // SAFETY: a tile that has just been written.
        unsafe { transpose_tile(to.add(tile)) };
    }
}

/// Lanes with consecutive `k`: 32 of them become a row of 64 bytes.
///
/// # Safety
/// See [`pack`].
#[target_feature(enable = "avx2")]
unsafe fn along_k(source: Source, pairs: Pairs, to: *mut u8) -> Side {
    for lane in 0..pairs.lanes.next_multiple_of(TILE) {
        let valid = if lane < pairs.lanes { pairs.k } else { 0 };
        let row = source.start.wrapping_add(lane * source.lane_stride);
        for k in (0..pairs.k).step_by(32) {
            // SAFETY: only values of an existing lane are loaded: `load` is told how many there are. The tile belongs to the operand.
            unsafe {
                let to = to.add(pairs.tile(lane, k) + lane % TILE * 64);
                for half in 0..2 {
                    let k = k + 16 * half;
                    if k >= valid {
                        _mm256_store_si256(to.add(32 * half).cast(), _mm256_setzero_si256());
                        continue;
                    }
                    let a = load(row.wrapping_add(k), valid.saturating_sub(k));
                    let b = load(row.wrapping_add(k + WIDE), valid.saturating_sub(k + WIDE));
                    // Packing goes by halves of 128 bits: 0 and 2 are from `a`.
                    let both = _mm256_packus_epi32(round(a), round(b));
                    let both = _mm256_permute4x64_epi64::<0b11_01_10_00>(both);
                    _mm256_store_si256(to.add(32 * half).cast(), both);
                }
            }
        }
    }
    Side::Left
}

/// Inner indices with consecutive lanes: each pair of them becomes rows of 64 bytes.
///
/// # Safety
/// See [`pack`].
#[target_feature(enable = "avx2")]
unsafe fn along_lanes(source: Source, pairs: Pairs, to: *mut u8) -> Side {
    for k in (0..pairs.k.next_multiple_of(32)).step_by(2) {
        let row = source.start.wrapping_add(k * source.k_stride);
        for lane in (0..pairs.lanes.next_multiple_of(TILE)).step_by(WIDE) {
            let lanes = pairs.lanes.saturating_sub(lane);
            // SAFETY: only lanes of existing inner indices are loaded. The tile belongs to the operand.
            unsafe {
                let at = row.wrapping_add(lane);
                let low = round(load(at, if k < pairs.k { lanes } else { 0 }));
                let high = load(at.wrapping_add(source.k_stride), if k + 1 < pairs.k { lanes } else { 0 });
                let both = _mm256_or_si256(low, _mm256_slli_epi32::<16>(round(high)));
                let to = to.add(pairs.tile(lane, k) + k % 32 / 2 * 64 + lane % TILE * 4);
                _mm256_store_si256(to.cast(), both);
            }
        }
    }
    Side::Right
}

/// [`super::portable::panels`] of a source in which lanes or inner indices are consecutive.
///
/// # Safety
/// See [`super::pack_panels`]; the machine has AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn panels(source: Source, panels: Panels, to: *mut f32) {
    for group in 0..panels.lanes.div_ceil(GROUP) {
        for first in (0..GROUP).step_by(WIDE) {
            let lane = group * GROUP + first;
            let source = Source { start: source.start.wrapping_add(lane * source.lane_stride), ..source };
            let panels = Panels { lanes: panels.lanes.saturating_sub(lane), ..panels };
            let to = to.wrapping_add(group * panels.height * GROUP + first);
            // SAFETY: the caller's promises for these lanes, of which `lanes` are left; the columns `first..first + 8` of the group.
            unsafe {
                match (source.k_stride == 1, panels.rounded) {
                    (true, false) => eight_along_k::<false>(source, panels, to),
                    (true, true) => eight_along_k::<true>(source, panels, to),
                    (false, false) => eight_along_lanes::<false>(source, panels, to),
                    (false, true) => eight_along_lanes::<true>(source, panels, to),
                }
            }
        }
    }
}

/// Eight lanes with consecutive `k`, transposed.
///
/// # Safety
/// `source` has `lanes` lanes, `to` room for `k` rows of a group.
#[target_feature(enable = "avx2")]
unsafe fn eight_along_k<const ROUNDED: bool>(source: Source, panels: Panels, to: *mut f32) {
    let Panels { lanes, k, .. } = panels;
    for p in (0..k).step_by(WIDE) {
        let here = WIDE.min(k - p);
        let rows: [__m256; WIDE] = std::array::from_fn(|lane| {
            let row = source.start.wrapping_add(lane * source.lane_stride + p);
            // SAFETY: values that exist.
            unsafe { load(row, if lane < lanes { here } else { 0 }) }
        });
        for (i, row) in transpose(rows).into_iter().take(here).enumerate() {
            // SAFETY: row `p + i` of `k`.
            unsafe { _mm256_store_ps(to.add((p + i) * GROUP), rounded_if::<ROUNDED>(row)) };
        }
    }
}

/// Eight consecutive lanes.
///
/// # Safety
/// As [`eight_along_k`].
#[target_feature(enable = "avx2")]
unsafe fn eight_along_lanes<const ROUNDED: bool>(source: Source, panels: Panels, to: *mut f32) {
    for p in 0..panels.k {
        // SAFETY: values that exist; row `p` of `k`.
        unsafe {
            let values = load(source.start.wrapping_add(p * source.k_stride), panels.lanes);
            _mm256_store_ps(to.add(p * GROUP), rounded_if::<ROUNDED>(values));
        }
    }
}

/// `bf16` values as `f32`.
#[inline]
#[target_feature(enable = "avx2")]
fn rounded_if<const ROUNDED: bool>(x: __m256) -> __m256 {
    if ROUNDED { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(round(x))) } else { x }
}

/// The first `valid` values at `at` (all eight if there are more), then zeros.
///
/// # Safety
/// These values exist; if none do, `at` may be anything.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load(at: *const f32, valid: usize) -> __m256 {
    if valid >= WIDE {
        // SAFETY: eight values exist.
        return unsafe { _mm256_loadu_ps(at) };
    }
    let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    let mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(valid as i32), lane);
    // SAFETY: nothing is read where the mask is empty.
    unsafe { _mm256_maskload_ps(at, mask) }
}

/// To the nearest `bf16`, ties to even, in the lower halves; NaN becomes all ones.
#[inline]
#[target_feature(enable = "avx2")]
fn round(x: __m256) -> __m256i {
    let bits = _mm256_castps_si256(x);
    let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
    let rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    let nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(x, x));
    _mm256_srli_epi32::<16>(_mm256_or_si256(rounded, nan))
}

/// Transposes a tile in place as 16 x 16 values of four bytes: its quarters, of which two change places.
///
/// # Safety
/// A whole tile, which starts on a cache line.
#[target_feature(enable = "avx2")]
unsafe fn transpose_tile(tile: *mut u8) {
    let tile = tile.cast::<f32>();
    let at = |quarter: usize| quarter / 2 * WIDE * TILE + quarter % 2 * WIDE;
    // SAFETY: the four quarters of the tile.
    let quarter =
        |index: usize| transpose(std::array::from_fn(|i| unsafe { _mm256_load_ps(tile.add(at(index) + i * TILE)) }));
    let store = |index: usize, rows: [__m256; WIDE]| {
        for (i, row) in rows.into_iter().enumerate() {
            // SAFETY: as above.
            unsafe { _mm256_store_ps(tile.add(at(index) + i * TILE), row) };
        }
    };
    store(0, quarter(0));
    let upper = quarter(1);
    store(1, quarter(2));
    store(2, upper);
    store(3, quarter(3));
}

/// Transposes 8 x 8 values.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose(rows: [__m256; WIDE]) -> [__m256; WIDE] {
    // Pairs of rows, then fours: each 128-bit half is transposed by itself.
    let pair = |i: usize| (_mm256_unpacklo_ps(rows[i], rows[i + 1]), _mm256_unpackhi_ps(rows[i], rows[i + 1]));
    let four = |i: usize| {
        let ((a, b), (c, d)) = (pair(i), pair(i + 2));
        [
            _mm256_shuffle_ps::<0b01_00_01_00>(a, c),
            _mm256_shuffle_ps::<0b11_10_11_10>(a, c),
            _mm256_shuffle_ps::<0b01_00_01_00>(b, d),
            _mm256_shuffle_ps::<0b11_10_11_10>(b, d),
        ]
    };
    let (upper, lower) = (four(0), four(4));
    std::array::from_fn(|i| match i {
        0..4 => _mm256_permute2f128_ps::<0x20>(upper[i], lower[i]),
        _ => _mm256_permute2f128_ps::<0x31>(upper[i - 4], lower[i - 4]),
    })
}
