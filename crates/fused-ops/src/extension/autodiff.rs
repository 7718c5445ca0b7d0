//! The operations on the CPU, recorded for the backward pass.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex, TensorMetadata};
use burn::tensor::Shape;

use super::autodiff_node::record;
use super::{FusedOps, Operands};
use crate::kernels::attention::block::{self, BlockSettings, Inputs};
use crate::kernels::attention::{self, Heads, Outputs};
use crate::kernels::dropout::Mask;
use crate::kernels::host::{self, dense};
use crate::kernels::{BackwardPass, Operation, PendingGradient};

impl<C: CheckpointStrategy> FusedOps for Autodiff<Flex, C> {
    fn fused<O: Operation<N>, const N: usize>(operands: Operands<Self>, operation: O) -> FloatTensor<Self> {
        record::<C, _, N>(operands.all(), |inputs| operation.forward(inputs))
    }

    fn fused_attention(
        operands: Operands<Self>,
        heads: Heads,
        dropout: Option<Mask>,
        keep_scores: bool,
    ) -> (FloatTensor<Self>, Option<FloatTensor<Self>>) {
        let (operands, mask) = operands.and_mask();
        let mask = mask.into_primitive();
        let (pending, mut scores) = (PendingGradient::default(), None);
        let context = record::<C, _, 3>(operands, |inputs| {
            let inputs = inputs.map(dense);
            let outputs = Outputs { scores: keep_scores, probs: true };
            let found = attention::forward(&inputs, mask, heads, dropout, outputs);
            scores = found.scores;
            let probs = found.probs.expect("asked for");
            (found.context, attention::Saved { inputs, probs, heads, dropout, scores: pending.clone() })
        });
        let scores = scores.map(|scores| {
            record::<C, _, 1>([context.clone()], |[context]| (scores, Scores { pending, context: context.shape() }))
        });
        (context, scores)
    }

    fn fused_attention_block(
        operands: Operands<Self>,
        settings: BlockSettings,
        keep_scores: bool,
    ) -> (FloatTensor<Self>, Option<FloatTensor<Self>>) {
        let (inputs, mask) = operands.and_mask();
        let mask = mask.into_primitive();
        if !keep_scores {
            let y = record::<C, _, 11>(inputs, |inputs| {
                let (y, _, saved) = block::forward(Inputs::new(inputs, mask), settings, false, true);
                (y, saved.expect("asked for"))
            });
            return (y, None);
        }
        let mut outputs = None;
        let hub = record::<C, _, 11>(inputs, |inputs| {
            let (y, scores, saved) = block::forward(Inputs::new(inputs, mask), settings, true, true);
            let (scores, saved) = scores.zip(saved).expect("asked for");
            outputs = Some(((y, saved.output.clone()), (scores, saved.scores.clone())));
            (host::scalar(0.0), Hub(saved))
        });
        let ((y, y_gradient), (scores, scores_gradient)) = outputs.expect("computed");
        let y = record::<C, _, 1>([hub.clone()], |_| (y, HubOutput(y_gradient)));
        let scores = record::<C, _, 1>([hub], |_| (scores, HubOutput(scores_gradient)));
        (y, Some(scores))
    }
}

/// Passes the gradient of an attention's scores to the attention.
#[derive(Clone, Debug)]
struct Scores {
    pending: PendingGradient,
    /// Shape of the context.
    context: Shape,
}

impl BackwardPass<1> for Scores {
    fn gradients(self, grad: FlexTensor, [wanted]: [bool; 1]) -> [Option<FlexTensor>; 1] {
        self.pending.put(grad);
        // So that the attention's backward pass runs with a gradient even where its context is not used.
        [wanted.then(|| host::wrap(host::zeros(self.context.num_elements()), self.context))]
    }
}

/// The backward pass of an attention block with two outputs.
///
/// burn's operations have one output, so the block's is a single value of no meaning, and output and scores come from operations
/// behind it ([`HubOutput`]), which leave their gradients in the block's state: an output that is not used costs nothing, and no
/// gradient is added to zeros.
#[derive(Clone, Debug)]
struct Hub(block::Saved);

impl BackwardPass<11> for Hub {
    fn gradients(self, _: FlexTensor, wanted: [bool; 11]) -> [Option<FlexTensor>; 11] {
        let Self(saved) = self;
        let nothing = || host::wrap(host::zeros(saved.shape.num_elements()), saved.shape.clone());
        let grad = saved.output.take().unwrap_or_else(nothing);
        saved.gradients(grad, wanted)
    }
}

/// One of several outputs: leaves its gradient for the operation that has computed it.
#[derive(Clone, Debug)]
struct HubOutput(PendingGradient);

impl BackwardPass<1> for HubOutput {
    fn gradients(self, grad: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        self.0.put(grad);
        [Some(host::scalar(0.0))]
    }
}
