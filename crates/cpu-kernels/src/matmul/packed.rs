//! Packed operands.

use std::ops::Range;

use rayon::prelude::*;

use super::buffer::Buffer;
use super::format::{Format, GROUP};
use super::pack::{Pairs, Quantised, Side, Source, pack_pairs, pack_panels, pack_row_bytes, pack_weight_bytes};
use super::{MatRef, Precision};
use crate::Isa;

/// The right operand of products, packed once.
#[derive(Debug)]
pub struct Weights {
    pub(super) packed: Buffer,
    pub(super) quantised: Vec<Quantised>,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) precision: Precision,
    pub(super) isa: Isa,
}

impl Weights {
    /// Packs `b` with all threads of the current pool.
    ///
    /// # Shapes
    /// `b [inputs, outputs]`, with any strides: PyTorch's `[outputs, inputs]` is passed as `.t()`.
    pub fn pack(b: MatRef<'_>, precision: Precision) -> Self {
        let mut weights = Self::empty();
        weights.repack(b, precision, true);
        weights
    }

    /// Without an operand and memory yet; see [`Weights::repack`].
    pub fn empty() -> Self {
        Self {
            packed: Buffer::new(0),
            quantised: Vec::new(),
            inputs: 0,
            outputs: 0,
            precision: Precision::F32,
            isa: Isa::current(),
        }
    }

    /// Packs another operand into the same memory, with all threads of the current pool if `parallel`. Memory grows and never
    /// shrinks, but for [`Precision::Int8`].
    ///
    /// # Shapes
    /// As [`Weights::pack`].
    pub fn repack(&mut self, b: MatRef<'_>, precision: Precision, parallel: bool) {
        (self.inputs, self.outputs) = (b.rows(), b.cols());
        (self.precision, self.isa) = (precision, Isa::current());
        self.fill(b, parallel);
    }

    fn fill(&mut self, b: MatRef<'_>, parallel: bool) {
        let (format, groups) = (self.format(), self.outputs.div_ceil(GROUP));
        let bytes = format.group_bytes(self.inputs);
        if format == Format::Quads {
            // Absent values of the byte format are not written, so they have to be zero already.
            self.packed = Buffer::new(bytes * groups);
            self.quantised = vec![Quantised::default(); self.outputs];
            self.quantised.chunks_mut(GROUP).enumerate().for_each(|(group, scales)| {
                // SAFETY: each group is written once, and its lanes exist.
                unsafe {
                    let source = source(b, Side::Right, group * GROUP);
                    pack_weight_bytes(source, self.inputs, self.packed.start().add(group * bytes), scales);
                }
            });
            return;
        }
        self.packed.reserve(bytes * groups);
        let job = Packing { view: b, side: Side::Right, format, isa: self.isa };
        // SAFETY: the buffer holds all groups, which are divided among the threads.
        unsafe { job.all(&self.packed, parallel) };
    }

    pub(super) fn format(&self) -> Format {
        Format::new(self.precision, self.isa)
    }

    /// Length of the rows that can be multiplied.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Columns of the product.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Number format.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.packed.bytes() + self.quantised.len() * size_of::<Quantised>()
    }
}

/// Groups that are packed together: rows of memory are read in pieces of this many lanes.
const PIECE: usize = 4;

/// Packing of one whole operand.
#[derive(Clone, Copy)]
struct Packing<'a> {
    view: MatRef<'a>,
    side: Side,
    format: Format,
    isa: Isa,
}

