//! Losses of distillation in one pass, forward and backward.

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use cpu_kernels::elementwise::loss as kernels;
use rayon::prelude::*;

use super::host::{self, dense, rows, values};
use super::{BackwardPass, Operation};

/// What is compared, and how; all are means over all elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// Squared differences.
    Squares,
    /// Squared differences, values at or below -100 taken for 0 on each side.
    UnblockedSquares,
    /// `-softmax(b / T) log_softmax(a / T)`; `b` is a constant.
    SoftCrossEntropy {
        /// T.
        temperature: f32,
    },
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    a: FlexTensor,
    b: FlexTensor,
    loss: Loss,
}

/// The loss of two tensors, `[1]`: sums of blocks in `f64`, added in order.
impl Operation<2> for Loss {
    type Saved = Saved;

    fn forward(self, inputs: [FlexTensor; 2]) -> (FlexTensor, Saved) {
        let [a, b] = inputs.map(dense);
        let (_, classes) = rows(&a);
        let block = block(self, classes);
        let part = |(a, b): (&[f32], &[f32])| match self {
            Loss::Squares => kernels::squared_error_sum(a, b),
            Loss::UnblockedSquares => kernels::unblocked_squared_error_sum(a, b),
            Loss::SoftCrossEntropy { temperature } => kernels::soft_cross_entropy_sum(a, b, classes, temperature),
        };
        let parts: Vec<f64> = values(&a).par_chunks(block).zip(values(&b).par_chunks(block)).map(part).collect();
        let mean = parts.into_iter().sum::<f64>() / a.shape().num_elements() as f64;
        (host::scalar(mean as f32), Saved { a, b, loss: self })
    }
}

/// Values of a block: whole rows where the loss looks at rows.
fn block(loss: Loss, classes: usize) -> usize {
    match loss {
        Loss::Squares | Loss::UnblockedSquares => host::block_rows(1),
        Loss::SoftCrossEntropy { .. } => (host::block_rows(classes) * classes).max(1),
    }
}

/// Gradient of the loss with respect to `a`, times `factor`.
fn gradient(a: &FlexTensor, b: &FlexTensor, loss: Loss, factor: f32) -> FlexTensor {
    let (_, classes) = rows(a);
    let mean = factor / a.shape().num_elements() as f32;
    let block = block(loss, classes);
    host::tensor(a.shape(), |out| {
        let inputs = values(a).par_chunks(block).zip(values(b).par_chunks(block));
        out.chunks(block).zip(inputs).for_each(|(out, (a, b))| {
            out.write(|out| match loss {
                Loss::Squares => kernels::squared_error_gradient(a, b, 2.0 * mean, out),
                Loss::UnblockedSquares => kernels::unblocked_squared_error_gradient(a, b, 2.0 * mean, out),
                Loss::SoftCrossEntropy { temperature } => {
                    kernels::soft_cross_entropy_gradient(a, b, classes, temperature, mean, out)
                }
            });
        });
    })
}

impl BackwardPass<2> for Saved {
    fn gradients(self, grad: FlexTensor, [first, second]: [bool; 2]) -> [Option<FlexTensor>; 2] {
        let factor = values(&dense(grad))[0];
        let Self { a, b, loss } = self;
        let second = second && !matches!(loss, Loss::SoftCrossEntropy { .. });
        let second = second.then(|| gradient(&b, &a, loss, factor));
        [first.then(|| gradient(&a, &b, loss, factor)), second]
    }
}
