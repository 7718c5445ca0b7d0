//! Operands in bytes, for [`super::super::Precision::Int8`].
//!
//! A row of activations is `x = scale (q - zero)` with `q` in `0..=255`, an output of weights `w = scale q` with `q` in
//! `-127..=127`. The product is `scale_x scale_w (sum q_x q_w - zero sum q_w)`, exact in 32 bits for inner sizes up to
//! 65,536.

use super::Source;
use crate::Isa;
use crate::matmul::format::{TILE, TILE_BYTES};

/// Scale and offset of one lane. For a row of activations `offset` is the byte that stands for 0, for an output of weights the
/// sum of its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub(crate) struct Quantized {
    pub scale: f32,
    pub offset: i32,
}

/// Adding and subtracting this rounds to the nearest integer, ties to even, for magnitudes below 2^22.
const ROUND: f32 = 12_582_912.0;

/// Inner indices of a step.
pub(super) const STEP: usize = 64;

/// A step of the left operand: two tiles of 16 lanes.
pub(super) type Rows = [[[u8; STEP]; TILE]; 2];
/// A step of the right operand: two tiles of 16 times four inner indices of 16 lanes.
type Columns = [[[[i8; 4]; TILE]; STEP / 4]; 2];

/// Packs one row of `k` activations into its group; values beyond `k` become the byte of 0, which multiplies weights that are 0.
///
/// # Safety
/// `row` has `k` values, `group` room for the group, which has been written to before and which nothing else uses meanwhile; `isa` is
/// available.
pub(crate) unsafe fn pack_row_bytes(row: *const f32, k: usize, lane: usize, group: *mut u8, isa: Isa) -> Quantized {
    const { assert!(size_of::<Rows>() == 2 * TILE_BYTES) };
    // SAFETY: the caller promises `k` values, and the steps that they take.
    let (row, steps) = unsafe {
        (std::slice::from_raw_parts(row, k), std::slice::from_raw_parts_mut(group.cast::<Rows>(), k.div_ceil(STEP)))
    };
    match isa {
        // SAFETY: the set is available.
        #[cfg(target_arch = "x86_64")]
        Isa::Amx | Isa::Avx512 => unsafe { super::bytes_avx512::quantize_row(row, lane, steps) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { super::bytes_avx2::quantize_row(row, lane, steps) },
        _ => quantize_row(row, lane, steps),
    }
}

/// How the values of a row become bytes: `q = round(x / scale + zero)`, in `0..=255`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub scale: f32,
    /// `1 / scale`
    pub inverse: f32,
    /// The byte of 0, a whole number.
    pub zero: f32,
}

impl Grid {
    /// The grid of a row whose values, and 0, lie in `low..=high`.
    #[inline(always)]
    pub fn of(low: f32, high: f32) -> Self {
        // An empty range has the scale of 1, so that nothing divides by 0.
        let span = high - low;
        let scale = if span > 0.0 { span / 255.0 } else { 1.0 };
        let inverse = 1.0 / scale;
        Self { scale, inverse, zero: (-low * inverse + ROUND) - ROUND }
    }

    pub fn quantized(self) -> Quantized {
        Quantized { scale: self.scale, offset: self.zero as i32 }
    }
}

/// The specification.
#[inline(always)]
fn quantize_row(row: &[f32], lane: usize, steps: &mut [Rows]) -> Quantized {
    let (low, high) = range(row);
    let grid = Grid::of(low, high);
    // NaN is not above 0.
    let byte = |x: f32| {
        let value = x * grid.inverse + grid.zero;
        ((if value > 0.0 { value.min(255.0) } else { 0.0 }) + ROUND).to_bits() as u8
    };
    let (whole, rest) = row.as_chunks::<STEP>();
    let (tile, lane) = (lane / TILE, lane % TILE);
    for (values, step) in whole.iter().zip(&mut *steps) {
        for (byte_of, x) in step[tile][lane].iter_mut().zip(values) {
            *byte_of = byte(*x);
        }
    }
    if !rest.is_empty() {
        // `byte(0.0)` is `zero`.
        let mut values = [0.0; STEP];
        values[..rest.len()].copy_from_slice(rest);
        steps[whole.len()][tile][lane] = values.map(byte);
    }
    grid.quantized()
}

/// Smallest and largest value, both with 0 among them.
#[inline(always)]
fn range(row: &[f32]) -> (f32, f32) {
    let (mut low, mut high) = ([0.0f32; 16], [0.0f32; 16]);
    let mut chunks = row.chunks_exact(16);
    for chunk in &mut chunks {
        for i in 0..16 {
            low[i] = if chunk[i] < low[i] { chunk[i] } else { low[i] };
            high[i] = if chunk[i] > high[i] { chunk[i] } else { high[i] };
        }
    }
    let rest = chunks.remainder().iter().copied();
    let low = low.into_iter().chain(rest.clone()).fold(0.0, f32::min);
    let high = high.into_iter().chain(rest).fold(0.0, f32::max);
    (low, high)
}

/// Packs up to 32 outputs of weights; what is absent is zero already.
///
/// # Safety
/// `source` has `scales.len()` lanes of `k` values; `group` is a zeroed group with room for them, which nothing else uses meanwhile.
pub(crate) unsafe fn pack_weight_bytes(source: Source, k: usize, group: *mut u8, scales: &mut [Quantized]) {
    const { assert!(size_of::<Columns>() == 2 * TILE_BYTES) };
    // SAFETY: the caller's promise.
    let steps = unsafe { std::slice::from_raw_parts_mut(group.cast::<Columns>(), k.div_ceil(STEP)) };
    let mut values = vec![0.0; k];
    for (lane, quantized) in scales.iter_mut().enumerate() {
        let start = source.start.wrapping_add(lane * source.lane_stride);
        for (p, value) in values.iter_mut().enumerate() {
            // SAFETY: a value of the source.
            *value = unsafe { *start.add(p * source.k_stride) };
        }
        let values = &values[..];
        let steps = &mut *steps;
        *quantized = dispatch!(|values: &[f32], lane: usize, steps: &mut [Columns]| -> Quantized {
            quantize_column(values, lane, steps)
        });
    }
}

#[inline(always)]
fn quantize_column(values: &[f32], lane: usize, steps: &mut [Columns]) -> Quantized {
    let (low, high) = range(values);
    let largest = high.max(-low);
    let scale = if largest > 0.0 { largest / 127.0 } else { 1.0 };
    let (tile, lane) = (lane / TILE, lane % TILE);
    let mut sum = 0;
    for (values, step) in values.chunks(STEP).zip(steps) {
        let mut padded = [0.0; STEP];
        padded[..values.len()].copy_from_slice(values);
        let bytes = padded.map(|x| (x / scale).round_ties_even() as i8);
        sum += bytes.iter().map(|q| i32::from(*q)).sum::<i32>();
        for (quad, bytes) in step[tile].iter_mut().zip(bytes.as_chunks().0) {
            quad[lane] = *bytes;
        }
    }
    Quantized { scale, offset: sum }
}
