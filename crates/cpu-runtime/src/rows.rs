//! The operations on rows.

use cpu_kernels::elementwise::{Activation, binary, norm};
use mlp_space::{Align, Binary};

use crate::compile::{Norm, Turns};

/// Rows in memory: where the first is, and how far the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows {
    pub start: *mut f32,
    pub stride: usize,
}

impl Rows {
    /// First value of row `i`.
    ///
    /// # Safety
    /// The row exists.
    pub unsafe fn row(self, i: usize) -> *mut f32 {
        // SAFETY: the row lies in the allocation, by the caller's promise.
        unsafe { self.start.add(i * self.stride) }
    }

    /// `width` values of row `i`.
    ///
    /// # Safety
    /// They exist and no thread writes them while the result is in use.
    pub unsafe fn read<'a>(self, i: usize, width: usize) -> &'a [f32] {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts(self.row(i), width) }
    }

    /// `width` values of row `i`.
    ///
    /// # Safety
    /// They exist and no other thread uses them while the result is in use.
    pub unsafe fn write<'a>(self, i: usize, width: usize) -> &'a mut [f32] {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.row(i), width) }
    }
}

/// `out = Norm(x + residual)`; with a residual `x` may be overwritten.
pub(crate) fn normalize(which: &Norm, x: &mut [f32], residual: Option<&[f32]>, out: &mut [f32]) {
    let (weight, bias) = (&which.weight, &which.bias);
    match (which.eps, residual) {
        (Some(eps), None) => _ = norm::layer_norm(x, weight, bias, eps, out, None),
        (Some(eps), Some(r)) => {
            norm::layer_norm_in_place(binary::add(x, r, out), weight, bias, eps, None);
        }
        (None, residual) => {
            if let Some(r) = residual {
                binary::add_in_place(x, r);
            }
            norm::no_norm(x, weight, bias, out);
        }
    }
}

/// `x = x / |x|`; zeros stay.
pub(crate) fn to_unit_length(x: &mut [f32]) {
    let length = x.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        x.iter_mut().for_each(|value| *value /= length);
    }
}

/// Turns channels `i` and `i + width / 2` of each head in `x`, which is `width` wide, by the angle of the position.
pub(crate) fn turn(x: &mut [f32], width: usize, turns: &Turns, position: usize) {
    let pairs = width / 2;
    let own = position * pairs..(position + 1) * pairs;
    let (cosines, sines) = (&turns.cosines[own.clone()], &turns.sines[own]);
    for head in x.chunks_exact_mut(width) {
        let (first, second) = head.split_at_mut(pairs);
        for ((a, b), (cos, sin)) in first.iter_mut().zip(second).zip(cosines.iter().zip(sines)) {
            (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
        }
    }
}

/// `out = f(x)` for row `i`; `out` may be `x`.
///
/// # Safety
/// Both rows have `width` values, and no other thread uses them.
pub(crate) unsafe fn unary(f: Activation, x: Rows, out: Rows, i: usize, width: usize) {
    // SAFETY: different places do not overlap, and one place is borrowed once.
    unsafe {
        if x.start == out.start {
            f.forward_in_place(out.write(i, width));
        } else {
            f.forward(x.read(i, width), out.write(i, width));
        }
    }
}

/// `out = op(a, b)` for row `i`; `out` may be one of them.
///
/// # Safety
/// The rows have `width` values, and no other thread uses them.
pub(crate) unsafe fn combine(op: Binary, [a, b, out]: [Rows; 3], i: usize, width: usize) {
    // SAFETY: different places do not overlap, and one place is borrowed once: the first branch is taken only when the
    // other operand is another place.
    unsafe {
        if out.start == a.start || out.start == b.start {
            let other = if out.start == a.start { b } else { a };
            let (out, other) = (out.write(i, width), other.read(i, width));
            match op {
                Binary::Add => binary::add_in_place(out, other),
                Binary::Mul => binary::mul_in_place(out, other),
                Binary::Max => binary::max_in_place(out, other),
            }
        } else {
            let (a, b, out) = (a.read(i, width), b.read(i, width), out.write(i, width));
            match op {
                Binary::Add => binary::add(a, b, out),
                Binary::Mul => binary::mul(a, b, out),
                Binary::Max => binary::max(a, b, out),
            };
        }
    }
}

/// `out = op(out, padding)`, [`Align::Pad`]'s values: sums and products stay as they are.
pub(crate) fn pad(op: Binary, out: &mut [f32]) {
    if op == Binary::Max {
        out.iter_mut().for_each(|v| *v = v.max(Align::MAX_PADDING as f32));
    }
}
