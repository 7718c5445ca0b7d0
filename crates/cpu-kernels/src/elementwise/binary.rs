//! Sums, products and maxima of two operands, elementwise.
//!
//! Every function panics where lengths differ. Those with an `out` give it back as values.

use super::dispatch::Arith;
use super::lanes::{Map, map, map_in_place};
use crate::out_slice::{OutSlice, Uninit};

struct Add;

impl Map<1> for Add {
    #[inline(always)]
    fn at<A: Arith>(&self, a: f32, [b]: [f32; 1]) -> f32 {
        a + b
    }
}

struct Mul;

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
    let out = out.into();
    assert_eq!((a.len(), a.len()), (b.len(), out.len()));
    let write = |out: &mut Uninit| dispatch!(add_body, (a: &[f32], b: &[f32], out: &mut Uninit));
    // SAFETY: `map` writes a value for each of `a`.
    unsafe { out.write_with(write) }
}

/// `out = a b`
pub fn mul<'a>(a: &[f32], b: &[f32], out: impl Into<OutSlice<'a>>) -> &'a mut [f32] {
    let out = out.into();
    assert_eq!((a.len(), a.len()), (b.len(), out.len()));
    let write = |out: &mut Uninit| dispatch!(mul_body, (a: &[f32], b: &[f32], out: &mut Uninit));
    // SAFETY: `map` writes a value for each of `a`.
    unsafe { out.write_with(write) }
}

/// `out = b` where `a < b`, otherwise `a`: of two equal values the first, as burn's `max_pair` does.
pub fn max<'a>(a: &[f32], b: &[f32], out: impl Into<OutSlice<'a>>) -> &'a mut [f32] {
    let out = out.into();
    assert_eq!((a.len(), a.len()), (b.len(), out.len()));
    let write = |out: &mut Uninit| dispatch!(max_body, (a: &[f32], b: &[f32], out: &mut Uninit));
    // SAFETY: `map` writes a value for each of `a`.
    unsafe { out.write_with(write) }
}

/// `a = a + b`
pub fn add_in_place(a: &mut [f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    dispatch!(add_in_place_body, (a: &mut [f32], b: &[f32]));
}

/// `a = a b`
pub fn mul_in_place(a: &mut [f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    dispatch!(mul_in_place_body, (a: &mut [f32], b: &[f32]));
}

/// `a = max(a, b)`, see [`max`].
pub fn max_in_place(a: &mut [f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    dispatch!(max_in_place_body, (a: &mut [f32], b: &[f32]));
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
    let (da, db) = (da.into(), db.into());
    assert_eq!([a.len(); 4], [b.len(), dy.len(), da.len(), db.len()]);
    let first = |da: &mut Uninit| dispatch!(first_body, (a: &[f32], b: &[f32], dy: &[f32], da: &mut Uninit));
    let second = |db: &mut Uninit| dispatch!(second_body, (a: &[f32], b: &[f32], dy: &[f32], db: &mut Uninit));
    // SAFETY: `map` writes a value for each of `dy`.
    unsafe { [da.write_with(first), db.write_with(second)] }
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
    dispatch!(column_sums_body, (x: &[f32], sums: &mut [f32]));
}

/// Panics unless `x` is a whole number of rows.
pub(super) fn assert_rows(x: &[f32], width: usize) {
    let whole = if width == 0 { x.is_empty() } else { x.len().is_multiple_of(width) };
    assert!(whole, "{} values are no rows of {width}", x.len());
}

#[inline(always)]
fn add_body<A: Arith>(a: &[f32], b: &[f32], out: &mut Uninit) {
    map::<A, Add, 1>(&Add, a, [b], out);
}

#[inline(always)]
fn mul_body<A: Arith>(a: &[f32], b: &[f32], out: &mut Uninit) {
    map::<A, Mul, 1>(&Mul, a, [b], out);
}

#[inline(always)]
fn max_body<A: Arith>(a: &[f32], b: &[f32], out: &mut Uninit) {
    map::<A, Max, 1>(&Max, a, [b], out);
}

#[inline(always)]
fn add_in_place_body<A: Arith>(a: &mut [f32], b: &[f32]) {
    map_in_place::<A, Add, 1>(&Add, a, [b]);
}

#[inline(always)]
fn mul_in_place_body<A: Arith>(a: &mut [f32], b: &[f32]) {
    map_in_place::<A, Mul, 1>(&Mul, a, [b]);
}

#[inline(always)]
fn max_in_place_body<A: Arith>(a: &mut [f32], b: &[f32]) {
    map_in_place::<A, Max, 1>(&Max, a, [b]);
}

#[inline(always)]
fn first_body<A: Arith>(a: &[f32], b: &[f32], dy: &[f32], da: &mut Uninit) {
    map::<A, First, 2>(&First, dy, [a, b], da);
}

#[inline(always)]
fn second_body<A: Arith>(a: &[f32], b: &[f32], dy: &[f32], db: &mut Uninit) {
    map::<A, Second, 2>(&Second, dy, [a, b], db);
}

#[inline(always)]
fn column_sums_body<A: Arith>(x: &[f32], sums: &mut [f32]) {
    for row in x.chunks_exact(sums.len().max(1)) {
        map_in_place::<A, Add, 1>(&Add, sums, [row]);
    }
}
