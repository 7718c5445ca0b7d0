//! One block of a product: up to 32 x 32 sums over `k`, from two packed groups.
//!
//! Every kernel fills the same 32 x 32 buffer, rows one after the other. Rows and columns beyond those asked for may hold anything.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod matrix;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;
#[cfg(test)]
mod tests;

use super::format::{Format, GROUP, TILE};
use super::pack::Side;
use crate::Isa;

/// 32 x 32 sums.
#[repr(C, align(64))]
pub(crate) struct Block(pub [f32; GROUP * GROUP]);

impl Block {
    pub(crate) fn new() -> Self {
        Self([0.0; GROUP * GROUP])
    }
}

/// A block to compute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    /// Packed rows, from the first step on.
    pub left: *const u8,
    /// Packed columns, from the first step on.
    pub right: *const u8,
    /// Steps of `k`.
    pub steps: usize,
    /// Values of `k` in these steps; what is left of the last step is zeros in one of the operands.
    pub k: usize,
    /// Rows wanted, 1 to 32.
    pub rows: usize,
    /// Columns wanted, 1 to 32.
    pub cols: usize,
    /// What to bring closer meanwhile: the columns that come next, from a place that depends on the rows. Not read; any address will do.
    pub next: *const u8,
    /// How much of it in a step, in bytes: what [`ahead`] says, or nothing.
    pub ahead: usize,
    /// Adds to the block instead of replacing it; only where [`steps_in_cache`] allows parts.
    pub more: bool,
}

impl Job {
    /// Tiles of 16 rows and 16 columns that hold what is wanted.
    fn tiles(&self) -> (usize, usize) {
        (self.rows.div_ceil(TILE), self.cols.div_ceil(TILE))
    }
}

/// Prepares the calling thread for [`run`]; [`end`] undoes it.
pub(crate) fn begin(isa: Isa) {
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Amx {
        // SAFETY: `Isa::Amx` exists only after the processor and the system have been asked.
        unsafe { amx::configure() };
    }
    let _ = isa;
}

/// Gives back what [`begin`] took.
pub(crate) fn end(isa: Isa) {
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Amx {
        // SAFETY: as in `begin`.
        unsafe { amx::release() };
    }
    let _ = isa;
}

/// Steps of `k` that are multiplied at a time; the sums of more steps are added up in the block.
///
/// A tile instruction takes as long as loading two tiles from the second-level cache. So the columns' part is short enough to stay in the
/// first-level cache beside the rows that stream through it: 18 KiB of 48. Products of three planes compute long enough. Vectors read
/// both operands several times for one block: 32 KiB of `f32`, 24 KiB of `bf16`. On aarch64, where first-level caches have 32 KiB (Cortex-A53,
/// A72) and more, all formats have 24 KiB.
pub(crate) fn steps_in_cache(format: Format, isa: Isa) -> usize {
    match (format, isa) {
        (Format::Pairs { planes: 1 } | Format::Quads, Isa::Amx) => 9,
        (Format::Panel, Isa::Avx2 | Isa::Avx512) => 128,
        (Format::Panel, Isa::Neon | Isa::Dotprod | Isa::I8mm) => 96,
        #[cfg(target_arch = "aarch64")]
        (Format::Fours | Format::Signed { .. }, _) => 6,
        (Format::Halves, _) => 4,
        (Format::Quads, Isa::Avx2 | Isa::Avx512) => 9,
        (Format::Panel, _) if cfg!(all(target_arch = "wasm32", target_feature = "simd128")) => 128,
        _ => usize::MAX,
    }
}

