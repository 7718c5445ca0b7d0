//! Normalization of rows with a learned scale and shift.

use super::binary::{Add, Mul, add, assert_rows};
use super::dispatch::Arith;
use super::lanes::{Map, map, map_in_place, sum};
use crate::out_slice::{OutSlice, Uninit};

/// Mean and `1 / sqrt(variance + eps)` of each row: what [`layer_norm_backward`] needs again.
pub type Stats<'a> = Option<(&'a mut [f32], &'a mut [f32])>;

/// LayerNorm (Ba, Kiros & Hinton 2016): `y = (x - mean) / sqrt(variance + eps) gamma + beta` for every row, with the
/// mean of squares around the mean as variance.
///
/// # Shapes
/// - `x`, `y`: `[rows, width]`; `gamma`, `beta`: `[width]`; `stats`: `[rows]` each
pub fn layer_norm<'a>(
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    eps: f32,
    y: impl Into<OutSlice<'a>>,
    stats: Stats<'_>,
) -> &'a mut [f32] {
    let y = y.into();
    assert_eq!(x.len(), y.len());
    check(x, gamma, beta, &stats);
    let write = |y: &mut Uninit| {
        dispatch!(|x: &[f32], gamma: &[f32], beta: &[f32], eps: f32, y: &mut Uninit, stats: Stats<'_>| {
            let mut stats = stats;
            let width = gamma.len().max(1);
            for (r, (x, y)) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).enumerate() {
                let found = moments::<A>(x, eps);
                map::<A, _, _>(&found, x, [gamma, beta], y);
                keep(&mut stats, r, &found);
            }
        });
    };
    // SAFETY: `y` is whole rows, and `map` writes each of them.
    unsafe { y.write_with(write) }
}

/// [`layer_norm`] over its input.
pub fn layer_norm_in_place(x: &mut [f32], gamma: &[f32], beta: &[f32], eps: f32, stats: Stats<'_>) {
    check(x, gamma, beta, &stats);
    dispatch!(|x: &mut [f32], gamma: &[f32], beta: &[f32], eps: f32, stats: Stats<'_>| {
        let mut stats = stats;
        for (r, x) in x.chunks_exact_mut(gamma.len().max(1)).enumerate() {
            let found = moments::<A>(x, eps);
            map_in_place::<A, _, _>(&found, x, [gamma, beta]);
            keep(&mut stats, r, &found);
        }
    });
}

/// `sum = x + residual`, which [`layer_norm_backward`] takes, and `y = LayerNorm(sum)`; both are given back.
///
/// # Shapes
/// - `x`, `residual`, `sum`, `y`: `[rows, width]`; the others as for [`layer_norm`]
#[allow(clippy::too_many_arguments, reason = "the operands of one kernel")]
pub fn add_layer_norm<'a>(
    x: &[f32],
    residual: &[f32],
    gamma: &[f32],
    beta: &[f32],
    eps: f32,
    sum: impl Into<OutSlice<'a>>,
    y: impl Into<OutSlice<'a>>,
    stats: Stats<'_>,
) -> [&'a mut [f32]; 2] {
    // Few enough rows that their sums are in the first cache for the second pass.
    const BLOCK: usize = 4096;
    let (mut sum, mut y, mut stats) = (sum.into(), y.into(), stats);
    assert_eq!([x.len(); 3], [residual.len(), sum.len(), y.len()]);
    check(x, gamma, beta, &stats);
    let width = gamma.len();
    let rows = (BLOCK / width.max(1)).max(1);
    let size = rows * width.max(1);
    let outputs = sum.reborrow().chunks(size).zip(y.reborrow().chunks(size));
    let blocks = x.chunks(size).zip(residual.chunks(size)).zip(outputs);
    for (block, ((x, residual), (sum, y))) in blocks.enumerate() {
        let (first, last) = (block * rows, block * rows + x.len() / width);
        let part = stats.as_mut().map(|(mean, inv_std)| (&mut mean[first..last], &mut inv_std[first..last]));
        layer_norm(add(x, residual, sum), gamma, beta, eps, y, part);
    }
    // SAFETY: all have the length of `x`, and both operations write their block whole.
    unsafe { [sum.assume_init(), y.assume_init()] }
}

