//! A feed-forward as one operation: `Y = LayerNorm(X + dropout(f(X)))`, where `f` is a program of two linear maps, activations and
//! element-wise operators.
//!
//! Nothing in it mixes two tokens but the gradients of weights, so a task takes some tokens through the whole block: what one step
//! writes the next one reads from the core's cache, and only what the backward pass needs is kept.

mod backward;
mod forward;
mod program;

pub use program::{Program, Step};

pub(crate) use backward::FfnBackward;
pub(crate) use forward::{Inputs, forward};

use burn::backend::Dispatch;
use burn::nn::{Dropout, Linear};
use burn::tensor::Tensor;
use cpu_kernels::matmul::Precision;
use program::Layout;

use crate::attention::Projection;
use crate::dropout::{Mask, next_mask};
use crate::extension::FusedOps;
use crate::host::applies;
use crate::norm::{Affine, residual_layer_norm};
use crate::precision::kernel_precision;

/// Most steps of a program that is fused; the search's expressions have 7 operators at most, and cuts between them.
const MAX_STEPS: usize = 12;

/// The layers of a feed-forward.
#[derive(Clone, Debug)]
pub struct Ffn<'a> {
    /// `W1, b1`: at least `[width, inner]`.
    pub first: Projection,
    /// `W2, b2`: at least `[inner, width]`.
    pub second: Projection,
    /// Inner width in use: leading columns of `W1` and rows of `W2`.
    pub inner: usize,
    /// Dropout before the residual.
    pub dropout: &'a Dropout,
}

impl<'a> Ffn<'a> {
    /// With the weights of two layers.
    pub fn new(first: &Linear, second: &Linear, inner: usize, dropout: &'a Dropout) -> Self {
        Self { first: first.into(), second: second.into(), inner, dropout }
    }
}

/// What the operation needs beside its tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// What is computed between the input and the residual.
    pub program: Program,
    /// The widths of its values.
    layout: Layout,
    /// Number format of the products.
    pub precision: Precision,
    /// Added to the variance.
    pub eps: f32,
    /// Mask before the residual.
    pub dropout: Option<Mask>,
}

/// `LayerNorm(X + dropout(f(X)))`.
///
/// The same values as [`Program::evaluate`] and [`residual_layer_norm`] one after the other, and the same mask of dropout.
///
/// # Shapes
/// - `x`, output: `[batch, seq, width]`
///
/// # Panics
/// As [`Program::evaluate`].
pub fn ffn_block(x: Tensor<3>, ffn: &Ffn<'_>, program: Program, norm: Affine) -> Tensor<3> {
    let (Some(first_bias), Some(second_bias), Some(layout)) =
        (&ffn.first.bias, &ffn.second.bias, fusable(&x, ffn, &program))
    else {
        return apart(x, ffn, &program, norm);
    };
    let dropout = next_mask(ffn.dropout, &x.device());
    let settings = Settings { program, layout, precision: kernel_precision(), eps: norm.eps as f32, dropout };
    Tensor::from_dispatch(<Dispatch as FusedOps>::fused_ffn(
        x.into_dispatch(),
        ffn.first.weight.clone().into_dispatch(),
        first_bias.clone().into_dispatch(),
        ffn.second.weight.clone().into_dispatch(),
        second_bias.clone().into_dispatch(),
        norm.weight.into_dispatch(),
        norm.bias.into_dispatch(),
        settings,
    ))
}

/// The layout of the program, where the operation exists for what it is given.
fn fusable(x: &Tensor<3>, ffn: &Ffn<'_>, program: &Program) -> Option<Layout> {
    let [_, _, width] = x.dims();
    let ([rows1, columns1], [rows2, columns2]) = (ffn.first.weight.dims(), ffn.second.weight.dims());
    let fits = applies(x)
        && !x.dims().contains(&0)
        && ffn.inner > 0
        && (rows1, columns2) == (width, width)
        && columns1 >= ffn.inner
        && rows2 >= ffn.inner;
    if fits { Layout::new(program, width, ffn.inner) } else { None }
}

/// [`ffn_block`] in single operations.
fn apart(x: Tensor<3>, ffn: &Ffn<'_>, program: &Program, norm: Affine) -> Tensor<3> {
    residual_layer_norm(program.evaluate(x.clone(), ffn), x, ffn.dropout, norm)
}

#[cfg(test)]
mod tests;
