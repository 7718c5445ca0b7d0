//! The specification of packed tiles.

use super::{Side, Source};
use crate::matmul::format::{TILE, TILE_BYTES};

/// Rounds to the nearest, ties to even; NaN stays NaN.
fn to_bf16(x: f32) -> u16 {
    if x.is_nan() {
        return 0x7fc0;
    }
    let bits = x.to_bits();
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// One tile: 16 lanes, 32 values of `k`, in `planes` planes; what is absent is zero.
///
/// # Safety
/// `source` has `lanes` lanes with `valid` values, `to` room for the planes.
pub(super) unsafe fn pair_tile(source: Source, lanes: usize, valid: usize, planes: usize, side: Side, to: *mut u8) {
    let to = to.cast::<u16>();
    for lane in 0..TILE {
        for k in 0..32 {
            let mut rest = 0.0;
            if lane < lanes && k < valid {
                // SAFETY: inside what the caller promised.
                rest = unsafe { *source.start.add(lane * source.lane_stride + k * source.k_stride) };
            }
            let place = match side {
                Side::Left => lane * 32 + k,
                Side::Right => (k / 2) * 32 + lane * 2 + k % 2,
            };
            for plane in 0..planes {
                let part = to_bf16(rest);
                rest -= f32::from_bits(u32::from(part) << 16);
                // SAFETY: `place` is below 512, the values of a tile.
                unsafe { *to.add(plane * TILE_BYTES / 2 + place) = part };
            }
        }
    }
}
