//! Softmax over rows.
//!
//! `-inf` counts as the lowest finite number, so a row in which everything is blocked is uniform instead of NaN.

use super::binary::{Mul, assert_rows};
use super::dispatch::Arith;
use super::lanes::{Map, map, map_in_place, map_in_place_sum, max, sum};
use super::math::{at_least, exp_negative};

/// `x = softmax(x)` of every row: `exp(x_i - max) / sum_j exp(x_j - max)`.
///
/// # Shapes
/// - `scores`: `[rows, width]`
///
/// # Panics
/// `scores` is not a whole number of rows.
pub fn softmax_rows(scores: &mut [f32], width: usize) {
    assert_rows(scores, width);
    dispatch!(|scores: &mut [f32], width: usize| {
        for scores in scores.chunks_exact_mut(width.max(1)) {
            row::<A>(scores);
        }
    });
}

/// `probs = softmax(scale scores + bias)` of every row, with the same bias for all: a mask such as BERT's 0 and -10000.
///
/// # Shapes
/// - `scores`, `probs`: `[rows, width]`; `bias`: `[width]`
pub fn masked_softmax_rows(scores: &[f32], width: usize, scale: f32, bias: Option<&[f32]>, probs: &mut [f32]) {
    assert_rows(scores, width);
    assert_eq!(scores.len(), probs.len());
    if let Some(bias) = bias {
        assert_eq!(width, bias.len());
    }
    dispatch!(|scores: &[f32], width: usize, scale: f32, bias: Option<&[f32]>, probs: &mut [f32]| {
        for (scores, probs) in scores.chunks_exact(width.max(1)).zip(probs.chunks_exact_mut(width.max(1))) {
            match bias {
                Some(bias) => map::<A, _, _>(&ScaleAdd { factor: scale }, scores, [bias], probs),
                None => map::<A, _, _>(&Scale { factor: scale }, scores, [], probs),
            }
            row::<A>(probs);
        }
    });
}

/// `exp(x_i - max)` of every row and its sum, which the caller still has to divide by: [`softmax_rows`] where fewer values can be divided later.
///
/// # Shapes
/// - `scores`: `[rows, width]`; `sums`: `[rows]`
pub fn unscaled_softmax_rows(scores: &mut [f32], width: usize, sums: &mut [f32]) {
    assert_rows(scores, width);
    assert_eq!(scores.len(), sums.len() * width);
    dispatch!(|scores: &mut [f32], width: usize, sums: &mut [f32]| {
        for (scores, sum) in scores.chunks_exact_mut(width.max(1)).zip(sums) {
            *sum = unscaled::<A>(scores);
        }
    });
}

/// Gradient of [`softmax_rows`] from that of its output: `ds_i = p_i (dp_i - sum_j p_j dp_j)` in every row.
///
/// # Shapes
/// - `p`, `dp`, `ds`: `[rows, width]`
pub fn softmax_backward_rows(p: &[f32], dp: &[f32], width: usize, ds: &mut [f32]) {
    assert_rows(p, width);
    assert_eq!((p.len(), p.len()), (dp.len(), ds.len()));
    dispatch!(|p: &[f32], dp: &[f32], width: usize, ds: &mut [f32]| {
        let width = width.max(1);
        for ((p, dp), ds) in p.chunks_exact(width).zip(dp.chunks_exact(width)).zip(ds.chunks_exact_mut(width)) {
            let mean = sum::<A, _, _>(&Mul, p, [dp]);
            map::<A, _, _>(&Centered { mean }, p, [dp], ds);
        }
    });
}

/// `exp(x - max)`
struct ExpFrom {
    max: f32,
}

impl Map<0> for ExpFrom {
    #[inline(always)]
    fn at<A: Arith>(&self, x: f32, _: [f32; 0]) -> f32 {
        exp_negative::<A>(at_least(f32::MIN, x) - self.max)
    }
}

/// `factor x`
struct Scale {
    factor: f32,
}

impl Map<0> for Scale {
    #[inline(always)]
    fn at<A: Arith>(&self, x: f32, _: [f32; 0]) -> f32 {
        self.factor * x
    }
}

struct ScaleAdd {
    factor: f32,
}

impl Map<1> for ScaleAdd {
    #[inline(always)]
    fn at<A: Arith>(&self, x: f32, [bias]: [f32; 1]) -> f32 {
        A::fma(self.factor, x, bias)
    }
}

struct Centered {
    mean: f32,
}

impl Map<1> for Centered {
    #[inline(always)]
    fn at<A: Arith>(&self, p: f32, [dp]: [f32; 1]) -> f32 {
        p * (dp - self.mean)
    }
}

#[inline(always)]
fn row<A: Arith>(scores: &mut [f32]) {
    let sum = unscaled::<A>(scores);
    map_in_place::<A, Scale, 0>(&Scale { factor: 1.0 / sum }, scores, []);
}

/// `exp(x - max)`; their sum.
#[inline(always)]
fn unscaled<A: Arith>(scores: &mut [f32]) -> f32 {
    let exp = ExpFrom { max: max(scores) };
    map_in_place_sum::<A, ExpFrom>(&exp, scores)
}
