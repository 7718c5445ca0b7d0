//! `bf16`: the upper half of an `f32`.

use std::mem::MaybeUninit;

use crate::OutSlice;

/// Rounds to the nearest `bf16`, ties to even; NaN stays NaN.
pub fn from_f32<'a>(x: &[f32], y: impl Into<OutSlice<'a, u16>>) -> &'a mut [u16] {
    let y = y.into();
    assert_eq!(x.len(), y.len());
    let write = |y: &mut [MaybeUninit<u16>]| {
        dispatch!(|x: &[f32], y: &mut [MaybeUninit<u16>]| {
            for (y, &x) in y.iter_mut().zip(x) {
                y.write(to_bf16(x));
            }
        });
    };
    // SAFETY: the body writes a value for each of `x`, which are as many.
    unsafe { y.write_with(write) }
}

/// Exact.
pub fn to_f32(x: &[u16], y: &mut [f32]) {
    assert_eq!(x.len(), y.len());
    dispatch!(|x: &[u16], y: &mut [f32]| {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = f32::from_bits(u32::from(x) << 16);
        }
    });
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
