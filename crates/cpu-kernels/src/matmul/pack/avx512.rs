//! Tiles of `bf16` pairs with AVX-512.

use std::arch::x86_64::*;

use super::{Side, Source};
use crate::matmul::format::{TILE, TILE_BYTES};

/// [`super::portable::pair_tile`].
///
/// # Safety
/// As there; the machine has AVX-512 F, BW and BF16.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
pub(super) unsafe fn pair_tile(source: Source, lanes: usize, valid: usize, planes: usize, side: Side, to: *mut u8) {
    // SAFETY: the branches read what the caller promised, and write the planes of the tile.
    unsafe {
        let packed = if source.k_stride == 1 {
            along_k(source.start, source.lane_stride, lanes, valid, planes, to);
            Side::Left
        } else if source.lane_stride == 1 {
            along_lanes(source.start, source.k_stride, lanes, valid, planes, to);
            Side::Right
        } else {
            let mut values = [0.0f32; TILE * 32];
            for lane in 0..lanes {
                for k in 0..valid {
                    values[lane * 32 + k] = *source.start.add(lane * source.lane_stride + k * source.k_stride);
                }
            }
            along_k(values.as_ptr(), 32, lanes, valid, planes, to);
            Side::Left
        };
        if packed != side {
            (0..planes).for_each(|plane| transpose(to.add(plane * TILE_BYTES)));
        }
    }
}

/// Lanes with consecutive `k`: each becomes a row of 64 bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
unsafe fn along_k(start: *const f32, stride: usize, lanes: usize, valid: usize, planes: usize, to: *mut u8) {
    let mask = if valid >= 32 { u32::MAX } else { (1u32 << valid) - 1 };
    for lane in 0..TILE {
        let (mut a, mut b) = (_mm512_setzero_ps(), _mm512_setzero_ps());
        if lane < lanes {
            // SAFETY: masked loads touch no more than the `valid` values of an existing lane. `wrapping_add`: the second half
            // may not exist, its mask is empty then.
            unsafe {
                let at = start.add(lane * stride);
                a = _mm512_maskz_loadu_ps(mask as u16, at);
                b = _mm512_maskz_loadu_ps((mask >> 16) as u16, at.wrapping_add(16));
            }
        }
        for plane in 0..planes {
            // The type of packed bf16 has no operations of its own.
            // SAFETY: both types are 64 bytes without invalid values.
            let both = unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(b, a)) };
            // SAFETY: a row of the tile's plane.
            unsafe { _mm512_store_si512(to.add(plane * TILE_BYTES + lane * 64).cast(), both) };
            if plane + 1 < planes {
                let low = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(both));
                let high = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64::<1>(both));
                a = _mm512_sub_ps(a, _mm512_castsi512_ps(_mm512_slli_epi32::<16>(low)));
                b = _mm512_sub_ps(b, _mm512_castsi512_ps(_mm512_slli_epi32::<16>(high)));
            }
        }
    }
}

/// Inner indices with consecutive lanes: each pair of them becomes a row of 64 bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
unsafe fn along_lanes(start: *const f32, stride: usize, lanes: usize, valid: usize, planes: usize, to: *mut u8) {
    let mask = if lanes >= 16 { u16::MAX } else { (1u16 << lanes) - 1 };
    for pair in 0..TILE {
        let load = |k: usize| {
            if k < valid {
                // SAFETY: a masked load touches no more than the existing lanes of an existing index.
                unsafe { _mm512_maskz_loadu_ps(mask, start.add(k * stride)) }
            } else {
                _mm512_setzero_ps()
            }
        };
        let (mut a, mut b) = (load(2 * pair), load(2 * pair + 1));
        for plane in 0..planes {
            // SAFETY: both types are 32 bytes without invalid values.
            let low = unsafe { std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(a)) };
            // SAFETY: as above.
            let high = unsafe { std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(b)) };
            let low = _mm512_cvtepu16_epi32(low);
            let high = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(high));
            // SAFETY: a row of the tile's plane.
            unsafe {
                _mm512_store_si512(to.add(plane * TILE_BYTES + pair * 64).cast(), _mm512_or_si512(low, high));
            }
            if plane + 1 < planes {
                a = _mm512_sub_ps(a, _mm512_castsi512_ps(_mm512_slli_epi32::<16>(low)));
                b = _mm512_sub_ps(b, _mm512_castsi512_ps(high));
            }
        }
    }
}

/// Transposes a tile in place as 16 x 16 values of four bytes.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn transpose(tile: *mut u8) {
    // SAFETY: the caller gives a whole tile, which starts on a cache line.
    let rows: [__m512i; 16] = std::array::from_fn(|i| unsafe { _mm512_load_si512(tile.add(i * 64).cast()) });
    // Pairs of rows, then fours: each 128-bit part is transposed by itself.
    let mut pairs = rows;
    for i in 0..8 {
        pairs[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
        pairs[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
    }
    let mut fours = pairs;
    for i in 0..4 {
        fours[4 * i] = _mm512_unpacklo_epi64(pairs[4 * i], pairs[4 * i + 2]);
        fours[4 * i + 1] = _mm512_unpackhi_epi64(pairs[4 * i], pairs[4 * i + 2]);
        fours[4 * i + 2] = _mm512_unpacklo_epi64(pairs[4 * i + 1], pairs[4 * i + 3]);
        fours[4 * i + 3] = _mm512_unpackhi_epi64(pairs[4 * i + 1], pairs[4 * i + 3]);
    }
    // Then the 128-bit parts among each other.
    for c in 0..4 {
        let (a, b, e, f) = (fours[c], fours[4 + c], fours[8 + c], fours[12 + c]);
        let ab_even = _mm512_shuffle_i32x4::<0b10_00_10_00>(a, b);
        let ab_odd = _mm512_shuffle_i32x4::<0b11_01_11_01>(a, b);
        let ef_even = _mm512_shuffle_i32x4::<0b10_00_10_00>(e, f);
        let ef_odd = _mm512_shuffle_i32x4::<0b11_01_11_01>(e, f);
        let out = [
            _mm512_shuffle_i32x4::<0b10_00_10_00>(ab_even, ef_even),
            _mm512_shuffle_i32x4::<0b10_00_10_00>(ab_odd, ef_odd),
            _mm512_shuffle_i32x4::<0b11_01_11_01>(ab_even, ef_even),
            _mm512_shuffle_i32x4::<0b11_01_11_01>(ab_odd, ef_odd),
        ];
        for (part, row) in out.into_iter().enumerate() {
            // SAFETY: row `4 part + c` of the tile.
            unsafe { _mm512_store_si512(tile.add((4 * part + c) * 64).cast(), row) };
        }
    }
}
