//! A feed-forward as one operation: `Y = LayerNorm(X + dropout(f(X)))`, where `f` is a program of two linear maps, activations and
//! element-wise operators.
//!
//! Nothing in it mixes two tokens but the gradients of weights, so a task takes some tokens through the whole block: what one step
//! writes the next one reads from the core's cache, and only what the backward pass needs is kept.

use burn::nn::{Dropout, Linear};
use burn::tensor::Tensor;

use super::attention::Projection;
use super::dropout::next_mask;
use super::precision::kernel_precision;
use super::round_int8::rounds;
use super::{Affine, activate, applies, combine, linear_part, residual_layer_norm};
use crate::extension::run;
use crate::kernels::ffn::{FfnSettings, Layout, Program, Step};

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

impl Program {
    /// The program in single operations.
    ///
    /// # Shapes
    /// - `x`, output: `[batch, seq, width]`
    ///
    /// # Panics
    /// A step reads a value that does not exist yet, or widths do not fit.
    pub fn evaluate(&self, x: Tensor<3>, ffn: &Ffn<'_>) -> Tensor<3> {
        let [batch, seq, width] = x.dims();
        let device = x.device();
        let mut values = vec![x];
        for &step in self.steps() {
            let value = |i: usize| values[i].clone();
            let next = match step {
                Step::First(a) => {
                    linear_part(value(a), ffn.first.weight.clone(), ffn.first.bias.clone(), [width, ffn.inner])
                }
                Step::Second(a) => {
                    let [_, outputs] = ffn.second.weight.dims();
                    linear_part(value(a), ffn.second.weight.clone(), ffn.second.bias.clone(), [ffn.inner, outputs])
                }
                Step::Unary(function, a) => activate(value(a), function),
                Step::Binary(how, a, b) => combine(value(a), value(b), how),
                Step::Cut(a, width) => value(a).narrow(2, 0, width),
                Step::Pad(a, width, constant) => {
                    let missing = width - values[a].dims()[2];
                    Tensor::cat(vec![value(a), Tensor::full([batch, seq, missing], constant, &device)], 2)
                }
            };
            values.push(next);
        }
        values.pop().expect("the input at least")
    }
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
        return unfused(x, ffn, &program, norm);
    };
    let dropout = next_mask(ffn.dropout, &x.device());
    let settings = FfnSettings { program, layout, precision: kernel_precision(), eps: norm.eps as f32, dropout };
    let (first, second) = (ffn.first.weight.clone(), ffn.second.weight.clone());
    let operands = [
        x.into_dispatch(),
        first.into_dispatch(),
        first_bias.clone().into_dispatch(),
        second.into_dispatch(),
        second_bias.clone().into_dispatch(),
        norm.weight.into_dispatch(),
        norm.bias.into_dispatch(),
    ];
    run(operands, settings)
}

/// The layout of the program, where the operation exists for what it is given.
fn fusable(x: &Tensor<3>, ffn: &Ffn<'_>, program: &Program) -> Option<Layout> {
    let [_, _, width] = x.dims();
    let ([rows1, columns1], [rows2, columns2]) = (ffn.first.weight.dims(), ffn.second.weight.dims());
    let fits = applies(x)
        && !rounds()
        && !x.dims().contains(&0)
        && ffn.inner > 0
        && (rows1, columns2) == (width, width)
        && columns1 >= ffn.inner
        && rows2 >= ffn.inner;
    if fits { Layout::new(program, width, ffn.inner) } else { None }
}

/// [`ffn_block`] in single operations.
fn unfused(x: Tensor<3>, ffn: &Ffn<'_>, program: &Program, norm: Affine) -> Tensor<3> {
    residual_layer_norm(program.evaluate(x.clone(), ffn), x, ffn.dropout, norm)
}

#[cfg(test)]
mod tests;
