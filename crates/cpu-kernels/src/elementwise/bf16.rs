//! `bf16`: the upper half of an `f32`.

use super::dispatch::Arith;

/// Rounds to the nearest `bf16`, ties to even; NaN stays NaN.
///
/// # Panics
/// The lengths differ.
pub fn from_f32(x: &[f32], y: &mut [u16]) {
    assert_eq!(x.len(), y.len());
    dispatch!(round, (x: &[f32], y: &mut [u16]));
}

/// Exact.
///
/// # Panics
/// The lengths differ.
pub fn to_f32(x: &[u16], y: &mut [f32]) {
    assert_eq!(x.len(), y.len());
    dispatch!(widen, (x: &[u16], y: &mut [f32]));
}

/// The nearest `bf16`, ties to even; NaN stays NaN.
#[inline(always)]
pub fn to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    let upper = bits >> 16;
    let rounded = bits.wrapping_add(0x7fff + (upper & 1)) >> 16;
    // A NaN whose set bits are all in the lower half must not become an infinity.
    let quiet = upper | 0x40;
    (if x.is_nan() { quiet } else { rounded }) as u16
}

#[inline(always)]
fn round<A: Arith>(x: &[f32], y: &mut [u16]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = to_bf16(x);
    }
}

#[inline(always)]
fn widen<A: Arith>(x: &[u16], y: &mut [f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = f32::from_bits(u32::from(x) << 16);
    }
}
