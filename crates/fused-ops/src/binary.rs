//! Sums, products and maxima of two tensors of one shape.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::{Dispatch, Flex, TensorMetadata};
use burn::tensor::Tensor;
use cpu_kernels::elementwise::binary as kernels;
use rayon::prelude::*;

use crate::extension::FusedOps;
use crate::host::{self, applies, dense, values};
use crate::tape::hand_on;

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

/// Combines values at the same place.
///
/// # Shapes
/// - `a`, `b`, output: any, equal
///
/// # Panics
/// The shapes differ.
pub fn combine<const D: usize>(a: Tensor<D>, b: Tensor<D>, how: Combine) -> Tensor<D> {
    assert_eq!(a.dims(), b.dims(), "shapes of what is combined");
    if !applies(&a) || !applies(&b) {
        return composed(a, b, how);
    }
    Tensor::from_dispatch(<Dispatch as FusedOps>::fused_combine(a.into_dispatch(), b.into_dispatch(), how))
}

/// [`combine`] in burn's primitives.
fn composed<const D: usize>(a: Tensor<D>, b: Tensor<D>, how: Combine) -> Tensor<D> {
    match how {
        Combine::Add => a + b,
        Combine::Mul => a * b,
        Combine::Max => a.max_pair(b),
    }
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    /// Both operands, where the gradient depends on them.
    operands: Option<[FlexTensor; 2]>,
    how: Combine,
}

/// The forward pass.
pub(crate) fn forward(a: FlexTensor, b: FlexTensor, how: Combine) -> (FlexTensor, Saved) {
    let (a, b) = (dense(a), dense(b));
    let output = host::tensor(a.shape(), |out| {
        let block = host::block_rows(1);
        let inputs = values(&a).par_chunks(block).zip(values(&b).par_chunks(block));
        out.par_chunks_mut(block).zip(inputs).for_each(|(out, (a, b))| match how {
            Combine::Add => kernels::add(a, b, out),
            Combine::Mul => kernels::mul(a, b, out),
            Combine::Max => kernels::max(a, b, out),
        });
    });
    (output, Saved { operands: (how != Combine::Add).then_some([a, b]), how })
}

impl Saved {
    fn gradients(&self, grad: FlexTensor) -> [FlexTensor; 2] {
        let Some([a, b]) = &self.operands else { return [grad.clone(), grad] };
        let grad = dense(grad);
        let n = grad.shape().num_elements();
        let mut db = Vec::new();
        let da = host::tensor(grad.shape(), |da| {
            db = host::vector(n, |db| {
                let block = host::block_rows(1);
                let inputs = values(a).par_chunks(block).zip(values(b).par_chunks(block));
                let inputs = inputs.zip(values(&grad).par_chunks(block));
                let outputs = da.par_chunks_mut(block).zip(db.par_chunks_mut(block));
                outputs.zip(inputs).for_each(|((da, db), ((a, b), grad))| match self.how {
                    Combine::Max => kernels::max_backward(a, b, grad, da, db),
                    Combine::Add | Combine::Mul => kernels::mul_backward(a, b, grad, da, db),
                });
            });
        });
        [da, host::wrap(db, grad.shape())]
    }
}

/// Gradients of [`forward`].
#[derive(Debug)]
pub(crate) struct CombineBackward;

impl Backward<Flex, 2> for CombineBackward {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        hand_on(ops, grads, |saved, grad| saved.gradients(grad));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{
        assert_same, gradients, gradients_agree, gradients_are_slopes, list, normal, on_one_and_two_threads,
    };

    const ALL: [Combine; 3] = [Combine::Add, Combine::Mul, Combine::Max];

    fn pair(shape: [usize; 2]) -> [Tensor<2>; 2] {
        [normal(shape, 1.0, 1), normal(shape, 1.0, 2)]
    }

    #[test]
    fn values_and_gradients_equal_those_of_burns_primitives() {
        for how in ALL {
            for shape in [[1, 1], [7, 45], [90, 541]] {
                let [a, b] = pair(shape);
                assert_same(&format!("{how:?}"), combine(a.clone(), b.clone(), how), composed(a, b, how));
                let reference = |[a, b]: [Tensor<2>; 2]| composed(a, b, how);
                gradients_agree(&format!("{how:?}"), pair(shape), |[a, b]| combine(a, b, how), reference);
            }
        }
    }

    #[test]
    fn of_equal_values_the_first_has_the_gradient_of_the_maximum() {
        let a = normal([3, 5], 1.0, 1);
        let both = |[a, b]: [Tensor<2>; 2]| combine(a, b, Combine::Max);
        let [first, second] = gradients(&[a.clone(), a.clone()], both);
        assert!(first.iter().all(|&g| g != 0.0) && second.iter().all(|&g| g == 0.0));
        let reference = |[a, b]: [Tensor<2>; 2]| composed(a, b, Combine::Max);
        gradients_agree("equal values", [a.clone(), a], both, reference);
    }

    #[test]
    fn gradients_are_the_slopes_of_the_values() {
        for how in [Combine::Add, Combine::Mul] {
            gradients_are_slopes(&format!("{how:?}"), pair([3, 4]), |[a, b]| combine(a, b, how));
        }
    }

    #[test]
    fn bits_do_not_depend_on_the_number_of_threads() {
        let [one, two] = on_one_and_two_threads(|| {
            let f = |[a, b]: [Tensor<2>; 2]| combine(a, b, Combine::Mul);
            let [a, b] = pair([300, 300]);
            (list(combine(a.clone(), b.clone(), Combine::Mul)), gradients(&[a, b], f))
        });
        assert!(one == two, "different bits");
    }
}
