//! Where the heads are.

use burn::backend::flex::FlexTensor;
use cpu_kernels::OutSlice;
use cpu_kernels::matmul::{Epilogue, MatMut, MatRef, Precision, matmul_serial};

use crate::kernels::host::dims;

/// Number of heads and number format of the products, forward and backward.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heads {
    /// Number of heads.
    pub count: usize,
    /// Number format of the products.
    pub precision: Precision,
}

/// The tokens of one batch element: the row of token `i` starts at `i * stride`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a> {
    pub data: &'a [f32],
    pub stride: usize,
}

/// Where the gradients of queries, keys and values of one batch element go.
pub(crate) enum Projected<'a> {
    /// Memory for each.
    Separate([OutSlice<'a>; 3]),
    /// Rows with a query, a key and a value.
    SideBySide(&'a mut [f32]),
}

impl<'a> Projected<'a> {
    /// Head `head` of queries (0), keys (1) or values (2).
    pub fn view_mut(&mut self, which: usize, s: &Sizes, head: usize) -> MatMut<'_> {
        match self {
            Self::Separate(memory) => s.view_mut(memory[which].reborrow(), head),
            Self::SideBySide(rows) => {
                let first = which * s.width + head * s.head;
                MatMut::new(rows.get_mut(first..).unwrap_or_default(), s.seq, s.head, 3 * s.width)
            }
        }
    }

    /// The gradients, each by itself.
    ///
    /// # Safety
    /// All heads have been written.
    ///
    /// # Panics
    /// They are side by side.
    pub unsafe fn separate(self) -> [&'a mut [f32]; 3] {
        let Self::Separate(memory) = self else { panic!("gradients side by side") };
        // SAFETY: rows are nothing but the columns of the heads, which have been written by the caller's promise.
        memory.map(|memory| unsafe { memory.assume_init() })
    }
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
        Self::new(dims(x), heads)
    }

    /// Describes where the heads of a `[batch, seq, width]` tensor lie.
    ///
    /// # Panics
    /// The heads do not divide the width.
    pub fn new([batch, seq, width]: [usize; 3], heads: Heads) -> Self {
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
    pub fn view<'a>(&self, element: Rows<'a>, head: usize) -> MatRef<'a> {
        MatRef::new(element.data.get(head * self.head..).unwrap_or_default(), self.seq, self.head, element.stride, 1)
    }

    /// [`Sizes::view`] to write, of rows that lie next to each other.
    pub fn view_mut<'a>(&self, element: OutSlice<'a>, head: usize) -> MatMut<'a> {
        let before = (head * self.head).min(element.len());
        MatMut::new(element.split_at(before).1, self.seq, self.head, self.width)
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
