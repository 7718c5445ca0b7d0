//! Strided views of matrices.

use std::ops::Range;

use super::epilogue::Output;
use crate::OutSlice;

/// A matrix to read: element `(i, j)` is `data[i * row_stride + j * col_stride]`.
#[derive(Clone, Copy, Debug)]
pub struct MatRef<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> MatRef<'a> {
    /// Views memory as a matrix with strides.
    ///
    /// # Panics
    /// `data` is too short for the last element.
    pub fn new(data: &'a [f32], rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> Self {
        if rows > 0 && cols > 0 {
            let last = (rows - 1) * row_stride + (cols - 1) * col_stride;
            assert!(last < data.len(), "a {rows} x {cols} view ends at {last}, the data has {} values", data.len());
        }
        Self { data, rows, cols, row_stride, col_stride }
    }

    /// Rows of `cols` values, one after the other.
    pub fn row_major(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::new(data, rows, cols, cols, 1)
    }

    /// The transposed view.
    #[must_use]
    pub fn t(self) -> Self {
        Self { rows: self.cols, cols: self.rows, row_stride: self.col_stride, col_stride: self.row_stride, ..self }
    }

    /// Some of the rows.
    ///
    /// # Panics
    /// They are not there.
    #[must_use]
    pub fn rows_in(self, rows: Range<usize>) -> Self {
        assert!(rows.end <= self.rows, "rows {rows:?} of {}", self.rows);
        let start = if self.cols == 0 { 0 } else { rows.start * self.row_stride };
        Self { data: &self.data[start.min(self.data.len())..], rows: rows.len(), ..self }
    }

    /// Some of the columns.
    ///
    /// # Panics
    /// They are not there.
    #[must_use]
    pub fn cols_in(self, cols: Range<usize>) -> Self {
        self.t().rows_in(cols).t()
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Distance of rows in `data`.
    pub fn row_stride(&self) -> usize {
        self.row_stride
    }

    /// Distance of columns in `data`.
    pub fn col_stride(&self) -> usize {
        self.col_stride
    }

    /// All values the view looks at, from the first.
    pub fn data(&self) -> &'a [f32] {
        self.data
    }
}

/// A matrix to write, its columns next to each other: element `(i, j)` is value `i * row_stride + j` of a slice.
#[derive(Debug)]
pub struct MatMut<'a> {
    data: OutSlice<'a>,
    rows: usize,
    cols: usize,
    row_stride: usize,
}

impl<'a> MatMut<'a> {
    /// Views memory as a matrix that a product writes to.
    ///
    /// # Panics
    /// `data` is too short for the last element, or rows overlap.
    pub fn new(data: impl Into<OutSlice<'a>>, rows: usize, cols: usize, row_stride: usize) -> Self {
        let data = data.into();
        if rows > 0 && cols > 0 {
            let last = (rows - 1) * row_stride + cols - 1;
            assert!(last < data.len(), "a {rows} x {cols} view ends at {last}, the data has {} values", data.len());
            assert!(rows == 1 || row_stride >= cols, "rows of {cols} values {row_stride} apart overlap");
        }
        Self { data, rows, cols, row_stride }
    }

    /// Rows of `cols` values, one after the other.
    pub fn row_major(data: impl Into<OutSlice<'a>>, rows: usize, cols: usize) -> Self {
        Self::new(data, rows, cols, cols)
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Where the elements are, for a product that is added to what they hold or replaces it.
    ///
    /// # Panics
    /// The product is to be added, and the memory holds no values.
    pub(super) fn output(&mut self, accumulate: bool) -> Output {
        assert!(!accumulate || self.data.is_initialized(), "a product is added to memory without values");
        Output { out: self.data.as_mut_ptr(), stride: self.row_stride }
    }
}

/// A matrix of which a product has written every element.
#[derive(Debug)]
pub struct Written<'a>(MatMut<'a>);

impl<'a> Written<'a> {
    /// Takes a matrix as written.
    ///
    /// # Safety
    /// Every element has been written.
    pub(super) unsafe fn new(matrix: MatMut<'a>) -> Self {
        Self(matrix)
    }

    /// The values of the slice that the matrix was made of.
    ///
    /// # Panics
    /// Some of them are no elements of the matrix, and the slice began without values.
    pub fn values(self) -> &'a mut [f32] {
        let Self(MatMut { data, rows, cols, .. }) = self;
        assert!(data.len() == rows * cols || data.is_initialized(), "nothing was written between the rows");
        // SAFETY: every element has been written, as `new` was promised. Elements have different places, so where there are as many
        // as values each value is one of them; elsewhere the slice held values from the beginning.
        unsafe { data.assume_init() }
    }
}
