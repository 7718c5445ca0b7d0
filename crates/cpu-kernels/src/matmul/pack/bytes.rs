//! Operands in bytes, for [`super::super::Precision::Int8`].
//!
//! A row of activations is `x = scale (q - zero)` with `q` in `0..=255`, an output of weights `w = scale q` with `q` in
//! `-127..=127`. The product is `scale_x scale_w (sum q_x q_w - zero sum q_w)`, exact in 32 bits for inner sizes up to
//! 65,536.

use super::Source;
use crate::Isa;
use crate::matmul::format::{GROUP, TILE, TILE_BYTES};

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
/// A step of either operand in `Format::Signed`: `PARTS` times `TOGETHER` inner indices of 32 lanes.
type Signed<T, const TOGETHER: usize, const PARTS: usize> = [[[T; TOGETHER]; GROUP]; PARTS];

/// A step of the left operand.
trait RowStep {
    /// What is subtracted from every byte.
    const BELOW: u8;

    /// Writes the bytes of a lane.
    fn put(&mut self, lane: usize, values: &[f32; STEP], byte: impl Fn(f32) -> u8);
}

impl RowStep for Rows {
    const BELOW: u8 = 0;

    #[inline(always)]
    fn put(&mut self, lane: usize, values: &[f32; STEP], byte: impl Fn(f32) -> u8) {
        for (byte_of, x) in self[lane / TILE][lane % TILE].iter_mut().zip(values) {
            *byte_of = byte(*x);
        }
    }
}

impl<const TOGETHER: usize, const PARTS: usize> RowStep for Signed<u8, TOGETHER, PARTS> {
    const BELOW: u8 = 128;

    #[inline(always)]
    fn put(&mut self, lane: usize, values: &[f32; STEP], byte: impl Fn(f32) -> u8) {
        let mut bytes = [0; STEP];
        for (byte_of, x) in bytes.iter_mut().zip(values) {
            *byte_of = byte(*x).wrapping_sub(Self::BELOW);
        }
        for (part, bytes) in self.iter_mut().zip(bytes.as_chunks().0) {
            part[lane] = *bytes;
        }
    }
}

/// A step of the right operand.
trait ColumnStep {
    /// Writes the bytes of a lane.
    fn put(&mut self, lane: usize, bytes: &[i8; STEP]);
}

impl ColumnStep for Columns {
    #[inline(always)]
    fn put(&mut self, lane: usize, bytes: &[i8; STEP]) {
        for (quad, bytes) in self[lane / TILE].iter_mut().zip(bytes.as_chunks().0) {
            quad[lane % TILE] = *bytes;
        }
    }
}

impl<const TOGETHER: usize, const PARTS: usize> ColumnStep for Signed<i8, TOGETHER, PARTS> {
    #[inline(always)]
    fn put(&mut self, lane: usize, bytes: &[i8; STEP]) {
        for (part, bytes) in self.iter_mut().zip(bytes.as_chunks().0) {
            part[lane] = *bytes;
        }
    }
}

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

/// [`pack_row_bytes`] in `Format::Signed`: 128 less are the bytes, and the offset. So `sum (q - zero) w` stays the same integer.
///
/// # Safety
/// As there; `together` is that of the format.
#[cfg(target_arch = "aarch64")]
pub(crate) unsafe fn pack_row_signed(
    row: *const f32,
    k: usize,
    lane: usize,
    group: *mut u8,
    together: usize,
) -> Quantized {
    let count = k.div_ceil(STEP);
    // SAFETY: the caller promises `k` values, and the steps that they take, which are as large in every format.
    unsafe {
        let row = std::slice::from_raw_parts(row, k);
        match together {
            8 => quantize_row(row, lane, std::slice::from_raw_parts_mut(group.cast::<Signed<u8, 8, 8>>(), count)),
            _ => quantize_row(row, lane, std::slice::from_raw_parts_mut(group.cast::<Signed<u8, 4, 16>>(), count)),
        }
    }
}

/// The specification.
#[inline(always)]
fn quantize_row<S: RowStep>(row: &[f32], lane: usize, steps: &mut [S]) -> Quantized {
    let (low, high) = range(row);
    let grid = Grid::of(low, high);
    // NaN is not above 0.
    let byte = |x: f32| {
        let value = x * grid.inverse + grid.zero;
        ((if value > 0.0 { value.min(255.0) } else { 0.0 }) + ROUND).to_bits() as u8
    };
    let (whole, rest) = row.as_chunks::<STEP>();
    for (values, step) in whole.iter().zip(&mut *steps) {
        step.put(lane, values, byte);
    }
    if !rest.is_empty() {
        // `byte(0.0)` is `zero`.
        let mut values = [0.0; STEP];
        values[..rest.len()].copy_from_slice(rest);
        steps[whole.len()].put(lane, &values, byte);
    }
    let Quantized { scale, offset } = grid.quantized();
    Quantized { scale, offset: offset - i32::from(S::BELOW) }
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
    let quantize = |values: &[f32], lane: usize| {
        let steps = &mut *steps;
        dispatch!(|values: &[f32], lane: usize, steps: &mut [Columns]| -> Quantized {
            quantize_column(values, lane, steps)
        })
    };
    // SAFETY: the caller's promise.
    unsafe { each_column(source, k, scales, quantize) };
}

/// [`pack_weight_bytes`] in `Format::Signed`.
///
/// # Safety
/// As there; `together` is that of the format.
#[cfg(target_arch = "aarch64")]
pub(crate) unsafe fn pack_weights_signed(
    source: Source,
    k: usize,
    group: *mut u8,
    scales: &mut [Quantized],
    together: usize,
) {
    let count = k.div_ceil(STEP);
    // SAFETY: the caller's promise; steps are as large in every format.
    unsafe {
        match together {
            8 => {
                let steps = std::slice::from_raw_parts_mut(group.cast::<Signed<i8, 8, 8>>(), count);
                each_column(source, k, scales, |values, lane| quantize_column(values, lane, steps));
            }
            _ => {
                let steps = std::slice::from_raw_parts_mut(group.cast::<Signed<i8, 4, 16>>(), count);
                each_column(source, k, scales, |values, lane| quantize_column(values, lane, steps));
            }
        }
    }
}

/// Passes the values of each lane to `quantize`.
///
/// # Safety
/// `source` has `scales.len()` lanes of `k` values.
unsafe fn each_column(
    source: Source,
    k: usize,
    scales: &mut [Quantized],
    mut quantize: impl FnMut(&[f32], usize) -> Quantized,
) {
    let mut values = vec![0.0; k];
    for (lane, quantized) in scales.iter_mut().enumerate() {
        let start = source.start.wrapping_add(lane * source.lane_stride);
        for (p, value) in values.iter_mut().enumerate() {
            // SAFETY: a value of the source.
            *value = unsafe { *start.add(p * source.k_stride) };
        }
        *quantized = quantize(&values, lane);
    }
}

#[inline(always)]
fn quantize_column<S: ColumnStep>(values: &[f32], lane: usize, steps: &mut [S]) -> Quantized {
    let (low, high) = range(values);
    let largest = high.max(-low);
    let scale = if largest > 0.0 { largest / 127.0 } else { 1.0 };
    let mut sum = 0;
    for (values, step) in values.chunks(STEP).zip(steps) {
        let mut padded = [0.0; STEP];
        padded[..values.len()].copy_from_slice(values);
        let bytes = padded.map(|x| (x / scale).round_ties_even() as i8);
        sum += bytes.iter().map(|q| i32::from(*q)).sum::<i32>();
        step.put(lane, &bytes);
    }
    Quantized { scale, offset: sum }
}
