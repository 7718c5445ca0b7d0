//! Products of large matrices, shared among the threads of the current rayon pool. Bits do not depend on their number.

use std::ops::Range;

use nalgebra::{DMatrixView, DMatrixViewMut, Dyn};
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

use crate::Matrix;

/// Columns of a result that a thread computes at a time, of few columns and of one for each sample. The numbers are fixed: where a piece is narrow, its
/// sums round otherwise, so that the same columns have to be narrow pieces on any number of threads.
const COLUMNS: usize = 64;
const SAMPLES: usize = 512;

/// `a b`.
///
/// # Shapes
/// - `a`: `[m, k]`
/// - `b`: `[k, n]`
/// - output: `[m, n]`
///
/// # Panics
/// Shapes that do not fit.
pub fn product(a: &Matrix, b: &Matrix) -> Matrix {
    assert_eq!(a.ncols(), b.nrows(), "inner sizes of a product");
    by_columns(a.nrows(), b.ncols(), SAMPLES, |columns, mut out| {
        out.gemm(1.0, a, &b.columns_range(columns), 0.0);
    })
}

/// `a b^T`.
///
/// # Shapes
/// - `a`: `[m, samples]`
/// - `b`: `[n, samples]`
/// - output: `[m, n]`
///
/// # Panics
/// Shapes that do not fit.
pub fn product_transposed(a: &Matrix, b: &Matrix) -> Matrix {
    assert_eq!(a.ncols(), b.ncols(), "samples of a product");
    by_columns(a.nrows(), b.nrows(), COLUMNS, |columns, mut out| {
        out.gemm(1.0, a, &transposed_rows(b, columns), 0.0);
    })
}

/// Second moments `x diag(weights) x^T`, or `x x^T` without weights: each of the products is computed once, since the result is symmetric.
///
/// # Shapes
/// - `x`: `[features, samples]`
/// - `weights`: `[samples]`
/// - output: `[features, features]`
///
/// # Panics
/// Shapes that do not fit.
pub fn moments(x: &Matrix, weights: Option<&[f64]>) -> Matrix {
    let weighted = weights.map(|weights| scaled(x, weights));
    moments_with(weighted.as_ref().unwrap_or(x), x)
}

/// `a b^T`, which is known to be symmetric.
pub(crate) fn moments_with(a: &Matrix, b: &Matrix) -> Matrix {
    let size = a.nrows();
    let mut found = by_columns(size, size, COLUMNS, |columns, mut out| {
        let below = columns.start;
        out.rows_range_mut(below..).gemm(1.0, &a.rows_range(below..), &transposed_rows(b, columns), 0.0);
    });
    found.fill_upper_triangle_with_lower_triangle();
    found
}

/// Columns times their weights.
pub(crate) fn scaled(x: &Matrix, weights: &[f64]) -> Matrix {
    assert_eq!(x.ncols(), weights.len(), "a weight for each sample");
    let mut x = x.clone();
    for (mut column, &weight) in x.column_iter_mut().zip(weights) {
        column *= weight;
    }
    x
}

/// A matrix whose columns are computed `piece` at a time.
fn by_columns(
    rows: usize,
    columns: usize,
    piece: usize,
    make: impl Fn(Range<usize>, DMatrixViewMut<'_, f64>) + Sync,
) -> Matrix {
    let mut found = Matrix::zeros(rows, columns);
    if found.is_empty() {
        return found;
    }
    found.as_mut_slice().par_chunks_mut(rows * piece).enumerate().for_each(|(index, out)| {
        let (begin, count) = (index * piece, out.len() / rows);
        make(begin..begin + count, DMatrixViewMut::from_slice(out, rows, count));
    });
    found
}

/// Some rows of a matrix as columns.
fn transposed_rows(m: &Matrix, rows: Range<usize>) -> DMatrixView<'_, f64, Dyn, Dyn> {
    let stride = m.nrows();
    let values = if m.is_empty() { &[] } else { &m.as_slice()[rows.start..] };
    DMatrixView::from_slice_with_strides(values, m.ncols(), rows.len(), stride, 1)
}
