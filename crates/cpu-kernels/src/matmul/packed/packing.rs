//! Packing of a whole operand, in pieces that threads share.

use rayon::prelude::*;

use crate::Isa;
use crate::matmul::MatRef;
use crate::matmul::buffer::Buffer;
use crate::matmul::format::{Format, GROUP};
use crate::matmul::pack::{Pairs, Panels, Quantized, Side, Source, pack_pairs, pack_panels, pack_weight_bytes};
#[cfg(target_arch = "aarch64")]
use crate::matmul::pack::{pack_fours, pack_weights_signed};

/// Groups that are packed together: rows of memory are read in pieces of this many lanes.
pub(super) const PIECE: usize = 4;

/// Packing of one whole operand.
#[derive(Clone, Copy)]
pub(in crate::matmul) struct Packing<'a> {
    pub view: MatRef<'a>,
    pub side: Side,
    pub format: Format,
    pub isa: Isa,
    /// Inner indices of the operand that the view is a part of.
    pub height: usize,
    /// Where the view's inner indices begin there; a multiple of the format's step.
    pub skipped: usize,
    /// Whether the operand is used much later.
    pub stream: bool,
}

impl<'a> Packing<'a> {
    /// Packing of a whole operand.
    pub(in crate::matmul) fn whole(view: MatRef<'a>, side: Side, format: Format, isa: Isa) -> Self {
        let height = if side == Side::Left { view.cols() } else { view.rows() };
        Self { view, side, format, isa, height, skipped: 0, stream: false }
    }

    /// Packs all columns.
    ///
    /// # Safety
    /// `to` has room for all groups and nothing else uses it meanwhile; `scales` are those of all lanes where the format is in
    /// bytes.
    pub(in crate::matmul) unsafe fn all(self, to: &Buffer, scales: &mut [Quantized], parallel: bool) {
        let (lanes, k) = self.size();
        let pieces = lanes.div_ceil(PIECE * GROUP);
        let one = |index: usize, scales: &mut [Quantized]| {
            // SAFETY: the values of these lanes exist; every piece is written by one thread.
            unsafe {
                let skipped = self.skipped / self.format.step() * self.format.step_bytes(self.side);
                let groups = index * PIECE * self.format.group_bytes(self.height, self.side);
                self.piece(index, to.start().add(groups + skipped), scales);
            };
        };
        let parallel = parallel && pieces > 1 && lanes * k > 1 << 14;
        match (self.format.in_bytes(), parallel) {
            (true, true) => scales.par_chunks_mut(PIECE * GROUP).enumerate().for_each(|(i, scales)| one(i, scales)),
            (true, false) => scales.chunks_mut(PIECE * GROUP).enumerate().for_each(|(i, scales)| one(i, scales)),
            (false, true) => (0..pieces).into_par_iter().for_each(|i| one(i, &mut [])),
            (false, false) => (0..pieces).for_each(|i| one(i, &mut [])),
        }
    }

    /// Lanes and inner size.
    fn size(&self) -> (usize, usize) {
        match self.side {
            Side::Left => (self.view.rows(), self.view.cols()),
            Side::Right => (self.view.cols(), self.view.rows()),
        }
    }

    /// Packs the lanes of piece `index`, whose groups start at `to`.
    ///
    /// # Safety
    /// There is room for the groups and nothing else uses them meanwhile; in bytes they are zero and there is a scale for each
    /// of the lanes.
    pub(super) unsafe fn piece(self, index: usize, to: *mut u8, scales: &mut [Quantized]) {
        let (lanes, k) = self.size();
        let first = index * PIECE * GROUP;
        let count = (lanes - first).min(PIECE * GROUP);
        let source = source(self.view, self.side, first);
        let steps = self.format.steps(self.height);
        let pairs = |planes| Pairs { steps, stream: self.stream, ..Pairs::new(count, k, planes, self.side) };
        // SAFETY: the lanes exist in the view, the rest is the caller's promise.
        unsafe {
            match self.format {
                Format::Pairs { planes } => {
                    pack_pairs(source, pairs(planes), to, self.isa);
                }
                Format::Halves if self.side == Side::Right => {
                    pack_pairs(source, pairs(1), to, self.isa);
                }
                Format::Panel | Format::Halves => {
                    let height = steps * self.format.step();
                    pack_panels(source, Panels { height, ..Panels::new(count, k, self.format) }, to.cast(), self.isa);
                }
                Format::Quads => {
                    for (group, scales) in scales.chunks_mut(GROUP).enumerate() {
                        let lanes = source.start.wrapping_add(group * GROUP * source.lane_stride);
                        let to = to.add(group * self.format.group_bytes(k, self.side));
                        pack_weight_bytes(Source { start: lanes, ..source }, k, to, scales);
                    }
                }
                #[cfg(target_arch = "aarch64")]
                Format::Signed { together } => {
                    for (group, scales) in scales.chunks_mut(GROUP).enumerate() {
                        let lanes = source.start.wrapping_add(group * GROUP * source.lane_stride);
                        let to = to.add(group * self.format.group_bytes(k, self.side));
                        pack_weights_signed(Source { start: lanes, ..source }, k, to, scales, together);
                    }
                }
                #[cfg(target_arch = "aarch64")]
                Format::Fours => pack_fours(source, count, k, steps, to),
            }
        }
    }
}

/// Values of a view from a lane on.
fn source(view: MatRef<'_>, side: Side, lane: usize) -> Source {
    let (lane_stride, k_stride) = match side {
        Side::Left => (view.row_stride(), view.col_stride()),
        Side::Right => (view.col_stride(), view.row_stride()),
    };
    Source { start: view.data().as_ptr().wrapping_add(lane * lane_stride), lane_stride, k_stride }
}
