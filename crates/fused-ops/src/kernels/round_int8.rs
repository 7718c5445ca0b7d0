//! Values rounded to the grids of the 8-bit products of `cpu_kernels`, for quantization-aware training.

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use rayon::prelude::*;

use super::host::{self, dense, values};
use super::{BackwardPass, Operation};

/// Which values share a grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grid {
    /// Each row of activations has its own: `x = scale (q - zero)` with `q` in `0..=255`, between the least and the largest value, 0 among them.
    Activations,
    /// Each column of a matrix `[inputs, outputs]`: `w = scale q` with `q` in `-127..=127`, up to the largest magnitude.
    Weights,
    /// Each row of a table: as the columns of weights.
    Rows,
}

/// Rounds `row` to its grid of activations.
fn round_activations(row: &[f32], out: &mut [f32]) {
    let low = row.iter().copied().fold(0.0, f32::min);
    let high = row.iter().copied().fold(0.0, f32::max);
    let scale = if high > low { (high - low) / 255.0 } else { 1.0 };
    let inverse = 1.0 / scale;
    let zero = (-low * inverse).round_ties_even();
    for (out, x) in out.iter_mut().zip(row) {
        *out = ((x * inverse + zero).clamp(0.0, 255.0).round_ties_even() - zero) * scale;
    }
}

fn scale_of(largest: f32) -> f32 {
    if largest > 0.0 { largest / 127.0 } else { 1.0 }
}

impl Operation<1> for Grid {
    type Saved = Straight;

    fn forward(self, [x]: [FlexTensor; 1]) -> (FlexTensor, Straight) {
        let x = dense(x);
        let (_, width) = host::rows(&x);
        let block = host::block_rows(width);
        let scales: Vec<f32> = match self {
            Self::Weights => {
                let mut largest = vec![0.0f32; width];
                for row in values(&x).chunks(width.max(1)) {
                    largest.iter_mut().zip(row).for_each(|(most, x)| *most = most.max(x.abs()));
                }
                largest.into_iter().map(scale_of).collect()
            }
            Self::Activations | Self::Rows => Vec::new(),
        };
        let y = host::tensor(x.shape(), |out| {
            let blocks = values(&x).par_chunks((block * width).max(1));
            out.chunks((block * width).max(1)).zip(blocks).for_each(|(out, x)| {
                let mut rounded = vec![0.0; x.len()];
                for (out, row) in rounded.chunks_mut(width).zip(x.chunks(width)) {
                    match self {
                        Self::Activations => round_activations(row, out),
                        Self::Weights => out.iter_mut().zip(row).zip(&scales).for_each(|((out, x), scale)| {
                            *out = (x / scale).round_ties_even() * scale;
                        }),
                        Self::Rows => {
                            let scale = scale_of(row.iter().fold(0.0, |most, x| x.abs().max(most)));
                            out.iter_mut().zip(row).for_each(|(out, x)| *out = (x / scale).round_ties_even() * scale);
                        }
                    }
                }
                out.write(|out| out.copy_from(&rounded));
            });
        });
        (y, Straight)
    }
}

/// The gradient of rounding, taken to be that of the identity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Straight;

impl BackwardPass<1> for Straight {
    fn gradients(self, grad: FlexTensor, [wanted]: [bool; 1]) -> [Option<FlexTensor>; 1] {
        [wanted.then_some(grad)]
    }
}
