//! Values with a shape.

use std::ops::{Deref, Range};

use crate::Floats;
use crate::encoder::Shaped;
use crate::floats::all_finite;

/// Values of `f32` in row-major order and their shape; `D` holds the values.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor<D> {
    /// Shape; empty for a scalar.
    pub shape: Vec<usize>,
    /// Values.
    pub data: D,
}

/// A tensor in memory of its own.
pub type HostTensor = Tensor<Vec<f32>>;

/// A tensor whose values may lie in a mapped file, where they are not read before they are used.
pub type MappedTensor = Tensor<Floats>;

impl From<HostTensor> for MappedTensor {
    fn from(tensor: HostTensor) -> Self {
        Self { shape: tensor.shape, data: tensor.data.into() }
    }
}

impl HostTensor {
    /// The transposed matrix.
    ///
    /// # Shapes
    /// `[rows, columns] -> [columns, rows]`; other ranks are returned unchanged.
    pub fn transposed(&self) -> Self {
        let [rows, columns] = self.shape[..] else { return self.clone() };
        let mut data = Vec::with_capacity(self.data.len());
        for c in 0..columns {
            data.extend((0..rows).map(|r| self.data[r * columns + c]));
        }
        Self { shape: vec![columns, rows], data }
    }
}

impl<D> Shaped for Tensor<D> {
    fn shape(&self) -> &[usize] {
        &self.shape
    }
}

/// A tensor as a file holds it.
pub trait Stored: Shaped {
    /// Values in row-major order.
    fn values(&self) -> &[f32];

    /// Some of the rows, along the first axis.
    ///
    /// # Panics
    /// There are not that many, or there is no axis.
    fn rows(&self, rows: Range<usize>) -> Self
    where
        Self: Sized;

    /// Whether no value is infinite or NaN.
    fn are_finite(&self) -> bool {
        all_finite(self.values())
    }
}

/// Shape of some rows of a tensor of this shape, and where their values stand.
fn part(shape: &[usize], rows: Range<usize>) -> (Vec<usize>, Range<usize>) {
    let row: usize = shape[1..].iter().product();
    let values = rows.start * row..rows.end * row;
    ([&[rows.len()], &shape[1..]].concat(), values)
}

impl Stored for HostTensor {
    fn rows(&self, rows: Range<usize>) -> Self {
        let (shape, values) = part(&self.shape, rows);
        Self { shape, data: self.data[values].to_vec() }
    }

    fn values(&self) -> &[f32] {
        &self.data
    }
}

impl Stored for MappedTensor {
    fn rows(&self, rows: Range<usize>) -> Self {
        let (shape, values) = part(&self.shape, rows);
        Self { shape, data: self.data.part(values) }
    }

    fn values(&self) -> &[f32] {
        self.data.deref()
    }

    fn are_finite(&self) -> bool {
        self.data.are_finite()
    }
}
