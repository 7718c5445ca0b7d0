//! One block of a product: up to 32 x 32 sums over `k`, from two packed groups.
//!
//! Every kernel fills the same 32 x 32 buffer, rows one after the other. Rows and columns beyond those asked for may hold anything.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use super::format::{Format, GROUP, TILE};
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
    /// Rows wanted, 1 to 32.
    pub rows: usize,
    /// Columns wanted, 1 to 32.
    pub cols: usize,
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
/// first-level cache beside the rows that stream through it: 18 KiB of 48. Products of three planes compute long enough.
pub(crate) fn steps_in_cache(format: Format, isa: Isa) -> usize {
    match (format, isa) {
        (Format::Pairs { planes: 1 } | Format::Quads, Isa::Amx) => 9,
        _ => usize::MAX,
    }
}

/// Computes a block: `f32` sums, or for [`Format::Quads`] `i32` sums as bits.
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
        match (format, isa) {
            #[cfg(target_arch = "x86_64")]
            (Format::Pairs { planes: 1 }, Isa::Amx) => amx::pairs(job, block),
            #[cfg(target_arch = "x86_64")]
            (Format::Pairs { .. }, Isa::Amx) => amx::split_pairs(job, block),
            #[cfg(target_arch = "x86_64")]
            (Format::Quads, Isa::Amx) => amx::quads(job, block),
            #[cfg(target_arch = "x86_64")]
            (Format::Pairs { .. }, Isa::Avx512) => avx512::pairs(job, block),
            #[cfg(target_arch = "x86_64")]
            (Format::Quads, Isa::Avx512) => avx512::quads(job, block),
            #[cfg(target_arch = "x86_64")]
            (Format::Panel, Isa::Avx512 | Isa::Amx) => avx512::panel(job, block),
            #[cfg(target_arch = "x86_64")]
            (Format::Pairs { .. }, Isa::Avx2) => avx2::pairs(job, block),
            #[cfg(target_arch = "x86_64")]
            (Format::Quads, Isa::Avx2) => avx2::quads(job, block),
            #[cfg(target_arch = "x86_64")]
            (Format::Panel, Isa::Avx2) => avx2::panel(job, block),
            (Format::Pairs { .. }, _) => portable::pairs(job, block),
            (Format::Quads, _) => portable::quads(job, block),
            (Format::Panel, _) => portable::panel(job, block),
        }
    }
}