/// Bytes of [`Job::next`] that a step brings closer, where a group of columns is multiplied with `rows` rows.
///
/// Tiles: enough for the next columns after two groups of rows. Vectors: the share of a group of rows; where a step takes long enough, in whole
/// lines for each eight rows.
pub(crate) fn ahead(format: Format, isa: Isa, rows: usize) -> usize {
    let share = format.step_bytes(Side::Right).div_ceil(rows.div_ceil(GROUP).max(1));
    match (format, isa) {
        (Format::Pairs { planes: 1 } | Format::Quads, Isa::Amx) => 1024,
        (Format::Pairs { .. }, Isa::Amx) => 1536,
        (Format::Pairs { .. } | Format::Quads, Isa::Avx512) => {
            share.next_multiple_of(64 * rows.min(GROUP).div_ceil(8).max(1))
        }
        // A whole line in eight steps.
        (Format::Panel, Isa::Avx512) => share.next_multiple_of(8 * rows.min(GROUP).div_ceil(8).max(1)),
        (_, Isa::Avx512 | Isa::Avx2) => share,
        _ => 0,
    }
}

/// Bytes of a line of the cache.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;
/// Lines that are brought closer at once.
#[cfg(target_arch = "x86_64")]
const MOST_AT_ONCE: usize = 16;

#[cfg(target_arch = "x86_64")]
impl Job {
    /// Brings part `index` of `count` of what is due for this block closer, all at once. Does nothing where it is more than a core can wait for
    /// without standing still.
    #[inline]
    fn bring_part(&self, index: usize, count: usize) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};

        let lines = (self.steps * self.ahead).div_ceil(LINE);
        if lines > MOST_AT_ONCE * count {
            return;
        }
        for line in index * lines / count..(index + 1) * lines / count {
            // SAFETY: an instruction of every x86-64, which reads nothing: any address will do.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(self.next.wrapping_add(line * LINE).cast()) };
        }
    }
}

/// Computes a block: `f32` sums, or for [formats in bytes](Format::in_bytes) `i32` sums as bits.
///
/// # Safety
/// Both groups are packed in `format` with at least `steps` steps; `isa` is available and [`begin`] was called on this thread.
pub(crate) unsafe fn run(format: Format, isa: Isa, job: Job, block: &mut Block) {
    if job.steps == 0 {
        if !job.more {
            block.0.fill(0.0);
        }
        return;
    }
    // SAFETY: the caller's promise is the one each kernel asks for.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        match (format, isa) {
            (Format::Pairs { planes: 1 }, Isa::Amx) => return amx::pairs(job, block),
            (Format::Pairs { .. }, Isa::Amx) => return amx::split_pairs(job, block),
            (Format::Quads, Isa::Amx) => return amx::quads(job, block),
            (Format::Pairs { .. }, Isa::Avx512) => return avx512::pairs(job, block),
            (Format::Halves, Isa::Avx512) => return avx512::halves(job, block),
            (Format::Quads, Isa::Avx512) => return avx512::quads(job, block),
            (Format::Panel, Isa::Avx512 | Isa::Amx) => return avx512::panel(job, block),
            (Format::Halves, Isa::Avx2) => return avx2::halves(job, block),
            (Format::Quads, Isa::Avx2) => return avx2::quads(job, block),
            (Format::Panel, Isa::Avx2) => return avx2::panel(job, block),
            _ => {}
        }
        #[cfg(target_arch = "aarch64")]
        match (format, isa) {
            (Format::Fours, _) => return matrix::fours(job, block),
            (Format::Signed { together: 8 }, _) => return matrix::octs(job, block),
            (Format::Signed { .. }, Isa::Neon) => return neon::quads_in_words(job, block),
            (Format::Signed { .. }, _) => return neon::quads(job, block),
            (Format::Panel, Isa::Neon | Isa::Dotprod | Isa::I8mm) => return neon::panel(job, block),
            (Format::Halves, _) => return neon::halves(job, block),
            _ => {}
        }
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        match format {
            Format::Panel => return simd128::panel(job, block),
            Format::Pairs { .. } => return simd128::pairs(job, block),
            Format::Quads => return simd128::quads(job, block),
            _ => {}
        }
        match format {
            Format::Pairs { .. } => portable::pairs(job, block),
            Format::Halves => portable::halves(job, block),
            Format::Quads => portable::quads(job, block),
            Format::Panel => portable::panel(job, block),
            #[cfg(target_arch = "aarch64")]
            Format::Fours | Format::Signed { .. } => unreachable!("computed above"),
        }
    }
}
