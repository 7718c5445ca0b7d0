//! Recording an operation for the backward pass.

use std::fmt;
use std::marker::PhantomData;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};

use crate::kernels::BackwardPass;

/// A float tensor that autodiff follows.
type Tracked = FloatTensor<Autodiff<Flex>>;

/// Runs `forward` on the plain values of `inputs` and records what it returns beside its output as the state of the backward
/// pass, if any input needs a gradient.
///
/// States keep tensors by reference, so what autodiff saves is what was computed anyway.
pub(super) fn record<C: CheckpointStrategy, S: BackwardPass<N>, const N: usize>(
    inputs: [Tracked; N],
    forward: impl FnOnce([FlexTensor; N]) -> (FlexTensor, S),
) -> Tracked {
    let nodes = inputs.each_ref().map(<Tracked>::node);
    let (output, state) = forward(inputs.map(<Tracked>::into_primitive));
    match Node::<S>(PhantomData).prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(state, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

/// A node of autodiff's graph with a state of type `S`.
struct Node<S>(PhantomData<fn() -> S>);

impl<S> fmt::Debug for Node<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::any::type_name::<S>())
    }
}

impl<S: BackwardPass<N>, const N: usize> Backward<Flex, N> for Node<S> {
    type State = S;

    fn backward(self, ops: Ops<S, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        register_gradients(ops, grads);
    }
}

/// Runs the backward pass of an operation and adds the gradients of its inputs to theirs.
fn register_gradients<S: BackwardPass<N>, const N: usize>(ops: Ops<S, N>, grads: &mut Gradients) {
    let grad = grads.consume::<Flex>(&ops.node);
    let found = ops.state.gradients(grad, ops.parents.each_ref().map(Option::is_some));
    for (parent, grad) in ops.parents.into_iter().zip(found) {
        if let (Some(parent), Some(grad)) = (parent, grad) {
            grads.register::<Flex>(parent.id, grad);
        }
    }
}
