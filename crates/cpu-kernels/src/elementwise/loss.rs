//! Losses: sums of squares over tensors, cross entropies over rows of logits. Sums are returned, callers divide.

use super::binary::assert_rows;
use super::dispatch::Arith;
use super::lanes::{LANES, Map, map, map_in_place, max, sum};
use super::math::{at_least, exp_negative};
use crate::out_slice::{OutSlice, Uninit};

/// Attention scores at or below this are mask, not attention (TinyBERT, EfficientBERT).
const BLOCKED: f32 = -100.0;

/// `sum_i (a_i - b_i)^2`, differences in `f32`, squares and sum in `f64`: the same on every machine.
pub fn squared_error_sum(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    dispatch!(|a: &[f32], b: &[f32]| -> f64 { sum_of_squares::<false>(a, b) })
}

/// Gradient of `scale / 2` [`squared_error_sum`] with respect to `a`: `da = scale (a - b)`.
pub fn squared_error_gradient<'a>(a: &[f32], b: &[f32], scale: f32, da: impl Into<OutSlice<'a>>) -> &'a mut [f32] {
    map_into!(da.into(), Difference::<false> { scale }, a, [b], (scale: f32))
}

/// [`squared_error_sum`] of attention scores: entries at or below -100 count as 0, in `a` and in `b` independently.
pub fn unblocked_squared_error_sum(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    dispatch!(|a: &[f32], b: &[f32]| -> f64 { sum_of_squares::<true>(a, b) })
}

/// Gradient of `scale / 2` [`unblocked_squared_error_sum`] with respect to `a`: 0 where `a` is blocked.
pub fn unblocked_squared_error_gradient<'a>(
    a: &[f32],
    b: &[f32],
    scale: f32,
    da: impl Into<OutSlice<'a>>,
) -> &'a mut [f32] {
    map_into!(da.into(), Difference::<true> { scale }, a, [b], (scale: f32))
}

/// `-sum_r sum_i softmax(teacher_r / T)_i log_softmax(student_r / T)_i`, without a factor `T^2`.
///
/// # Shapes
/// - `student`, `teacher`: `[rows, classes]`
pub fn soft_cross_entropy_sum(student: &[f32], teacher: &[f32], classes: usize, temperature: f32) -> f64 {
    assert_rows(student, classes);
    assert_eq!(student.len(), teacher.len());
    dispatch!(|student: &[f32], teacher: &[f32], classes: usize, temperature: f32| -> f64 {
        let mut total = 0.0;
        for (s, t) in student.chunks_exact(classes.max(1)).zip(teacher.chunks_exact(classes.max(1))) {
            total += f64::from(sum::<A, Term, 1>(&term::<A>(s, t, temperature), s, [t]));
        }
        total
    })
}

/// Gradient of `scale` [`soft_cross_entropy_sum`] with respect to `student`:
/// `d = scale / T (softmax(student / T) - softmax(teacher / T))`.
///
/// # Shapes
/// - `student`, `teacher`, `d`: `[rows, classes]`
pub fn soft_cross_entropy_gradient<'a>(
    student: &[f32],
    teacher: &[f32],
    classes: usize,
    temperature: f32,
    scale: f32,
    d: impl Into<OutSlice<'a>>,
) -> &'a mut [f32] {
    let d = d.into();
    assert_rows(student, classes);
    assert_eq!((student.len(), student.len()), (teacher.len(), d.len()));
    let write = |d: &mut Uninit| {
        dispatch!(|student: &[f32], teacher: &[f32], classes: usize, temperature: f32, scale: f32, d: &mut Uninit| {
            let n = classes.max(1);
            let scale = scale / temperature;
            for ((s, t), d) in student.chunks_exact(n).zip(teacher.chunks_exact(n)).zip(d.chunks_exact_mut(n)) {
                let term = term::<A>(s, t, temperature);
                map::<A, TermGradient, 1>(&TermGradient { term, scale }, s, [t], d);
            }
        });
    };
    // SAFETY: `d` is whole rows, and `map` writes each of them.
    unsafe { d.write_with(write) }
}

/// `losses_r = -log_softmax(scores_r)[label_r]` of each row.
///
/// # Shapes
/// - `scores`: `[rows, classes]`
/// - `labels`, `losses`: `[rows]`
///
/// # Panics
/// A label that is no class.
pub fn cross_entropy_rows(scores: &[f32], classes: usize, labels: &[u32], losses: &mut [f32]) {
    assert_labels(scores, classes, labels);
    assert_eq!(labels.len(), losses.len());
    dispatch!(|scores: &[f32], classes: usize, labels: &[u32], losses: &mut [f32]| {
        for ((x, label), loss) in scores.chunks_exact(classes.max(1)).zip(labels).zip(losses) {
            *loss = -Tempered::of::<A>(x, 1.0).log(x[*label as usize]);
        }
    });
}

