//! Where the heads are.

use burn::backend::flex::FlexTensor;
use cpu_kernels::matmul::{Epilogue, MatMut, MatRef, Precision, matmul_serial};

use crate::host::dims;

/// Number of heads and number format of the products, forward and backward.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heads {
    /// Number of heads.
    pub count: usize,
    /// Number format of the products.
    pub precision: Precision,
}

/// Sizes of one attention.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub batch: usize,
    pub seq: usize,
    /// Columns of all heads together.
    pub width: usize,
    pub heads: usize,
    /// Columns of one head.
    pub head: usize,
    pub precision: Precision,
}

impl Sizes {
    /// Sizes for queries, keys or values `[batch, seq, width]`.
    pub fn of(x: &FlexTensor, heads: Heads) -> Self {
        let [batch, seq, width] = dims(x);
        assert!(
            heads.count > 0 && width.is_multiple_of(heads.count),
            "{width} columns do not divide into {} heads",
            heads.count
        );
        Self { batch, seq, width, heads: heads.count, head: width / heads.count, precision: heads.precision }
    }

    /// Factor of the scores, `1 / sqrt(d)`.
    pub fn scale(&self) -> f32 {
        1.0 / (self.head as f32).sqrt()
    }

    /// Values of one batch element in queries, keys, values and context; at least 1, as chunks must be.
    pub fn tokens(&self) -> usize {
        (self.seq * self.width).max(1)
    }

    /// Values of one head's scores.
    pub fn square(&self) -> usize {
        self.seq * self.seq
    }

    /// Values of one batch element in the scores; at least 1, as chunks must be.
    pub fn squares(&self) -> usize {
        (self.heads * self.square()).max(1)
    }

    /// Head `head` of one batch element.
    pub fn view<'a>(&self, element: &'a [f32], head: usize) -> MatRef<'a> {
        MatRef::new(&element[head * self.head..], self.seq, self.head, self.width, 1)
    }

    /// [`Sizes::view`] to write.
    pub fn view_mut<'a>(&self, element: &'a mut [f32], head: usize) -> MatMut<'a> {
        MatMut::new(&mut element[head * self.head..], self.seq, self.head, self.width)
    }

    /// The scores of one head.
    pub fn scores<'a>(&self, scores: &'a [f32]) -> MatRef<'a> {
        MatRef::row_major(scores, self.seq, self.seq)
    }

    /// [`Sizes::scores`] to write.
    pub fn scores_mut<'a>(&self, scores: &'a mut [f32]) -> MatMut<'a> {
        MatMut::row_major(scores, self.seq, self.seq)
    }

    /// `out = a b * scale + bias` on this thread.
    pub fn product(&self, a: MatRef<'_>, b: MatRef<'_>, out: MatMut<'_>, scale: Option<f32>, bias: Option<&[f32]>) {
        matmul_serial(a, b, out, self.precision, &Epilogue { scale, bias, ..Epilogue::default() });
    }
}
