//! The specification of packed tiles, 16 lanes and 32 inner indices in planes, and of panels; what is absent is zero.

use super::{Pairs, Panels, Side, Source};
use crate::matmul::format::{GROUP, TILE, TILE_BYTES};

/// Rounds to the nearest, ties to even; NaN stays NaN, whose bits are then all ones: what costs vectors least.
fn to_bf16(x: f32) -> u16 {
    if x.is_nan() {
        return 0xffff;
    }
    let bits = x.to_bits();
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// Packs columns in pairs of `bf16`.
///
/// # Safety
/// See [`super::pack_pairs`].
pub(super) unsafe fn pack(source: Source, pairs: Pairs, to: *mut u8) {
    for (tile, first_lane, first_k) in pairs.tiles() {
        for (lane, k) in (0..TILE).flat_map(|lane| (0..32).map(move |k| (lane, k))) {
            let (row, column) = (first_lane + lane, first_k + k);
            let mut rest = 0.0;
            if row < pairs.lanes && column < pairs.k {
                // SAFETY: inside what the caller promised.
                rest = unsafe { *source.start.add(row * source.lane_stride + column * source.k_stride) };
            }
            let place = match pairs.side {
                Side::Left => lane * 32 + k,
                Side::Right => (k / 2) * 32 + lane * 2 + k % 2,
            };
            for plane in 0..pairs.planes {
                let part = to_bf16(rest);
                rest -= f32::from_bits(u32::from(part) << 16);
                // SAFETY: `place` is below 512, the values of a tile.
                unsafe { *to.add(tile + plane * TILE_BYTES).cast::<u16>().add(place) = part };
            }
        }
    }
}

/// Packs columns in panels of `f32`.
///
/// # Safety
/// See [`super::pack_panels`].
pub(super) unsafe fn panels(source: Source, panels: Panels, to: *mut f32) {
    let Panels { lanes, k, height, rounded } = panels;
    for group in 0..lanes.div_ceil(GROUP) {
        for (p, lane) in (0..k).flat_map(|p| (0..GROUP).map(move |lane| (p, lane))) {
            let row = group * GROUP + lane;
            // SAFETY: lane and index are below what the caller promised; absent lanes are not read.
            unsafe {
                let value =
                    if row < lanes { *source.start.add(row * source.lane_stride + p * source.k_stride) } else { 0.0 };
                let value = if rounded { f32::from_bits(u32::from(to_bf16(value)) << 16) } else { value };
                *to.add((group * height + p) * GROUP + lane) = value;
            }
        }
    }
}
