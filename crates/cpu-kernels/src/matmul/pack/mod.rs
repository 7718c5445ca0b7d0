//! From strided `f32` to the packed formats.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod bytes;
mod portable;

pub(crate) use bytes::{Quantised, pack_row_bytes, pack_weight_bytes};

use super::format::{GROUP, TILE, TILE_BYTES};
use crate::Isa;

/// Where the values of one operand are: lane `i` at inner index `p` is `start[i * lane_stride + p * k_stride]`.
/// Lanes are rows of the left operand, columns of the right one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub start: *const f32,
    pub lane_stride: usize,
    pub k_stride: usize,
}

impl Source {
    /// The same values from lane `lane` and inner index `k` on.
    ///
    /// # Safety
    /// That value exists.
    unsafe fn at(self, lane: usize, k: usize) -> Self {
        // SAFETY: the caller promises that the offset is inside the values.
        Self { start: unsafe { self.start.add(lane * self.lane_stride + k * self.k_stride) }, ..self }
    }
}

/// Which operand a tile belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Lanes are rows of 64 bytes.
    Left,
    /// Lanes are columns.
    Right,
}

/// Packs the inner indices `k_from..k_to` of up to 32 lanes of one group in [`super::format::Format::Pairs`].
///
/// # Safety
/// `source` has `lanes` lanes with all these indices; `to` has room for the group's steps of that range.
pub(crate) unsafe fn pack_pairs(
    source: Source,
    lanes: usize,
    (k_from, k_to): (usize, usize),
    planes: usize,
    side: Side,
    to: *mut u8,
    isa: Isa,
) {
    let tiles = lanes.div_ceil(TILE);
    let mut to = to;
    for k in (k_from..k_to).step_by(32) {
        let valid = (k_to - k).min(32);
        for tile in 0..tiles {
            let lanes = (lanes - tile * TILE).min(TILE);
            // SAFETY: the first value of the tile exists, the caller gives room for all tiles of the step.
            unsafe {
                let source = source.at(tile * TILE, k);
                let to = to.add(tile * planes * TILE_BYTES);
                match isa {
                    #[cfg(target_arch = "x86_64")]
                    Isa::Amx | Isa::Avx512 => avx512::pair_tile(source, lanes, valid, planes, side, to),
                    _ => portable::pair_tile(source, lanes, valid, planes, side, to),
                }
            }
        }
        // SAFETY: at most one step beyond the last tile written.
        to = unsafe { to.add(2 * planes * TILE_BYTES) };
    }
}

/// Packs up to 32 lanes of one group in [`super::format::Format::Panel`]: `[k][32]`, absent lanes as zeros.
///
/// # Safety
/// `source` has `lanes` lanes of `k` values, `to` room for `32 k` values.
pub(crate) unsafe fn pack_panel(source: Source, lanes: usize, k: usize, to: *mut f32) {
    for p in 0..k {
        for lane in 0..GROUP {
            // SAFETY: lane and index are below what the caller promised; absent lanes are not read.
            unsafe {
                let value =
                    if lane < lanes { *source.start.add(lane * source.lane_stride + p * source.k_stride) } else { 0.0 };
                *to.add(p * GROUP + lane) = value;
            }
        }
    }
}
