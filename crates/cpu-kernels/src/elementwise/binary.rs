//! Sums, products and maxima of two operands, elementwise.
//!
//! Every function panics where lengths differ. Those with an `out` give it back as values.

use super::dispatch::Arith;
use super::lanes::{Map, map_in_place};
use crate::out_slice::OutSlice;

pub(super) struct Add;

impl Map<1> for Add {
    #[inline(always)]
    fn at<A: Arith>(&self, a: f32, [b]: [f32; 1]) -> f32 {
        a + b
    }
}

pub(super) struct Mul;

impl Map<1> for Mul {
    #[inline(always)]
    fn at<A: Arith>(&self, a: f32, [b]: [f32; 1]) -> f32 {
        a * b
    }
}

struct Max;

impl Map<1> for Max {
    #[inline(always)]
    fn at<A: Arith>(&self, a: f32, [b]: [f32; 1]) -> f32 {
        if a < b { b } else { a }
    }
}

/// The gradient where the first operand was the maximum.
struct First;

impl Map<2> for First {
    #[inline(always)]
    fn at<A: Arith>(&self, dy: f32, [a, b]: [f32; 2]) -> f32 {
        if a < b { 0.0 } else { dy }
    }
}

/// The gradient where the second was.
struct Second;

impl Map<2> for Second {
    #[inline(always)]
    fn at<A: Arith>(&self, dy: f32, [a, b]: [f32; 2]) -> f32 {
        if a < b { dy } else { 0.0 }
    }
}

/// `out = a + b`
pub fn add<'a>(a: &[f32], b: &[f32], out: impl Into<OutSlice<'a>>) -> &'a mut [f32] {
    map_into!(out.into(), Add, a, [b])
}

/// `out = a b`
pub fn mul<'a>(a: &[f32], b: &[f32], out: impl Into<OutSlice<'a>>) -> &'a mut [f32] {
    map_into!(out.into(), Mul, a, [b])
}

/// `out = b` where `a < b`, otherwise `a`: of two equal values the first, as burn's `max_pair` does.
pub fn max<'a>(a: &[f32], b: &[f32], out: impl Into<OutSlice<'a>>) -> &'a mut [f32] {
    map_into!(out.into(), Max, a, [b])
}

/// `a = a + b`
pub fn add_in_place(a: &mut [f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    dispatch!(|a: &mut [f32], b: &[f32]| map_in_place::<A, _, _>(&Add, a, [b]));
}

/// `a = a b`
pub fn mul_in_place(a: &mut [f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    dispatch!(|a: &mut [f32], b: &[f32]| map_in_place::<A, _, _>(&Mul, a, [b]));
}

/// `a = max(a, b)`, see [`max`].
pub fn max_in_place(a: &mut [f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    dispatch!(|a: &mut [f32], b: &[f32]| map_in_place::<A, _, _>(&Max, a, [b]));
}

/// `da = dy b`, `db = dy a`
pub fn mul_backward<'a>(
    a: &[f32],
    b: &[f32],
    dy: &[f32],
    da: impl Into<OutSlice<'a>>,
    db: impl Into<OutSlice<'a>>,
) -> [&'a mut [f32]; 2] {
    [mul(dy, b, da), mul(dy, a, db)]
}

/// The gradient of [`max`] goes to the operand that was taken: all of it to the first where both are equal, as burn's
/// autodiff has it (PyTorch would halve it).
pub fn max_backward<'a>(
    a: &[f32],
    b: &[f32],
    dy: &[f32],
    da: impl Into<OutSlice<'a>>,
    db: impl Into<OutSlice<'a>>,
) -> [&'a mut [f32]; 2] {
    [map_into!(da.into(), First, dy, [a, b]), map_into!(db.into(), Second, dy, [a, b])]
}

/// `sums += sum_r x[r, :]`: the gradient of a bias.
///
/// # Shapes
/// - `x`: `[rows, width]`, `sums`: `[width]`
///
/// # Panics
/// `x` is not a whole number of rows.
pub fn add_column_sums(x: &[f32], sums: &mut [f32]) {
    assert_rows(x, sums.len());
    dispatch!(|x: &[f32], sums: &mut [f32]| {
        for row in x.chunks_exact(sums.len().max(1)) {
            map_in_place::<A, _, _>(&Add, sums, [row]);
        }
    });
}

/// Panics unless `x` is a whole number of rows.
pub(super) fn assert_rows(x: &[f32], width: usize) {
    let whole = if width == 0 { x.is_empty() } else { x.len().is_multiple_of(width) };
    assert!(whole, "{} values are not whole rows of {width}", x.len());
}
