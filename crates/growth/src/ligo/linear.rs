//! The two linear maps, and their derivatives.

use std::borrow::Cow;

use cpu_kernels::matmul::{Epilogue, MatMut, MatRef, Precision, matmul};

use super::maps::Width;

/// Values in rows.
pub(super) struct Matrix<'a> {
    pub values: Cow<'a, [f32]>,
    pub rows: usize,
    pub columns: usize,
}

/// Which axis grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Rows,
    Columns,
}

/// One axis of a weight grows: with `B = [I; C]` and the numbers of copies `n`, where the axis is divided by them, `B diag(1 / n) X` or
/// `X diag(1 / n) B^T`.
pub(super) struct Step<'a> {
    pub side: Side,
    /// Name of the matrix.
    pub name: &'a str,
    /// `C [new - old, old]`.
    pub learned: &'a [f32],
    pub width: &'a Width,
    pub divided: bool,
}

const ADDED: Epilogue<'_> = Epilogue { scale: None, bias: None, activation: None, accumulate: true };

impl Step<'_> {
    /// # Shapes
    /// `[old, columns] -> [new, columns]`, or `[rows, k old] -> [rows, k new]`, where `k` vectors stand one after the other.
    pub fn expand(&self, x: &Matrix<'_>) -> Matrix<'static> {
        let (old, new) = (self.width.old, self.width.new);
        let x_scaled = self.scaled(&x.values, x.columns);
        let learned = MatRef::row_major(self.learned, new - old, old);
        match self.side {
            Side::Rows => {
                let columns = x.columns;
                let mut values = vec![0.0; new * columns];
                let (kept, more) = values.split_at_mut(old * columns);
                kept.copy_from_slice(&x_scaled);
                let from = MatRef::row_major(&x_scaled, old, columns);
                product(learned, from, MatMut::row_major(more, new - old, columns), &Epilogue::default());
                Matrix { values: values.into(), rows: new, columns }
            }
            Side::Columns => {
                let vectors = x_scaled.len() / old;
                let mut values = vec![0.0; vectors * new];
                for (to, from) in values.chunks_exact_mut(new).zip(x_scaled.chunks_exact(old)) {
                    to[..old].copy_from_slice(from);
                }
                let more = MatMut::new(&mut values[old..], vectors, new - old, new);
                product(MatRef::row_major(&x_scaled, vectors, old), learned.t(), more, &Epilogue::default());
                Matrix { values: values.into(), rows: x.rows, columns: x.columns / old * new }
            }
        }
    }

    /// Adds to the gradient of `C` what `gradient`, that of `expand(x)`, says; gives the gradient of `x`, if that is asked for.
    pub fn pull(
        &self,
        x: &Matrix<'_>,
        gradient: &[f32],
        of_learned: &mut [f32],
        wants_input: bool,
    ) -> Option<Vec<f32>> {
        let (old, new) = (self.width.old, self.width.new);
        let more = new - old;
        let x_scaled = self.scaled(&x.values, x.columns);
        let learned = MatRef::row_major(self.learned, more, old);
        let of_learned = MatMut::row_major(of_learned, more, old);
        let mut of_input = Vec::new();
        match self.side {
            Side::Rows => {
                let columns = x.columns;
                let (kept, made) = gradient.split_at(old * columns);
                let made = MatRef::row_major(made, more, columns);
                product(made, MatRef::row_major(&x_scaled, old, columns).t(), of_learned, &ADDED);
                if wants_input {
                    of_input = kept.to_vec();
                    product(learned.t(), made, MatMut::row_major(&mut of_input, old, columns), &ADDED);
                }
            }
            Side::Columns => {
                let vectors = x_scaled.len() / old;
                let made = MatRef::new(&gradient[old..], vectors, more, new, 1);
                product(made.t(), MatRef::row_major(&x_scaled, vectors, old), of_learned, &ADDED);
                if wants_input {
                    of_input.reserve_exact(vectors * old);
                    gradient.chunks_exact(new).for_each(|row| of_input.extend_from_slice(&row[..old]));
                    product(made, learned, MatMut::row_major(&mut of_input, vectors, old), &ADDED);
                }
            }
        }
        let scaled = |values: Vec<f32>| self.scaled(&values, x.columns).into_owned();
        wants_input.then(|| if self.divided { scaled(of_input) } else { of_input })
    }

    /// The values, of each old channel divided by the number of its copies.
    fn scaled<'v>(&self, values: &'v [f32], columns: usize) -> Cow<'v, [f32]> {
        if !self.divided {
            return Cow::Borrowed(values);
        }
        let copies = &self.width.copies;
        let mut values = values.to_vec();
        match self.side {
            Side::Rows => {
                for (row, n) in values.chunks_exact_mut(columns).zip(copies) {
                    row.iter_mut().for_each(|value| *value /= n);
                }
            }
            Side::Columns => {
                for row in values.chunks_exact_mut(copies.len()) {
                    row.iter_mut().zip(copies).for_each(|(value, n)| *value /= n);
                }
            }
        }
        values.into()
    }
}

fn product(a: MatRef<'_>, b: MatRef<'_>, out: MatMut<'_>, epilogue: &Epilogue<'_>) {
    matmul(a, b, out, Precision::F32, epilogue);
}

/// `sum_j w_j X_j`. Weights of 0 add nothing.
pub(super) fn mixed<'a>(weights: &[f32], sources: &[&'a [f32]]) -> Cow<'a, [f32]> {
    let mut terms = weights.iter().zip(sources).filter(|(w, _)| **w != 0.0);
    let Some((&first, &source)) = terms.next() else { return vec![0.0; sources[0].len()].into() };
    let mut sum = if first == 1.0 { Cow::Borrowed(source) } else { source.iter().map(|v| first * v).collect() };
    for (weight, source) in terms {
        sum.to_mut().iter_mut().zip(*source).for_each(|(sum, v)| *sum += weight * v);
    }
    sum
}

/// The scalar product, in `f64`.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f64 {
    const LANES: usize = 16;
    let mut sums = [0f64; LANES];
    let (a, b) = (a.chunks(LANES), b.chunks(LANES));
    for (a, b) in a.zip(b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += f64::from(*a) * f64::from(*b));
    }
    sums.iter().sum()
}
