//! Tiles of `bf16` pairs with AVX-512.

use std::arch::x86_64::*;

use super::{Pairs, Side, Source};
use crate::matmul::format::{TILE, TILE_BYTES};

/// [`super::portable::pack`], reading memory in the order in which it lies.
///
/// # Safety
/// As there; the machine has AVX-512 F, BW and BF16.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
pub(super) unsafe fn pack(source: Source, pairs: Pairs, to: *mut u8) {
    if source.k_stride != 1 && source.lane_stride != 1 {
        // SAFETY: the caller's promises.
        return unsafe { super::portable::pack(source, pairs, to) };
    }
    if source.k_stride != 1 && pairs.side == Side::Left && pairs.planes == 1 {
        // SAFETY: the caller's promises.
        return unsafe { across(source, pairs, to) };
    }
    // SAFETY: each reads what the caller promised and writes the planes of the tiles.
    let packed = unsafe {
        match (source.k_stride == 1, pairs.planes) {
            (true, 1) => along_k::<1>(source, pairs, to),
            (true, _) => along_k::<3>(source, pairs, to),
            (false, 1) => along_lanes::<1>(source, pairs, to),
            (false, _) => along_lanes::<3>(source, pairs, to),
        }
    };
    if packed == pairs.side {
        return;
    }
    for (tile, _, _) in pairs.tiles() {
        // SAFETY: planes that have just been written.
        (0..pairs.planes).for_each(|plane| unsafe { transpose(to.add(tile + plane * TILE_BYTES)) });
    }
}

/// Lanes with consecutive `k`: 32 of them become a row of 64 bytes.
///
/// # Safety
/// See [`pack`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
unsafe fn along_k<const PLANES: usize>(source: Source, pairs: Pairs, to: *mut u8) -> Side {
    for lane in 0..pairs.lanes.next_multiple_of(TILE) {
        let exists = lane < pairs.lanes;
        let row = source.start.wrapping_add(lane * source.lane_stride);
        for k in (0..pairs.k).step_by(32) {
            let valid = if exists { pairs.k - k } else { 0 };
            let mask = if valid >= 32 { u32::MAX } else { (1u32 << valid) - 1 };
            // SAFETY: masked loads touch no more than the values of an existing lane. `wrapping_add`: the second half may not
            // exist, its mask is empty then. The tile belongs to the operand.
            unsafe {
                let at = row.wrapping_add(k);
                let mut a = _mm512_maskz_loadu_ps(mask as u16, at);
                let mut b = _mm512_maskz_loadu_ps((mask >> 16) as u16, at.wrapping_add(16));
                let to = to.add(pairs.tile(lane, k) + lane % TILE * 64);
                for plane in 0..PLANES {
                    // The type of packed bf16 has no operations of its own.
                    let both = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(b, a));
                    _mm512_store_si512(to.add(plane * TILE_BYTES).cast(), both);
                    if plane + 1 < PLANES {
                        let low = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(both));
                        let high = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64::<1>(both));
                        a = _mm512_sub_ps(a, _mm512_castsi512_ps(_mm512_slli_epi32::<16>(low)));
                        b = _mm512_sub_ps(b, _mm512_castsi512_ps(_mm512_slli_epi32::<16>(high)));
                    }
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
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
unsafe fn along_lanes<const PLANES: usize>(source: Source, pairs: Pairs, to: *mut u8) -> Side {
    for k in (0..pairs.k.next_multiple_of(32)).step_by(2) {
        let row = source.start.wrapping_add(k * source.k_stride);
        for lane in (0..pairs.lanes).step_by(TILE) {
            let lanes = pairs.lanes - lane;
            let mask = if lanes >= TILE { u16::MAX } else { (1u16 << lanes) - 1 };
            // Inner indices beyond the last are zero.
            let masks = [if k < pairs.k { mask } else { 0 }, if k + 1 < pairs.k { mask } else { 0 }];
            // SAFETY: masked loads touch no more than the lanes of existing inner indices. The tile belongs to the operand.
            unsafe {
                let at = row.wrapping_add(lane);
                let mut a = _mm512_maskz_loadu_ps(masks[0], at);
                let mut b = _mm512_maskz_loadu_ps(masks[1], at.wrapping_add(source.k_stride));
                let to = to.add(pairs.tile(lane, k) + k % 32 / 2 * 64);
                for plane in 0..PLANES {
                    let low = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(a));
                    let high = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(b));
                    let low = _mm512_cvtepu16_epi32(low);
                    let high = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(high));
                    _mm512_store_si512(to.add(plane * TILE_BYTES).cast(), _mm512_or_si512(low, high));
                    if plane + 1 < PLANES {
                        a = _mm512_sub_ps(a, _mm512_castsi512_ps(_mm512_slli_epi32::<16>(low)));
                        b = _mm512_sub_ps(b, _mm512_castsi512_ps(high));
                    }
                }
            }
        }
    }
    Side::Right
}

/// [`along_lanes`] for the left operand, in one plane: a tile is transposed before it is written.
///
/// # Safety
/// See [`pack`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
unsafe fn across(source: Source, pairs: Pairs, to: *mut u8) {
    for k in (0..pairs.k).step_by(32) {
        for lane in (0..pairs.lanes).step_by(TILE) {
            let lanes = pairs.lanes - lane;
            let mask = if lanes >= TILE { u16::MAX } else { (1u16 << lanes) - 1 };
            let row = |k: usize| {
                // Inner indices beyond the last are zero.
                let mask = if k < pairs.k { mask } else { 0 };
                let at = source.start.wrapping_add(k * source.k_stride + lane);
                // SAFETY: masked loads touch no more than the lanes of existing inner indices.
                let values = unsafe { _mm512_maskz_loadu_ps(mask, at) };
                // SAFETY: both are 256 bits; the type of packed bf16 has no operations of its own.
                unsafe { std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(values)) }
            };
            let rows: [__m512i; 16] = std::array::from_fn(|i| {
                let low = _mm512_cvtepu16_epi32(row(k + 2 * i));
                let high = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(row(k + 2 * i + 1)));
                _mm512_or_si512(low, high)
            });
            // SAFETY: the tile belongs to the operand.
            unsafe { transposed(rows, to.add(pairs.tile(lane, k)), pairs.stream) };
        }
    }
    if pairs.stream {
        // Such stores are not ordered with others; whoever learns that they are done may read.
        _mm_sfence();
    }
}

/// Transposes a tile in place as 16 x 16 values of four bytes.
///
/// # Safety
/// A whole tile, which starts on a cache line.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn transpose(tile: *mut u8) {
    // SAFETY: the rows of the tile that the caller promises.
    let rows = std::array::from_fn(|i| unsafe { _mm512_load_si512(tile.add(i * 64).cast()) });
    // SAFETY: as above.
    unsafe { transposed(rows, tile, false) };
}

/// Writes the transposed of 16 x 16 values of four bytes, past the cache if `stream`.
///
/// # Safety
/// There is room for a whole tile, which starts on a cache line.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn transposed(rows: [__m512i; 16], tile: *mut u8, stream: bool) {
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
            unsafe {
                let to = tile.add((4 * part + c) * 64).cast();
                if stream { _mm512_stream_si512(to, row) } else { _mm512_store_si512(to, row) }
            }
        }
    }
}
