//! The left operand.

use std::ops::Range;

use super::Packing;
use crate::Isa;
use crate::elementwise::softmax::unscaled_softmax_rows;
use crate::matmul::buffer::Buffer;
use crate::matmul::format::{Format, GROUP};
#[cfg(target_arch = "x86_64")]
use crate::matmul::pack::pack_exponentials;
use crate::matmul::pack::{Pairs, Panels, Quantized, Side, Source, pack_pairs, pack_panels, pack_row_bytes};
#[cfg(target_arch = "aarch64")]
use crate::matmul::pack::{pack_fours, pack_row_signed};
use crate::matmul::{MatRef, Precision};

/// The left operand of products, packed anew for each of them into the same memory.
#[derive(Debug)]
pub struct Input {
    pub(in crate::matmul) packed: Buffer,
    pub(in crate::matmul) quantized: Buffer,
    pub(in crate::matmul) rows: usize,
    pub(in crate::matmul) k: usize,
    pub(in crate::matmul) precision: Precision,
    pub(in crate::matmul) isa: Isa,
}

/// Without memory yet.
impl Default for Input {
    fn default() -> Self {
        let (packed, quantized) = (Buffer::new(0), Buffer::new(0));
        Self { packed, quantized, rows: 0, k: 0, precision: Precision::F32, isa: Isa::current() }
    }
}

impl Input {
    /// Makes room for `rows` rows of `k` values and forgets what was packed. Memory grows and never shrinks.
    pub fn reserve(&mut self, rows: usize, k: usize, precision: Precision) {
        (self.rows, self.k) = (rows, k);
        (self.precision, self.isa) = (precision, Isa::current());
        let groups = rows.div_ceil(GROUP);
        self.packed.reserve(groups * self.format().group_bytes(k, Side::Left));
        if precision == Precision::Int8 {
            self.quantized.reserve(groups * GROUP * size_of::<Quantized>());
        }
    }

    pub(in crate::matmul) fn format(&self) -> Format {
        Format::new(self.precision, self.isa)
    }

    /// Packs rows of the `k` values given to [`Input::reserve`]; row `i` starts at `x + i * row_stride`.
    ///
    /// # Safety
    /// The rows exist. `rows` starts at a multiple of [`crate::matmul::ROW_GROUP`] and ends at one or at the operand's end, lies within what
    /// was reserved, and no other thread touches these groups meanwhile.
    pub unsafe fn pack(&self, rows: Range<usize>, x: *const f32, row_stride: usize) {
        let (format, k) = (self.format(), self.k);
        let group_bytes = format.group_bytes(k, Side::Left);
        let source = Source { start: x.wrapping_add(rows.start * row_stride), lane_stride: row_stride, k_stride: 1 };
        // SAFETY: the groups lie in what was reserved; their rows exist.
        unsafe {
            let to = self.packed.start().add(rows.start / GROUP * group_bytes);
            match format {
                Format::Panel | Format::Halves => {
                    pack_panels(source, Panels::new(rows.len(), k, format), to.cast(), self.isa);
                }
                Format::Pairs { planes } => {
                    pack_pairs(source, Pairs::new(rows.len(), k, planes, Side::Left), to, self.isa);
                }
                Format::Quads => {
                    for (index, row) in rows.enumerate() {
                        let (group, lane) = (to.add(index / GROUP * group_bytes), index % GROUP);
                        let scale = pack_row_bytes(source.start.add(index * row_stride), k, lane, group, self.isa);
                        *self.quantized.start().cast::<Quantized>().add(row) = scale;
                    }
                }
                #[cfg(target_arch = "aarch64")]
                Format::Signed { together } => {
                    for (index, row) in rows.enumerate() {
                        let (group, lane) = (to.add(index / GROUP * group_bytes), index % GROUP);
                        let scale = pack_row_signed(source.start.add(index * row_stride), k, lane, group, together);
                        *self.quantized.start().cast::<Quantized>().add(row) = scale;
                    }
                }
                #[cfg(target_arch = "aarch64")]
                Format::Fours => pack_fours(source, rows.len(), k, format.steps(k), to),
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
        let job = Packing::whole(a, Side::Left, self.format(), self.isa);
        // SAFETY: reserved for all rows; `&mut self` keeps others away.
        unsafe { job.all(&self.packed, &mut [], parallel) };
    }

    /// Packs `exp(x - max)` of every row of scores in `bf16`, as [`Input::repack`] does, and gives the sums. `scores` may change.
    ///
    /// Where there are instructions for it, exponentials are within 3e-6 instead of the last bits: a thousandth of their rounding.
    ///
    /// # Shapes
    /// `scores [sums.len(), width]`
    ///
    /// # Panics
    /// The sizes do not fit.
    pub(crate) fn repack_exponentials(&mut self, scores: &mut [f32], width: usize, sums: &mut [f32]) {
        self.reserve(sums.len(), width, Precision::Bf16);
        #[cfg(target_arch = "x86_64")]
        if matches!(self.isa, Isa::Avx512 | Isa::Amx) && self.format() == (Format::Pairs { planes: 1 }) {
            // SAFETY: reserved for all rows; `&mut self` keeps others away; the machine has the instructions.
            unsafe { pack_exponentials(scores, width, self.packed.start(), sums) };
            return;
        }
        unscaled_softmax_rows(scores, width, sums);
        self.repack(MatRef::row_major(scores, sums.len(), width), Precision::Bf16, false);
    }

    /// Scales and zeros of rows.
    ///
    /// # Safety
    /// The rows were packed in bytes.
    pub(in crate::matmul) unsafe fn quantized(&self, rows: Range<usize>) -> &[Quantized] {
        // SAFETY: written by `pack`.
        unsafe { std::slice::from_raw_parts(self.quantized.start().cast::<Quantized>().add(rows.start), rows.len()) }
    }
}
