//! The right operand.

use std::ops::Range;

use rayon::prelude::*;

use super::packing::{PIECE, Packing};
use crate::Isa;
use crate::matmul::buffer::Buffer;
use crate::matmul::format::{Format, GROUP};
use crate::matmul::pack::{Quantized, Side};
use crate::matmul::{MatRef, Precision};

/// The right operand of products, packed once.
#[derive(Debug)]
pub struct Weights {
    pub(in crate::matmul) packed: Buffer,
    pub(in crate::matmul) quantized: Vec<Quantized>,
    pub(in crate::matmul) inputs: usize,
    pub(in crate::matmul) outputs: usize,
    pub(in crate::matmul) precision: Precision,
    pub(in crate::matmul) isa: Isa,
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
            quantized: Vec::new(),
            inputs: 0,
            outputs: 0,
            precision: Precision::F32,
            isa: Isa::current(),
        }
    }

    /// Packs `parts` as one operand with their columns side by side, as if they had been multiplied by their scales and copied
    /// together before; with all threads of the current pool.
    ///
    /// # Panics
    /// There are no parts, or they differ in their rows.
    pub fn pack_parts(parts: &[ScaledColumns<'_>], precision: Precision) -> Self {
        let inputs = parts.first().expect("at least one part").values.rows();
        assert!(parts.iter().all(|p| p.values.rows() == inputs), "parts of one operand have the same rows");
        let outputs = parts.iter().map(|p| p.values.cols()).sum();
        if let [ScaledColumns { values, scale: 1.0 }] = parts {
            return Self::pack(*values, precision);
        }
        let mut weights = Self { inputs, outputs, precision, ..Self::empty() };
        let format = weights.format();
        weights.allocate();
        let Self { packed, quantized, isa, .. } = &mut weights;
        let (packed, isa) = (&*packed, *isa);
        let lanes = PIECE * GROUP;
        let one = |gathered: &mut Vec<f32>, index: usize, scales: &mut [Quantized]| {
            let first = index * lanes;
            gather(parts, first..(first + lanes).min(outputs), gathered);
            let view = MatRef::row_major(gathered, gathered.len() / inputs.max(1), inputs).t();
            let job = Packing::whole(view, Side::Right, format, isa);
            // SAFETY: the buffer holds all pieces, of which each is packed once.
            unsafe {
                job.piece(0, packed.start().add(index * PIECE * format.group_bytes(inputs, Side::Right)), scales);
            };
        };
        if format.in_bytes() {
            let pieces = quantized.par_chunks_mut(lanes).enumerate();
            pieces.for_each_init(Vec::new, |gathered, (index, scales)| one(gathered, index, scales));
        } else {
            let pieces = (0..outputs.div_ceil(lanes)).into_par_iter();
            pieces.for_each_init(Vec::new, |gathered, index| one(gathered, index, &mut []));
        }
        weights
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
        self.allocate();
        let job = Packing::whole(b, Side::Right, self.format(), self.isa);
        // SAFETY: the buffer holds all groups, which are divided among the threads.
        unsafe { job.all(&self.packed, &mut self.quantized, parallel) };
    }

    /// Makes room for the operand.
    fn allocate(&mut self) {
        let format = self.format();
        let bytes = format.group_bytes(self.inputs, Side::Right) * self.outputs.div_ceil(GROUP);
        if format.in_bytes() {
            // Absent values of the byte format are not written, so they have to be zero already.
            self.packed = Buffer::new(bytes);
            self.quantized = vec![Quantized::default(); self.outputs];
        } else {
            self.packed.reserve(bytes);
        }
    }

    pub(in crate::matmul) fn format(&self) -> Format {
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
        self.packed.bytes() + self.quantized.len() * size_of::<Quantized>()
    }
}

/// Memory for weights that are packed for one product and then forgotten: a piece at a time, they never leave the cache.
#[derive(Debug)]
pub struct OneUse {
    weights: Weights,
    gathered: Vec<f32>,
}

/// Without memory yet.
impl Default for OneUse {
    fn default() -> Self {
        Self { weights: Weights::empty(), gathered: Vec::new() }
    }
}

impl OneUse {
    /// Columns to pack at a time, a multiple of [`crate::matmul::COL_GROUP`].
    pub const COLUMNS: usize = PIECE * GROUP;