/// Gradient of `sum_r factors_r losses_r` of [`cross_entropy_rows`], in the place of the scores: `x_r = factors_r (softmax(x_r) - onehot(label_r))`.
/// Scores of a vocabulary are the largest values of a training step.
///
/// # Shapes
/// - `scores`: `[rows, classes]`
/// - `labels`, `factors`: `[rows]`
///
/// # Panics
/// A label that is no class.
pub fn cross_entropy_gradient(scores: &mut [f32], classes: usize, labels: &[u32], factors: &[f32]) {
    assert_labels(scores, classes, labels);
    assert_eq!(labels.len(), factors.len());
    dispatch!(|scores: &mut [f32], classes: usize, labels: &[u32], factors: &[f32]| {
        for ((x, factor), label) in scores.chunks_exact_mut(classes.max(1)).zip(factors).zip(labels) {
            let softmax = ScaledProbability { all: Tempered::of::<A>(x, 1.0), scale: *factor };
            map_in_place::<A, ScaledProbability, 0>(&softmax, x, []);
            x[*label as usize] -= factor;
        }
    });
}

fn assert_labels(scores: &[f32], classes: usize, labels: &[u32]) {
    assert_rows(scores, classes);
    assert_eq!(scores.len(), classes * labels.len());
    assert!(labels.iter().all(|label| (*label as usize) < classes), "labels of {classes} classes");
}

#[inline(always)]
fn unblocked(x: f32) -> f32 {
    if x <= BLOCKED { 0.0 } else { x }
}

/// The difference of two values, of which blocked ones may count as 0.
#[inline(always)]
fn difference<const UNBLOCK: bool>(a: f32, b: f32) -> f32 {
    if UNBLOCK { unblocked(a) - unblocked(b) } else { a - b }
}

#[inline(always)]
fn sum_of_squares<const UNBLOCK: bool>(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0_f64; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            let d = f64::from(difference::<UNBLOCK>(a[i], b[i]));
            sums[i] += d * d;
        }
    }
    for (i, (&a, &b)) in a_rest.iter().zip(b_rest).enumerate() {
        let d = f64::from(difference::<UNBLOCK>(a, b));
        sums[i] += d * d;
    }
    sums.iter().sum()
}

struct Difference<const UNBLOCK: bool> {
    scale: f32,
}

impl<const UNBLOCK: bool> Map<1> for Difference<UNBLOCK> {
    #[inline(always)]
    fn at<A: Arith>(&self, a: f32, [b]: [f32; 1]) -> f32 {
        let d = self.scale * difference::<UNBLOCK>(a, b);
        if UNBLOCK && a <= BLOCKED { 0.0 } else { d }
    }
}

/// `log_softmax(x / T)`, value by value.
struct Tempered {
    temperature: f32,
    max: f32,
    log_sum: f32,
}

impl Tempered {
    #[inline(always)]
    fn of<A: Arith>(x: &[f32], temperature: f32) -> Self {
        let all = Self { temperature, max: max(x) / temperature, log_sum: 0.0 };
        let log_sum = sum::<A, Probability<'_>, 0>(&Probability(&all), x, []).ln();
        Self { log_sum, ..all }
    }

    #[inline(always)]
    fn log(&self, x: f32) -> f32 {
        (at_least(f32::MIN, x / self.temperature) - self.max) - self.log_sum
    }
}

struct Probability<'a>(&'a Tempered);

impl Map<0> for Probability<'_> {
    #[inline(always)]
    fn at<A: Arith>(&self, x: f32, _: [f32; 0]) -> f32 {
        exp_negative::<A>(self.0.log(x))
    }
}

struct ScaledProbability {
    all: Tempered,
    scale: f32,
}

impl Map<0> for ScaledProbability {
    #[inline(always)]
    fn at<A: Arith>(&self, x: f32, _: [f32; 0]) -> f32 {
        self.scale * exp_negative::<A>(self.all.log(x))
    }
}

/// `-softmax(t / T) log_softmax(s / T)`
struct Term {
    student: Tempered,
    teacher: Tempered,
}

impl Map<1> for Term {
    #[inline(always)]
    fn at<A: Arith>(&self, s: f32, [t]: [f32; 1]) -> f32 {
        -exp_negative::<A>(self.teacher.log(t)) * self.student.log(s)
    }
}

struct TermGradient {
    term: Term,
    scale: f32,
}

impl Map<1> for TermGradient {
    #[inline(always)]
    fn at<A: Arith>(&self, s: f32, [t]: [f32; 1]) -> f32 {
        let (s, t) = (self.term.student.log(s), self.term.teacher.log(t));
        self.scale * (exp_negative::<A>(s) - exp_negative::<A>(t))
    }
}

#[inline(always)]
fn term<A: Arith>(student: &[f32], teacher: &[f32], temperature: f32) -> Term {
    Term { student: Tempered::of::<A>(student, temperature), teacher: Tempered::of::<A>(teacher, temperature) }
}