/// Gradients of [`layer_norm`] from those of its output; `dx` is given back. With `h = (x - mean) inv_std`, `g = dy gamma`:
/// `dx = inv_std (g - mean(g) - h mean(g h))`, `d_gamma += sum_r dy h`, `d_beta += sum_r dy`.
///
/// # Shapes
/// - `x` (what was normalized), `dy`, `dx`: `[rows, width]`; `mean`, `inv_std`: `[rows]`
/// - `gamma`, `d_gamma`, `d_beta`: `[width]`; the last two are added to
#[allow(clippy::too_many_arguments, reason = "the operands of one kernel")]
pub fn layer_norm_backward<'a>(
    x: &[f32],
    mean: &[f32],
    inv_std: &[f32],
    gamma: &[f32],
    dy: &[f32],
    dx: impl Into<OutSlice<'a>>,
    d_gamma: &mut [f32],
    d_beta: &mut [f32],
) -> &'a mut [f32] {
    let (dx, width) = (dx.into(), gamma.len());
    assert_rows(x, width);
    assert_eq!((x.len(), x.len()), (dy.len(), dx.len()));
    assert_eq!((width, width), (d_gamma.len(), d_beta.len()));
    assert_eq!((mean.len() * width, inv_std.len() * width), (x.len(), x.len()));
    let write = |dx: &mut Uninit| {
        dispatch!(|x: &[f32],
                   mean: &[f32],
                   inv_std: &[f32],
                   gamma: &[f32],
                   dy: &[f32],
                   dx: &mut Uninit,
                   d_gamma: &mut [f32],
                   d_beta: &mut [f32]| {
            let width = gamma.len().max(1);
            let rows = x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(dx.chunks_exact_mut(width));
            for (r, ((x, dy), dx)) in rows.enumerate() {
                let row = Normalize { mean: mean[r], inv_std: inv_std[r] };
                let mean = sum::<A, _, _>(&Mul, dy, [gamma]) / width as f32;
                let slope = sum::<A, _, _>(&Weighted(&row), dy, [gamma, x]) / width as f32;
                map::<A, _, _>(&Gradient { row: &row, mean, slope }, dy, [gamma, x], dx);
                map_in_place::<A, _, _>(&AddScaled(&row), d_gamma, [dy, x]);
                map_in_place::<A, _, _>(&Add, d_beta, [dy]);
            }
        });
    };
    // SAFETY: `dx` is whole rows, and `map` writes each of them.
    unsafe { dx.write_with(write) }
}

/// NoNorm (MobileBERT, Sun et al. 2020): `y = x gamma + beta` for every row.
///
/// # Shapes
/// - `x`, `y`: `[rows, width]`; `gamma`, `beta`: `[width]`
pub fn no_norm(x: &[f32], gamma: &[f32], beta: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len());
    check(x, gamma, beta, &None);
    dispatch!(|x: &[f32], gamma: &[f32], beta: &[f32], y: &mut [f32]| {
        let width = gamma.len().max(1);
        for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
            map::<A, _, _>(&UNIT, x, [gamma, beta], y);
        }
    });
}

fn check(x: &[f32], gamma: &[f32], beta: &[f32], stats: &Stats<'_>) {
    let width = gamma.len();
    assert_rows(x, width);
    assert_eq!(width, beta.len());
    if let Some((mean, inv_std)) = stats {
        assert_eq!((mean.len() * width, inv_std.len() * width), (x.len(), x.len()));
    }
}

struct Itself;

impl Map<0> for Itself {
    #[inline(always)]
    fn at<A: Arith>(&self, x: f32, _: [f32; 0]) -> f32 {
        x
    }
}

struct Square {
    mean: f32,
}

impl Map<0> for Square {
    #[inline(always)]
    fn at<A: Arith>(&self, x: f32, _: [f32; 0]) -> f32 {
        (x - self.mean) * (x - self.mean)
    }
}

struct Normalize {
    mean: f32,
    inv_std: f32,
}

impl Map<2> for Normalize {
    #[inline(always)]
    fn at<A: Arith>(&self, x: f32, [gamma, beta]: [f32; 2]) -> f32 {
        A::fma((x - self.mean) * self.inv_std, gamma, beta)
    }
}

/// Mean and inverse standard deviation. The second pass sees deviations from the mean, so a large mean costs nothing.
#[inline(always)]
fn moments<A: Arith>(row: &[f32], eps: f32) -> Normalize {
    let n = row.len() as f32;
    let mean = sum::<A, Itself, 0>(&Itself, row, []) / n;
    let variance = sum::<A, Square, 0>(&Square { mean }, row, []) / n;
    Normalize { mean, inv_std: 1.0 / (variance + eps).sqrt() }
}

#[inline(always)]
fn keep(stats: &mut Stats<'_>, row: usize, found: &Normalize) {
    if let Some((mean, inv_std)) = stats {
        mean[row] = found.mean;
        inv_std[row] = found.inv_std;
    }
}

/// `dy gamma h`
struct Weighted<'a>(&'a Normalize);

impl Map<2> for Weighted<'_> {
    #[inline(always)]
    fn at<A: Arith>(&self, dy: f32, [gamma, x]: [f32; 2]) -> f32 {
        dy * gamma * ((x - self.0.mean) * self.0.inv_std)
    }
}

struct Gradient<'a> {
    row: &'a Normalize,
    mean: f32,
    slope: f32,
}

impl Map<2> for Gradient<'_> {
    #[inline(always)]
    fn at<A: Arith>(&self, dy: f32, [gamma, x]: [f32; 2]) -> f32 {
        let h = (x - self.row.mean) * self.row.inv_std;
        self.row.inv_std * A::fma(-h, self.slope, A::fma(dy, gamma, -self.mean))
    }
}

/// `sum + dy h`
struct AddScaled<'a>(&'a Normalize);

impl Map<2> for AddScaled<'_> {
    #[inline(always)]
    fn at<A: Arith>(&self, sum: f32, [dy, x]: [f32; 2]) -> f32 {
        A::fma(dy, (x - self.0.mean) * self.0.inv_std, sum)
    }
}

/// NoNorm is a LayerNorm that takes every row for normalized.
const UNIT: Normalize = Normalize { mean: 0.0, inv_std: 1.0 };
