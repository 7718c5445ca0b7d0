//! Activation functions.

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
pub use cpu_kernels::elementwise::Activation;
use rayon::prelude::*;

use super::host::{self, dense, values};
use super::{BackwardPass, Operation};

impl Operation<1> for Activation {
    type Saved = (FlexTensor, Activation);

    fn forward(self, [x]: [FlexTensor; 1]) -> (FlexTensor, Self::Saved) {
        let x = dense(x);
        let y = host::tensor(x.shape(), |out| {
            let block = host::block_rows(1);
            out.chunks(block).zip(values(&x).par_chunks(block)).for_each(|(out, x)| {
                out.write(|out| Activation::forward(self, x, out));
            });
        });
        (y, (x, self))
    }
}

impl BackwardPass<1> for (FlexTensor, Activation) {
    fn gradients(self, grad: FlexTensor, [wanted]: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let ((x, function), grad) = (self, dense(grad));
        let gradient = || {
            host::tensor(x.shape(), |out| {
                let block = host::block_rows(1);
                let inputs = values(&x).par_chunks(block).zip(values(&grad).par_chunks(block));
                out.chunks(block).zip(inputs).for_each(|(out, (x, grad))| {
                    out.write(|out| function.backward(x, grad, out));
                });
            })
        };
        [wanted.then(gradient)]
    }
}
