//! Operands in bytes, for [`super::super::Precision::Int8`].
//!
//! A row of activations is `x = scale (q - zero)` with `q` in `0..=255`, an output of weights `w = scale q` with `q` in
//! `-127..=127`. The product is `scale_x scale_w (sum q_x q_w - zero sum q_w)`, exact in 32 bits for inner sizes up to
//! 65,536.

use super::{Side, Source};
use crate::matmul::format::{TILE, TILE_BYTES};

/// Scale and offset of one lane. For a row of activations `offset` is the byte that stands for 0, for an output of weights the
/// sum of its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub(crate) struct Quantised {
    pub scale: f32,
    pub offset: i32,
}

/// Adding and subtracting this rounds to the nearest integer, ties to even, for magnitudes below 2^22.
const ROUND: f32 = 12_582_912.0;

/// Place of the inner index `k` of a lane in its group.
fn place(lane: usize, k: usize, side: Side) -> usize {
    let (step, k) = (k / 64, k % 64);
    let (tile, lane) = (lane / TILE, lane % TILE);
    let inside = match side {
        Side::Left => lane * 64 + k,
        Side::Right => (k / 4) * 64 + lane * 4 + k % 4,
    };
    (step * 2 + tile) * TILE_BYTES + inside
}

/// Packs one row of `k` activations into its group; values beyond `k` become the byte of 0, which multiplies weights that are 0.
///
/// # Safety
/// `row` has `k` values, `group` room for the group.
pub(crate) unsafe fn pack_row_bytes(row: *const f32, k: usize, lane: usize, group: *mut u8) -> Quantised {
    // SAFETY: the caller promises `k` values.
    let row = unsafe { std::slice::from_raw_parts(row, k) };
    let (low, high) = range(row);
    // An empty range has the scale of 1, so that nothing divides by 0.
    let span = high - low;
    let scale = if span > 0.0 { span / 255.0 } else { 1.0 };
    let inverse = 1.0 / scale;
    let zero = (-low * inverse + ROUND) - ROUND;
    for (step, values) in row.chunks(64).enumerate() {
        let mut bytes = [zero as u8; 64];
        for (byte, x) in bytes.iter_mut().zip(values) {
            let q = (x * inverse + zero).clamp(0.0, 255.0) + ROUND;
            *byte = q.to_bits() as u8;
        }
        // SAFETY: 64 consecutive bytes of the lane in this step.
        unsafe { group.add(place(lane, step * 64, Side::Left)).copy_from_nonoverlapping(bytes.as_ptr(), 64) };
    }
    Quantised { scale, offset: zero as i32 }
}

/// Smallest and largest value, both with 0 among them.
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
/// `source` has `scales.len()` lanes of `k` values; `group` is a zeroed group with room for them.
pub(crate) unsafe fn pack_weight_bytes(source: Source, k: usize, group: *mut u8, scales: &mut [Quantised]) {
    for (lane, quantised) in scales.iter_mut().enumerate() {
        // SAFETY: inside what the caller promised.
        let value = |p: usize| unsafe { *source.start.add(lane * source.lane_stride + p * source.k_stride) };
        let largest = (0..k).fold(0.0f32, |m, p| m.max(value(p).abs()));
        let scale = if largest > 0.0 { largest / 127.0 } else { 1.0 };
        let mut sum = 0;
        for p in 0..k {
            let q = (value(p) / scale).round_ties_even() as i8;
            sum += i32::from(q);
            // SAFETY: inside the group.
            unsafe { *group.add(place(lane, p, Side::Right)) = q as u8 };
        }
        *quantised = Quantised { scale, offset: sum };
    }
}
