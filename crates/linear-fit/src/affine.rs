//! `y = W x + b`.

use crate::products::product;
use crate::{Matrix, Vector};

/// An affine map `y = W x + b`.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    /// `W`, `[outputs, inputs]`.
    pub weight: Matrix,
    /// `b`, `[outputs]`.
    pub bias: Vector,
}

impl Affine {
    /// The map that gives 0.
    pub fn zero(inputs: usize, outputs: usize) -> Self {
        Self { weight: Matrix::zeros(outputs, inputs), bias: Vector::zeros(outputs) }
    }

    /// The map from row-major weights `[outputs, inputs]`, as files hold them.
    ///
    /// # Panics
    /// `weight` does not hold `bias.len()` rows of one length.
    pub fn from_rows(weight: &[f32], bias: &[f32]) -> Self {
        let (outputs, inputs) = (bias.len(), weight.len() / bias.len().max(1));
        let weight = Matrix::from_row_iterator(outputs, inputs, weight.iter().map(|&w| f64::from(w)));
        Self { weight, bias: Vector::from_iterator(outputs, bias.iter().map(|&b| f64::from(b))) }
    }

    /// The map that puts the input's channel `j` at the place `places[j]` of `outputs`, and 0 where nothing is put.
    ///
    /// # Panics
    /// A place outside the outputs.
    pub fn scatter(places: &[usize], outputs: usize) -> Self {
        let mut map = Self::zero(places.len(), outputs);
        for (channel, &place) in places.iter().enumerate() {
            map.weight[(place, channel)] = 1.0;
        }
        map
    }

    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        self.weight.ncols()
    }

    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.weight.nrows()
    }

    /// `W x + b` of every column.
    ///
    /// # Shapes
    /// - `x`: `[inputs, samples]`
    /// - output: `[outputs, samples]`
    pub fn apply(&self, x: &Matrix) -> Matrix {
        let mut y = product(&self.weight, x);
        for mut column in y.column_iter_mut() {
            column += &self.bias;
        }
        y
    }

    /// This map after `first`: `W (W' x + b') + b`.
    #[must_use]
    pub fn after(&self, first: &Self) -> Self {
        Self { weight: product(&self.weight, &first.weight), bias: &self.weight * &first.bias + &self.bias }
    }

    /// Some outputs, in the order in which they are named.
    #[must_use]
    pub fn rows(&self, chosen: &[usize]) -> Self {
        Self { weight: self.weight.select_rows(chosen), bias: self.bias.select_rows(chosen) }
    }

    /// Some inputs, in the order in which they are named; the others are taken to be 0.
    #[must_use]
    pub fn columns(&self, chosen: &[usize]) -> Self {
        Self { weight: self.weight.select_columns(chosen), bias: self.bias.clone() }
    }
}
