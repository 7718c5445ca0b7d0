//! From strided `f32` to the packed formats.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod bytes;
#[cfg(target_arch = "x86_64")]
mod bytes_avx2;
#[cfg(target_arch = "x86_64")]
mod bytes_avx512;
#[cfg(target_arch = "x86_64")]
mod exponentials;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(test)]
mod tests;

pub(crate) use bytes::{Quantized, pack_row_bytes, pack_weight_bytes};
#[cfg(target_arch = "aarch64")]
pub(crate) use bytes::{pack_row_signed, pack_weights_signed};
#[cfg(target_arch = "x86_64")]
pub(crate) use exponentials::pack_exponentials;
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::pack_fours;

use super::format::{Format, GROUP, TILE, TILE_BYTES};
use crate::Isa;

/// Where the values of one operand are: lane `i` at inner index `p` is `start[i * lane_stride + p * k_stride]`.
/// Lanes are rows of the left operand, columns of the right one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub start: *const f32,
    pub lane_stride: usize,
    pub k_stride: usize,
}

/// Inner indices of a tile.
const STEP: usize = 32;

/// Which operand a tile belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Lanes are rows of 64 bytes.
    Left,
    /// Lanes are columns.
    Right,
}

/// An operand in [`super::format::Format::Pairs`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pairs {
    /// Lanes, in consecutive groups.
    pub lanes: usize,
    /// Inner size.
    pub k: usize,
    /// Steps of the inner dimension that a group has room for.
    pub steps: usize,
    /// Planes of a tile.
    pub planes: usize,
    /// Which operand it is.
    pub side: Side,
    /// Whether tiles are better written past the cache, where that can be done.
    pub stream: bool,
}

impl Pairs {
    /// An operand whose groups have room for its inner indices and no more.
    pub(crate) fn new(lanes: usize, k: usize, planes: usize, side: Side) -> Self {
        Self { lanes, k, steps: k.div_ceil(32), planes, side, stream: false }
    }

    /// Offset of the tile of lane `lane` and inner index `k`.
    #[inline(always)]
    fn tile(&self, lane: usize, k: usize) -> usize {
        let (group, tile) = (lane / GROUP, lane % GROUP / TILE);
        let step = group * self.steps + k / 32;
        (step * 2 + tile) * self.planes * TILE_BYTES
    }

    /// Offsets of all tiles that hold lanes, each with its first lane and inner index.
    fn tiles(self) -> impl Iterator<Item = (usize, usize, usize)> {
        let lanes = (0..self.lanes).step_by(TILE);
        lanes.flat_map(move |lane| (0..self.k).step_by(32).map(move |k| (self.tile(lane, k), lane, k)))
    }
}

/// Packs lanes with all their inner indices; tiles without lanes are left alone.
///
/// # Safety
/// `source` has these lanes and inner indices; `to` has room for the groups; `isa` is available.
pub(crate) unsafe fn pack_pairs(source: Source, pairs: Pairs, to: *mut u8, isa: Isa) {
    // SAFETY: the caller's promises.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx | Isa::Avx512 => avx512::pack(source, pairs, to),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2::pack(source, pairs, to),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon | Isa::Dotprod | Isa::I8mm => neon::pack(source, pairs, to),
            _ => portable::pack(source, pairs, to),
        }
    }
}

/// An operand in lanes of `f32`: `[height][32]` in every group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panels {
    /// Lanes, in consecutive groups.
    pub lanes: usize,
    /// Inner size.
    pub k: usize,
    /// Inner indices that a group has room for.
    pub height: usize,
    /// Whether values are rounded to `bf16`. The other operand of such products has whole tiles: zeros follow up to their end.
    pub rounded: bool,
}

impl Panels {
    pub(crate) fn new(lanes: usize, k: usize, format: Format) -> Self {
        Self { lanes, k, height: format.steps(k) * format.step(), rounded: format == Format::Halves }
    }
}

/// Packs lanes in groups of [`Format::Panel`], or the rows of [`Format::Halves`]; absent lanes are zeros.
///
/// # Safety
/// `source` has these lanes and inner indices, `to` room for the groups, from a multiple of 32 bytes on; `isa` is available.
pub(crate) unsafe fn pack_panels(source: Source, panels: Panels, to: *mut f32, isa: Isa) {
    // SAFETY: the caller's promises; the height of rounded panels is whole steps.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx | Isa::Avx512 | Isa::Avx2 if source.k_stride == 1 || source.lane_stride == 1 => {
                avx2::panels(source, panels, to);
            }
            #[cfg(target_arch = "aarch64")]
            Isa::Neon | Isa::Dotprod | Isa::I8mm => neon::panels(source, panels, to),
            _ => portable::panels(source, panels, to),
        }
        let rows = if panels.rounded { panels.k.next_multiple_of(STEP) - panels.k } else { 0 };
        for group in 0..panels.lanes.div_ceil(GROUP) {
            to.add((group * panels.height + panels.k) * GROUP).write_bytes(0, rows * GROUP);
        }
    }
}
