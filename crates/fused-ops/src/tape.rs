//! Recording an operation for the backward pass.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};

/// A float tensor that autodiff follows.
pub(crate) type Tracked = FloatTensor<Autodiff<Flex>>;

/// Runs `forward` on the plain values of `inputs` and records `op` with the state that it returns beside its output, if
/// any input needs a gradient.
///
/// States keep tensors by reference, so what autodiff saves is what was computed anyway.
pub(crate) fn record<C: CheckpointStrategy, O: Backward<Flex, N>, const N: usize>(
    op: O,
    inputs: [Tracked; N],
    forward: impl FnOnce([FlexTensor; N]) -> (FlexTensor, O::State),
) -> Tracked {
    let nodes = inputs.each_ref().map(<Tracked>::node);
    let (output, state) = forward(inputs.map(<Tracked>::into_primitive));
    match op.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(state, output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

/// Runs the backward pass of an operation: `find` makes the gradient of every input from the saved state and the gradient of
/// the output, and those that are wanted are handed on.
pub(crate) fn hand_on<S, const N: usize>(
    ops: Ops<S, N>,
    grads: &mut Gradients,
    find: impl FnOnce(S, FlexTensor) -> [FlexTensor; N],
) {
    let found = find(ops.state, grads.consume::<Flex>(&ops.node));
    for (parent, grad) in ops.parents.into_iter().zip(found) {
        if let Some(parent) = parent {
            grads.register::<Flex>(parent.id, grad);
        }
    }
}