    /// The columns `cols` of what [`Weights::pack_parts`] packs, as an operand of their own; on the calling thread.
    ///
    /// # Panics
    /// As there, or the columns do not exist.
    pub fn pack(&mut self, parts: &[ScaledColumns<'_>], cols: Range<usize>, precision: Precision) -> &Weights {
        let view = match parts {
            [ScaledColumns { values, scale: 1.0 }] => values.cols_in(cols),
            _ => {
                let inputs = parts.first().expect("at least one part").values.rows();
                gather(parts, cols.clone(), &mut self.gathered);
                MatRef::row_major(&self.gathered, cols.len(), inputs).t()
            }
        };
        self.weights.repack(view, precision, false);
        &self.weights
    }
}

/// Columns of an operand, beside those of others.
#[derive(Clone, Copy, Debug)]
pub struct ScaledColumns<'a> {
    /// `[inputs, columns]`, with any strides.
    pub values: MatRef<'a>,
    /// What every value is multiplied by.
    pub scale: f32,
}

/// The columns `lanes` of all parts, scaled, one after the other.
fn gather(parts: &[ScaledColumns<'_>], lanes: Range<usize>, to: &mut Vec<f32>) {
    to.clear();
    let mut start = 0;
    for ScaledColumns { values, scale } in parts {
        let inside = lanes.start.max(start) - start..lanes.end.min(start + values.cols()).max(start) - start;
        start += values.cols();
        if inside.is_empty() {
            continue;
        }
        let columns = values.cols_in(inside);
        for column in 0..columns.cols() {
            if columns.rows() == 0 {
                continue;
            }
            let data = &columns.data()[column * columns.col_stride()..];
            if columns.row_stride() == 1 {
                to.extend(data[..columns.rows()].iter().map(|v| v * scale));
            } else {
                to.extend((0..columns.rows()).map(|row| data[row * columns.row_stride()] * scale));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_packed_as_their_scaled_columns_side_by_side() {
        let values: Vec<f32> = (0..300 * 70).map(|i| ((i * 7919 % 2003) as f32 - 1000.0) * 1.7e-3).collect();
        let by_output = |columns, k| MatRef::new(&values, k, columns, 1, 70);
        let by_input = |columns, k| MatRef::new(&values[9..], k, columns, 300, 1);
        for k in [1, 33, 70] {
            for widths in [[1, 31, 1], [40, 0, 130], [128, 128, 5], [200, 57, 44]] {
                let parts = [
                    ScaledColumns { values: by_output(widths[0], k), scale: 0.3 },
                    ScaledColumns { values: by_input(widths[1], k), scale: 1.0 },
                    ScaledColumns { values: by_output(widths[2], k), scale: 1.0 },
                ];
                let width: usize = widths.iter().sum();
                let mut together = vec![0.0; width * k];
                let mut column = 0;
                for part in &parts {
                    for (j, i) in (0..part.values.cols()).flat_map(|j| (0..k).map(move |i| (j, i))) {
                        let at = i * part.values.row_stride() + j * part.values.col_stride();
                        together[(column + j) * k + i] = part.values.data()[at] * part.scale;
                    }
                    column += part.values.cols();
                }
                for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
                    let expected = Weights::pack(MatRef::row_major(&together, width, k).t(), precision);
                    let found = Weights::pack_parts(&parts, precision);
                    assert_eq!((found.inputs, found.outputs), (k, width));
                    assert_eq!(found.quantized, expected.quantized);
                    assert_eq!(bytes(&found), bytes(&expected), "{k} {widths:?} {precision:?}");

                    let mut once = OneUse::default();
                    for first in (0..width).step_by(OneUse::COLUMNS) {
                        let cols = first..width.min(first + OneUse::COLUMNS);
                        let piece = once.pack(&parts, cols.clone(), precision);
                        let at = first / GROUP * piece.format().group_bytes(k, Side::Right);
                        let used = cols.len().div_ceil(GROUP) * piece.format().group_bytes(k, Side::Right);
                        // A tile without columns keeps what an earlier piece left there; no product reads it.
                        let tiles =
                            used - if cols.len() % GROUP > 0 && cols.len() % GROUP <= GROUP / 2 { used } else { 0 };
                        assert_eq!(
                            bytes(piece)[..tiles],
                            bytes(&expected)[at..at + tiles],
                            "{k} {widths:?} {precision:?}"
                        );
                        assert_eq!(
                            piece.quantized[..],
                            expected.quantized[cols.start.min(expected.quantized.len())..][..piece.quantized.len()]
                        );
                    }
                }
            }
        }
    }

    fn bytes(weights: &Weights) -> &[u8] {
        // SAFETY: a buffer begins as zeros, so all of it is initialized; nothing writes to it any more.
        unsafe { std::slice::from_raw_parts(weights.packed.start(), weights.packed.bytes()) }
    }
}
