//! Transcendental functions without branches, so that loops over them become vector code.
//!
//! Coefficients are minimax fits made for this file, errors relative unless said otherwise. All functions return NaN
//! for NaN.

use std::f32::consts::{LN_2, LOG2_E};

use super::dispatch::Arith;

/// `exp` underflows below: `-126 ln 2`, a little less.
const EXP_LOWEST: f32 = -87.336_54;
/// `ln 2` in two parts (Cody & Waite 1980): products of the first with integers below 2^15 are exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// Added and subtracted, rounds to the nearest integer, which meanwhile is in the low bits.
const ROUNDER: f32 = 12_582_912.0;

/// `max(x, lowest)` that keeps NaN.
#[inline(always)]
pub(crate) fn at_least(lowest: f32, x: f32) -> f32 {
    if x < lowest { lowest } else { x }
}

/// `min(x, highest)` that keeps NaN.
#[inline(always)]
pub(crate) fn at_most(highest: f32, x: f32) -> f32 {
    if x > highest { highest } else { x }
}

/// `(s, q)` with `s` a power of two and `exp(x) = s (1 + q)`, for `x` in `EXP_LOWEST..=0`.
#[inline(always)]
fn exp_parts<A: Arith>(x: f32) -> (f32, f32) {
    let rounded = A::fma(x, LOG2_E, ROUNDER);
    let n = rounded - ROUNDER;
    let r = A::fma(n, -LN_2_LOW, A::fma(n, -LN_2_HIGH, x));
    // exp(r) - 1 for |r| <= ln(2) / 2 within 1.3e-8
    let p = A::fma(r, 1.387_945e-3, 8.366_466e-3);
    let p = A::fma(p, r, 4.166_723_4e-2);
    let p = A::fma(p, r, 0.166_665_43);
    let p = A::fma(p, r, 0.499_999_97);
    let q = A::fma(p * r, r, r);
    let s = f32::from_bits((rounded.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    (s, q)
}

/// `exp(x)` for `x <= 0`; 0 where the result would not be a normal number.
#[inline(always)]
pub(crate) fn exp_negative<A: Arith>(x: f32) -> f32 {
    let (s, q) = exp_parts::<A>(at_least(EXP_LOWEST, x));
    let e = A::fma(s, q, s);
    if x < EXP_LOWEST { 0.0 } else { e }
}

/// `exp(x) - 1` for `x <= 0`, accurate near 0.
#[inline(always)]
pub(crate) fn expm1_negative<A: Arith>(x: f32) -> f32 {
    let (s, q) = exp_parts::<A>(at_least(EXP_LOWEST, x));
    A::fma(s, q, s - 1.0)
}

/// `1 / (1 + exp(-x))`, and `exp(-|x|)` and `1 / (1 + exp(-|x|))`, of which its derivative is made.
#[inline(always)]
pub(crate) fn sigmoid_parts<A: Arith>(x: f32) -> (f32, f32, f32) {
    let e = exp_negative::<A>(-x.abs());
    let inverse = A::recip(1.0 + e);
    (if x < 0.0 { e * inverse } else { inverse }, e, inverse)
}

/// `tanh x = -m / (2 + m)` with `m = exp(-2 |x|) - 1`, and the sign of `x`; accurate near 0.
#[inline(always)]
pub(crate) fn tanh<A: Arith>(x: f32) -> f32 {
    let m = expm1_negative::<A>(-2.0 * x.abs());
    (-m * A::recip(2.0 + m)).copysign(x)
}

/// The normal distribution's lower tail `Phi(-a)`, `a >= 0`, as `exp(-L(a))`: its logarithm is nearly a parabola, and
/// one polynomial does for all `a`. The error of `a Phi(-a)` is below 1.2e-8; above 6 only that is small.
#[inline(always)]
pub(crate) fn normal_tail<A: Arith>(a: f32) -> f32 {
    let l = A::fma(a, 1.380_718_7e-6, -2.029_035e-5);
    let l = A::fma(l, a, 9.571_849e-5);
    let l = A::fma(l, a, 1.756_601_3e-4);
    let l = A::fma(l, a, -5.002_006_4e-3);
    let l = A::fma(l, a, 3.646_164_4e-2);
    let l = A::fma(l, a, 0.318_273_93);
    let l = A::fma(l, a, 0.797_888_46);
    exp_negative::<A>(-A::fma(l, a, LN_2))
}
