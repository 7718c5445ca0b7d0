//! Strided views of matrices.

use std::ops::Range;

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

/// A matrix to write, its columns next to each other: element `(i, j)` is `data[i * row_stride + j]`.
#[derive(Debug)]
pub struct MatMut<'a> {
    data: &'a mut [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
}

impl<'a> MatMut<'a> {
    /// # Panics
    /// `data` is too short for the last element, or rows overlap.
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        if rows > 0 && cols > 0 {
            let last = (rows - 1) * row_stride + cols - 1;
            assert!(last < data.len(), "a {rows} x {cols} view ends at {last}, the data has {} values", data.len());
            assert!(rows == 1 || row_stride >= cols, "rows of {cols} values {row_stride} apart overlap");
        }
        Self { data, rows, cols, row_stride }
    }

    /// Rows of `cols` values, one after the other.
    pub fn row_major(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
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

    /// Distance of rows in `data`.
    pub fn row_stride(&self) -> usize {
        self.row_stride
    }

    /// The values from the first on.
    pub fn data(&mut self) -> &mut [f32] {
        self.data
    }
}