impl Packing<'_> {
    /// # Safety
    /// `to` has room for all groups and nothing else uses it meanwhile.
    unsafe fn all(self, to: &Buffer, parallel: bool) {
        let (lanes, k) = match self.side {
            Side::Left => (self.view.rows(), self.view.cols()),
            Side::Right => (self.view.cols(), self.view.rows()),
        };
        let (groups, group_bytes) = (lanes.div_ceil(GROUP), self.format.group_bytes(k));
        let one = |index: usize| {
            let first = index * PIECE;
            let count = (lanes - first * GROUP).min(PIECE * GROUP);
            // SAFETY: the values of these lanes exist; every piece is written by one thread.
            unsafe {
                let source = source(self.view, self.side, first * GROUP);
                let to = to.start().add(first * group_bytes);
                match self.format {
                    Format::Pairs { planes } => {
                        pack_pairs(source, Pairs { lanes: count, k, planes, side: self.side }, to, self.isa);
                    }
                    _ => pack_panels(source, count, k, to.cast()),
                }
            }
        };
        let pieces = groups.div_ceil(PIECE);
        if parallel && pieces > 1 && lanes * k > 1 << 14 {
            (0..pieces).into_par_iter().for_each(one);
        } else {
            (0..pieces).for_each(one);
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

/// The left operand of products, packed anew for each of them into the same memory.
#[derive(Debug)]
pub struct Input {
    pub(super) packed: Buffer,
    quantised: Buffer,
    rows: usize,
    pub(super) k: usize,
    pub(super) precision: Precision,
    pub(super) isa: Isa,
}

impl Default for Input {
    fn default() -> Self {
        Self::new()
    }
}

impl Input {
    /// Without memory yet.
    pub fn new() -> Self {
        let (packed, quantised) = (Buffer::new(0), Buffer::new(0));
        Self { packed, quantised, rows: 0, k: 0, precision: Precision::F32, isa: Isa::current() }
    }

    /// Makes room for `rows` rows of `k` values and forgets what was packed. Memory grows and never shrinks.
    pub fn reserve(&mut self, rows: usize, k: usize, precision: Precision) {
        (self.rows, self.k) = (rows, k);
        (self.precision, self.isa) = (precision, Isa::current());
        let groups = rows.div_ceil(GROUP);
        self.packed.reserve(groups * self.format().group_bytes(k));
        if precision == Precision::Int8 {
            self.quantised.reserve(groups * GROUP * size_of::<Quantised>());
        }
    }

    pub(super) fn format(&self) -> Format {
        Format::new(self.precision, self.isa)
    }

    /// Packs rows of the `k` values given to [`Input::reserve`]; row `i` starts at `x + i * row_stride`.
    ///
    /// # Safety
    /// The rows exist. `rows` starts at a multiple of [`super::ROW_GROUP`] and ends at one or at the operand's end, lies within what
    /// was reserved, and no other thread touches these groups meanwhile.
    pub unsafe fn pack(&self, rows: Range<usize>, x: *const f32, row_stride: usize) {
        let (format, k) = (self.format(), self.k);
        let group_bytes = format.group_bytes(k);
        let source = Source { start: x.wrapping_add(rows.start * row_stride), lane_stride: row_stride, k_stride: 1 };
        // SAFETY: the groups lie in what was reserved; their rows exist.
        unsafe {
            let to = self.packed.start().add(rows.start / GROUP * group_bytes);
            match format {
                Format::Panel => pack_panels(source, rows.len(), k, to.cast()),
                Format::Pairs { planes } => {
                    pack_pairs(source, Pairs { lanes: rows.len(), k, planes, side: Side::Left }, to, self.isa);
                }
                Format::Quads => {
                    for (index, row) in rows.enumerate() {
                        let (group, lane) = (to.add(index / GROUP * group_bytes), index % GROUP);
                        let scale = pack_row_bytes(source.start.add(index * row_stride), k, lane, group);
                        *self.quantised.start().cast::<Quantised>().add(row) = scale;
                    }
                }
            }
        }
    }

    /// Rows that there is room for.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Packs a whole operand with any strides into the same memory, with all threads of the current pool if `parallel`.
    ///
    /// # Panics
    /// `precision` is [`Precision::Int8`], which needs whole rows.
    pub fn repack(&mut self, a: MatRef<'_>, precision: Precision, parallel: bool) {
        assert!(precision != Precision::Int8, "strided views are not packed in bytes");
        self.reserve(a.rows(), a.cols(), precision);
        let job = Packing { view: a, side: Side::Left, format: self.format(), isa: self.isa };
        // SAFETY: reserved for all rows; `&mut self` keeps others away.
        unsafe { job.all(&self.packed, parallel) };
    }

    /// Scale and zero of a row.
    ///
    /// # Safety
    /// The row was packed in bytes.
    pub(super) unsafe fn quantised(&self, row: usize) -> Quantised {
        // SAFETY: written by `pack`.
        unsafe { *self.quantised.start().cast::<Quantised>().add(row) }
    }
}
