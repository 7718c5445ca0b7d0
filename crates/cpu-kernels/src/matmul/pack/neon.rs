//! Panels of `f32` and tiles of `bf16` with NEON: everything is read four lanes and four inner indices at a time.

use std::arch::aarch64::*;

use super::{Pairs, Panels, STEP, Side, Source};
use crate::matmul::format::{GROUP, TILE};

/// Lanes of a vector.
const WIDE: usize = 4;

/// Values of four lanes, one vector for each of four inner indices.
type Square = [float32x4_t; WIDE];

/// Four lanes from `lane` on and four inner indices from `k` on; what is absent is zero.
///
/// # Safety
/// `source` has `lanes` lanes and `end` inner indices.
#[inline(always)]
unsafe fn square(source: Source, lane: usize, lanes: usize, k: usize, end: usize) -> Square {
    let at = source.start.wrapping_add(lane * source.lane_stride + k * source.k_stride);
    let (lanes, ks) = (lanes.saturating_sub(lane).min(WIDE), end.saturating_sub(k).min(WIDE));
    // SAFETY: only values of lanes and inner indices that exist are loaded.
    unsafe {
        if source.lane_stride == 1 {
            std::array::from_fn(|p| load(at.wrapping_add(p * source.k_stride), if p < ks { lanes } else { 0 }))
        } else if source.k_stride == 1 {
            transpose(std::array::from_fn(|lane| {
                load(at.wrapping_add(lane * source.lane_stride), if lane < lanes { ks } else { 0 })
            }))
        } else {
            let mut values = [[0.0f32; WIDE]; WIDE];
            for (p, values) in values.iter_mut().enumerate().take(ks) {
                for (lane, value) in values.iter_mut().enumerate().take(lanes) {
                    *value = *at.add(lane * source.lane_stride + p * source.k_stride);
                }
            }
            std::array::from_fn(|p| vld1q_f32(values[p].as_ptr()))
        }
    }
}

/// The first `valid` values at `at` (all four if there are more), then zeros.
///
/// # Safety
/// These values exist; if none do, `at` may be anything.
#[inline(always)]
unsafe fn load(at: *const f32, valid: usize) -> float32x4_t {
    // SAFETY: values that exist.
    unsafe {
        let mut values = [0.0f32; WIDE];
        if valid >= WIDE {
            values = *at.cast();
        } else {
            for (i, value) in values.iter_mut().enumerate().take(valid) {
                *value = *at.add(i);
            }
        }
        std::mem::transmute::<[f32; WIDE], float32x4_t>(values)
    }
}

/// Transposes 4 x 4 values.
#[inline(always)]
fn transpose(rows: Square) -> Square {
    // SAFETY: NEON is in the baseline of aarch64.
    unsafe {
        let pairs = |a, b| (vreinterpretq_f64_f32(vtrn1q_f32(a, b)), vreinterpretq_f64_f32(vtrn2q_f32(a, b)));
        let ((a, b), (c, d)) = (pairs(rows[0], rows[1]), pairs(rows[2], rows[3]));
        [vtrn1q_f64(a, c), vtrn1q_f64(b, d), vtrn2q_f64(a, c), vtrn2q_f64(b, d)].map(|v| vreinterpretq_f32_f64(v))
    }
}

/// To the nearest `bf16`, ties to even, in the upper halves; the lower ones hold what is left over. NaN becomes all ones.
#[inline(always)]
fn round(x: float32x4_t) -> uint32x4_t {
    // SAFETY: NEON is in the baseline of aarch64.
    unsafe {
        let bits = vreinterpretq_u32_f32(x);
        let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
        let rounded = vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd);
        vornq_u32(rounded, vceqq_f32(x, x))
    }
}

/// Two roundings in a word: the first in its lower half.
#[inline(always)]
fn pair(first: float32x4_t, second: float32x4_t) -> uint32x4_t {
    // SAFETY: NEON is in the baseline of aarch64. Shifts right and inserts: the upper half of `second` stays.
    unsafe { vsriq_n_u32::<16>(round(second), round(first)) }
}

/// [`super::portable::pack`]; of one plane and the right operand, which the products of widened rows need.
///
/// # Safety
/// As there.
pub(super) unsafe fn pack(source: Source, pairs: Pairs, to: *mut u8) {
    if pairs.planes != 1 || pairs.side == Side::Left {
        // SAFETY: the caller's promises.
        return unsafe { super::portable::pack(source, pairs, to) };
    }
    for (tile, first, k) in pairs.tiles() {
        for p in (0..STEP).step_by(WIDE) {
            for lane in (0..TILE).step_by(WIDE) {
                // SAFETY: lanes and inner indices of the source; two rows of 16 words of the tile, four words of each.
                unsafe {
                    let [a, b, c, d] = square(source, first + lane, pairs.lanes, k + p, pairs.k);
                    let to = to.add(tile).cast::<u32>().add(p / 2 * TILE + lane);
                    vst1q_u32(to, pair(a, b));
                    vst1q_u32(to.add(TILE), pair(c, d));
                }
            }
        }
    }
}

/// [`super::portable::panels`].
///
/// # Safety
/// As there.
pub(super) unsafe fn panels(source: Source, panels: Panels, to: *mut f32) {
    let Panels { lanes, k, height, rounded } = panels;
    for group in 0..lanes.div_ceil(GROUP) {
        // Four inner indices of all lanes, so that memory is written in order.
        for p in (0..k).step_by(WIDE) {
            for lane in (0..GROUP).step_by(WIDE) {
                // SAFETY: lanes and inner indices of the source; rows below `k` of the group.
                unsafe {
                    let values = square(source, group * GROUP + lane, lanes, p, k);
                    let to = to.add((group * height + p) * GROUP + lane);
                    for (i, mut value) in values.into_iter().enumerate().take(k - p) {
                        if rounded {
                            let upper = vandq_u32(round(value), vdupq_n_u32(0xffff_0000));
                            value = vreinterpretq_f32_u32(upper);
                        }
                        vst1q_f32(to.add(i * GROUP), value);
                    }
                }
            }
        }
    }
}

/// Packs lanes with all their inner indices in groups of `Format::Fours`; what is absent is zero.
///
/// # Safety
/// `source` has these lanes and inner indices; `to` has room for the groups of `steps` steps, which are as many as `k` needs or more.
pub(crate) unsafe fn pack_fours(source: Source, lanes: usize, k: usize, steps: usize, to: *mut u8) {
    for group in 0..lanes.div_ceil(GROUP) {
        for p in (0..k.next_multiple_of(STEP)).step_by(WIDE) {
            for lane in (0..GROUP).step_by(WIDE) {
                // SAFETY: lanes and inner indices of the source; four lanes of four values of two bytes in the group.
                unsafe {
                    let [a, b, c, d] = square(source, group * GROUP + lane, lanes, p, k);
                    let (first, second) = (pair(a, b), pair(c, d));
                    let to = to.cast::<u32>().add((group * steps * STEP + p) / 2 * GROUP + 2 * lane);
                    vst1q_u32(to, vzip1q_u32(first, second));
                    vst1q_u32(to.add(WIDE), vzip2q_u32(first, second));
                }
            }
        }
    }
}
