//! Cross entropy against class numbers, row by row.

use std::sync::Arc;

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
    fn gradients(mut self, grad: FlexTensor, [wanted]: [bool; 1]) -> [Option<FlexTensor>; 1] {
        if !wanted {
            return [None];
        }
        let (grad, (n, classes)) = (dense(grad), rows(&self.scores));
        let block = host::block_rows(classes);
        // In the memory of the scores, which nobody else reads; a copy of them where somebody does.
        let first = self.scores.layout().start_offset();
        let scores = &mut self.scores.storage_mut::<f32>()[first..][..n * classes];
        let parts = scores.par_chunks_mut((block * classes).max(1));
        let parts = parts.zip(self.labels.par_chunks(block)).zip(values(&grad).par_chunks(block));
        parts.for_each(|((scores, labels), factors)| kernels::cross_entropy_gradient(scores, classes, labels, factors));
        [Some(self.scores)]
    }
}
