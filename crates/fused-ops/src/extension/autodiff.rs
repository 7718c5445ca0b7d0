//! The operations on the CPU, recorded for the backward pass.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Flex, TensorMetadata};
use burn::tensor::Shape;

use super::autodiff_node::record;
use super::{BlockOperands, FfnOperands, FusedOps, block_inputs, ffn_inputs};
use crate::kernels::activation::{self, Activation};
use crate::kernels::attention::block::{self, BlockSettings};
use crate::kernels::attention::{self, Heads, Outputs};
use crate::kernels::binary::{self, Combine};
use crate::kernels::dropout::{self, Mask};
use crate::kernels::embedding::{self, Trigram};
use crate::kernels::ffn::{self, FfnSettings};
use crate::kernels::host::{self, dense};
use crate::kernels::linear::{self, LinearSettings};
use crate::kernels::losses::{self, Loss};
use crate::kernels::{BackwardPass, PendingGradient, norm};

impl<C: CheckpointStrategy> FusedOps for Autodiff<Flex, C> {
    fn fused_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        settings: LinearSettings,
    ) -> FloatTensor<Self> {
        record::<C, _, 3>([x, weight, bias], |[x, weight, bias]| {
            let width = host::dims::<1>(&bias)[0];
            let output = linear::forward(x.clone(), weight.clone(), Some(bias), settings, None);
            (output, (linear::Saved { x, weight, settings }, width))
        })
    }

    fn fused_activated_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        settings: LinearSettings,
        function: Activation,
    ) -> FloatTensor<Self> {
        Self::fused_activation(Self::fused_linear(x, weight, bias, settings), function)
    }

    fn fused_product(x: FloatTensor<Self>, weight: FloatTensor<Self>, settings: LinearSettings) -> FloatTensor<Self> {
        record::<C, _, 2>([x, weight], |[x, weight]| {
            let output = linear::forward(x.clone(), weight.clone(), None, settings, None);
            (output, linear::Saved { x, weight, settings })
        })
    }

    fn fused_activation(x: FloatTensor<Self>, function: Activation) -> FloatTensor<Self> {
        record::<C, _, 1>([x], |[x]| (activation::forward(x.clone(), function), (x, function)))
    }

    fn fused_combine(a: FloatTensor<Self>, b: FloatTensor<Self>, how: Combine) -> FloatTensor<Self> {
        record::<C, _, 2>([a, b], |[a, b]| binary::forward(a, b, how))
    }

    fn fused_dropout(x: FloatTensor<Self>, mask: Mask) -> FloatTensor<Self> {
        record::<C, _, 1>([x], |[x]| (dropout::apply(x, mask), mask))
    }

    fn fused_layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self> {
        record::<C, _, 3>([x, weight, bias], |[x, weight, bias]| norm::forward(x, weight, bias, eps))
    }

    fn fused_residual_norm(
        x: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f32,
        mask: Option<Mask>,
    ) -> FloatTensor<Self> {
        record::<C, _, 4>([x, residual, weight, bias], |[x, residual, weight, bias]| {
            let (y, saved) = norm::residual_forward(x, residual, weight, bias, eps, mask);
            (y, (saved, mask))
        })
    }

    fn fused_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        mask: FloatTensor<Self>,
        heads: Heads,
        dropout: Option<Mask>,
        keep_scores: bool,
    ) -> (FloatTensor<Self>, Option<FloatTensor<Self>>) {
        let mask = mask.into_primitive();
        let (pending, mut scores) = (PendingGradient::default(), None);
        let context = record::<C, _, 3>([query, key, value], |inputs| {
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
        operands: BlockOperands<Self>,
        settings: BlockSettings,
        keep_scores: bool,
    ) -> (FloatTensor<Self>, Option<FloatTensor<Self>>) {
        let (inputs, mask) = operands.into_parts();
        let mask = mask.into_primitive();
        if !keep_scores {
            let y = record::<C, _, 11>(inputs, |inputs| {
                let (y, _, saved) = block::forward(block_inputs(inputs, mask), settings, false, true);
                (y, saved.expect("asked for"))
            });
            return (y, None);
        }
        let mut outputs = None;
        let hub = record::<C, _, 11>(inputs, |inputs| {
            let (y, scores, saved) = block::forward(block_inputs(inputs, mask), settings, true, true);
            let (scores, saved) = scores.zip(saved).expect("asked for");
            outputs = Some(((y, saved.output.clone()), (scores, saved.scores.clone())));
            (host::scalar(0.0), Hub(saved))
        });
        let ((y, y_gradient), (scores, scores_gradient)) = outputs.expect("computed");
        let y = record::<C, _, 1>([hub.clone()], |_| (y, HubOutput(y_gradient)));
        let scores = record::<C, _, 1>([hub], |_| (scores, HubOutput(scores_gradient)));
        (y, Some(scores))
    }

    fn fused_ffn(operands: FfnOperands<Self>, settings: FfnSettings) -> FloatTensor<Self> {
        record::<C, _, 7>(operands.into_array(), |inputs| {
            let (y, saved) = ffn::forward(ffn_inputs(inputs), settings, true);
            (y, saved.expect("asked for"))
        })
    }

    fn fused_embedding(table: FloatTensor<Self>, ids: IntTensor<Self>) -> FloatTensor<Self> {
        record::<C, _, 1>([table], |[table]| embedding::forward(table, ids))
    }

    fn fused_trigram(x: FloatTensor<Self>) -> FloatTensor<Self> {
        record::<C, _, 1>([x], |[x]| (embedding::trigram_forward(x), Trigram))
    }

    fn fused_embedding_sum(
        words: FloatTensor<Self>,
        positions: FloatTensor<Self>,
        segments: FloatTensor<Self>,
        type_ids: IntTensor<Self>,
    ) -> FloatTensor<Self> {
        record::<C, _, 3>([words, positions, segments], |[words, positions, segments]| {
            embedding::sum_forward(words, positions, segments, type_ids)
        })
    }

    fn fused_loss(a: FloatTensor<Self>, b: FloatTensor<Self>, loss: Loss) -> FloatTensor<Self> {
        record::<C, _, 2>([a, b], |[a, b]| losses::forward(a, b, loss))
    }
}

/// Hands the gradient of an attention's scores to the attention.
#[derive(Clone, Debug)]
struct Scores {
    pending: PendingGradient,
    /// Shape of the context.
    context: Shape,
}

impl BackwardPass<1> for Scores {
    fn gradients(self, grad: FlexTensor, [wanted]: [bool; 1]) -> [Option<FlexTensor>; 1] {
        self.pending.put(grad);
        // So that the attention's backward pass runs with a gradient even where nothing else looks at its context.
        [wanted.then(|| host::wrap(host::zeros(self.context.num_elements()), self.context))]
    }
}

/// The backward pass of an attention block with two outputs.
///
/// burn's operations have one output, so the block's is a single value of no meaning, and output and scores come from operations
/// behind it ([`HubOutput`]), which leave their gradients in the block's state: an output that nobody looks at costs nothing, and no
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
