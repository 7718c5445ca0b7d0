//! Activation functions.

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
pub use cpu_kernels::elementwise::Activation;
use rayon::prelude::*;

use super::BackwardPass;
use super::host::{self, dense, values};

/// The forward pass.
pub(crate) fn forward(x: FlexTensor, function: Activation) -> FlexTensor {
    let x = dense(x);
    host::tensor(x.shape(), |out| {
        let block = host::block_rows(1);
        out.chunks(block).zip(values(&x).par_chunks(block)).for_each(|(out, x)| {
            out.write(|out| function.forward(x, out));
        });
    })
}

fn input_gradient(x: FlexTensor, grad: FlexTensor, function: Activation) -> FlexTensor {
    let (x, grad) = (dense(x), dense(grad));
    host::tensor(x.shape(), |out| {
        let block = host::block_rows(1);
        let inputs = values(&x).par_chunks(block).zip(values(&grad).par_chunks(block));
        out.chunks(block).zip(inputs).for_each(|(out, (x, grad))| {
            out.write(|out| function.backward(x, grad, out));
        });
    })
}

impl BackwardPass<1> for (FlexTensor, Activation) {
    fn gradients(self, grad: FlexTensor, [wanted]: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let (x, function) = self;
        [wanted.then(|| input_gradient(x, grad, function))]
    }
}
