//! Sums, products and maxima of two tensors of one shape.

use burn::backend::TensorMetadata;
use burn::backend::flex::FlexTensor;
use cpu_kernels::elementwise::binary as kernels;
use rayon::prelude::*;

use super::host::{self, Fresh, dense, values};
use super::{BackwardPass, Operation};

/// How two values become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combine {
    /// `a + b`.
    Add,
    /// `a b`.
    Mul,
    /// The larger; of two equal values the first, which then has the whole gradient.
    Max,
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    /// Both operands, where the gradient depends on them.
    operands: Option<[FlexTensor; 2]>,
    how: Combine,
}

impl Operation<2> for Combine {
    type Saved = Saved;

    fn forward(self, inputs: [FlexTensor; 2]) -> (FlexTensor, Saved) {
        let [a, b] = inputs.map(dense);
        let output = host::tensor(a.shape(), |out| {
            let block = host::block_rows(1);
            let inputs = values(&a).par_chunks(block).zip(values(&b).par_chunks(block));
            out.chunks(block).zip(inputs).for_each(|(out, (a, b))| {
                out.write(|out| match self {
                    Combine::Add => kernels::add(a, b, out),
                    Combine::Mul => kernels::mul(a, b, out),
                    Combine::Max => kernels::max(a, b, out),
                });
            });
        });
        (output, Saved { operands: (self != Combine::Add).then_some([a, b]), how: self })
    }
}

impl BackwardPass<2> for Saved {
    fn gradients(self, grad: FlexTensor, _: [bool; 2]) -> [Option<FlexTensor>; 2] {
        let Some([a, b]) = &self.operands else { return [Some(grad.clone()), Some(grad)] };
        let grad = dense(grad);
        let n = grad.shape().num_elements();
        let both = host::vectors([n, n], |[da, db]| {
            let block = host::block_rows(1);
            let inputs = values(a).par_chunks(block).zip(values(b).par_chunks(block));
            let inputs = inputs.zip(values(&grad).par_chunks(block));
            da.chunks(block).zip(db.chunks(block)).zip(inputs).for_each(|((da, db), ((a, b), grad))| {
                Fresh::write_all([da, db], |[da, db]| match self.how {
                    Combine::Max => kernels::max_backward(a, b, grad, da, db),
                    Combine::Add | Combine::Mul => kernels::mul_backward(a, b, grad, da, db),
                });
            });
        });
        both.map(|data| Some(host::wrap(data, grad.shape())))
    }
}
