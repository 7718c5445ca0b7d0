//! Cross entropy against class numbers, row by row.

use std::sync::Arc;

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use cpu_kernels::elementwise::loss as kernels;
use rayon::prelude::*;

use super::host::{self, dense, rows, values};
use super::{BackwardPass, Operation};

/// `-log_softmax(x_r)[label_r]` of each row; one label for each.
#[derive(Clone, Debug)]
pub(crate) struct CrossEntropy(pub Arc<[u32]>);

/// The scores and their labels.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    scores: FlexTensor,
    labels: Arc<[u32]>,
}

impl Operation<1> for CrossEntropy {
    type Saved = Saved;

    fn forward(self, [scores]: [FlexTensor; 1]) -> (FlexTensor, Saved) {
        let scores = dense(scores);
        let (n, classes) = rows(&scores);
        let block = host::block_rows(classes);
        let losses = host::vector(n, |out| {
            let inputs = values(&scores).par_chunks((block * classes).max(1)).zip(self.0.par_chunks(block));
            out.chunks(block).zip(inputs).for_each(|(out, (scores, labels))| {
                let mut losses = vec![0.0; labels.len()];
                kernels::cross_entropy_rows(scores, classes, labels, &mut losses);
                out.write(|out| out.copy_from(&losses));
            });
        });
        (host::wrap(losses, Shape::new([n])), Saved { scores, labels: self.0 })
    }
}

impl BackwardPass<1> for Saved {
    fn gradients(self, grad: FlexTensor, [wanted]: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let (grad, (_, classes)) = (dense(grad), rows(&self.scores));
        let block = host::block_rows(classes);
        let gradient = || {
            host::tensor(self.scores.shape(), |out| {
                let inputs = values(&self.scores).par_chunks((block * classes).max(1));
                let inputs = inputs.zip(self.labels.par_chunks(block)).zip(values(&grad).par_chunks(block));
                out.chunks((block * classes).max(1)).zip(inputs).for_each(|(out, ((scores, labels), factors))| {
                    out.write(|out| kernels::cross_entropy_gradient(scores, classes, labels, factors, out));
                });
            })
        };
        [wanted.then(gradient)]
    }
}
