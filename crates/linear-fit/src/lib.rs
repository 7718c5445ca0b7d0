//! Ridge least squares near a prior, best low-rank factors and greedy choice of columns, in `f64`.
//!
//! Samples are columns: a matrix of features is `[features, samples]`, and a linear map `y = W x + b` multiplies from the left.
//!
//! | module | concern |
//! |---|---|
//! | `affine` | `y = W x + b`, applied, composed and cut |
//! | `least_squares` | normal equations of weighted samples, solved with a ridge |
//! | [`low_rank`] | best low-rank factors of tables, bilinear forms and products |
//! | [`products`] | products of large matrices, on all threads |
//! | [`greedy`] | which columns explain a target best |

/// The example of the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod affine;
pub mod greedy;
mod least_squares;
pub mod low_rank;
pub mod products;

pub use affine::Affine;
pub use least_squares::{LeastSquares, fit_near};
/// A matrix, stored column by column.
pub type Matrix = nalgebra::DMatrix<f64>;
/// A column.
pub type Vector = nalgebra::DVector<f64>;
