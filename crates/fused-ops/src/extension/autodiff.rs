//! The operations on the CPU, recorded for the backward pass.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Flex, TensorMetadata};

use super::{FusedOps, block_inputs, ffn_inputs};
use crate::activation::{self, Activation, ActivationBackward};
use crate::attention::{
    self, AttentionBackward, BlockBackward, BlockSettings, Heads, Keep, OutputBackward, ScoresBackward,
    TwoOutputsBackward, Waiting,
};
use crate::binary::{self, Combine, CombineBackward};
use crate::dropout::{self, DropoutBackward, Mask};
use crate::embedding::{self, EmbeddingBackward, SumBackward, TrigramBackward};
use crate::ffn::{self, FfnBackward, Settings as FfnSettings};
use crate::host::dense;
use crate::linear::{self, LinearBackward, Part, ProductBackward, Saved};
use crate::losses::{self, Loss, LossBackward};
use crate::norm::{self, LayerNormBackward, ResidualNormBackward};
use crate::tape::record;

impl<C: CheckpointStrategy> FusedOps for Autodiff<Flex, C> {
    fn fused_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        part: Part,
    ) -> FloatTensor<Self> {
        record::<C, _, 3>(LinearBackward, [x, weight, bias], |[x, weight, bias]| {
            let width = crate::host::dims::<1>(&bias)[0];
            let output = linear::forward(x.clone(), weight.clone(), Some(bias), part, None);
            (output, (Saved { x, weight, part }, width))
        })
    }

    fn fused_activated_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        part: Part,
        function: Activation,
    ) -> FloatTensor<Self> {
        Self::fused_activation(Self::fused_linear(x, weight, bias, part), function)
    }

    fn fused_product(x: FloatTensor<Self>, weight: FloatTensor<Self>, part: Part) -> FloatTensor<Self> {
        record::<C, _, 2>(ProductBackward, [x, weight], |[x, weight]| {
            (linear::forward(x.clone(), weight.clone(), None, part, None), Saved { x, weight, part })
        })
    }

    fn fused_activation(x: FloatTensor<Self>, function: Activation) -> FloatTensor<Self> {
        record::<C, _, 1>(ActivationBackward, [x], |[x]| (activation::forward(x.clone(), function), (x, function)))
    }

    fn fused_combine(a: FloatTensor<Self>, b: FloatTensor<Self>, how: Combine) -> FloatTensor<Self> {
        record::<C, _, 2>(CombineBackward, [a, b], |[a, b]| binary::forward(a, b, how))
    }

    fn fused_dropout(x: FloatTensor<Self>, mask: Mask) -> FloatTensor<Self> {
        record::<C, _, 1>(DropoutBackward, [x], |[x]| (dropout::apply(x, mask), mask))
    }

    fn fused_layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self> {
        record::<C, _, 3>(LayerNormBackward, [x, weight, bias], |[x, weight, bias]| norm::forward(x, weight, bias, eps))
    }

    fn fused_residual_norm(
        x: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f32,
        mask: Option<Mask>,
    ) -> FloatTensor<Self> {
        record::<C, _, 4>(ResidualNormBackward, [x, residual, weight, bias], |[x, residual, weight, bias]| {
            let (y, saved) = norm::residual_forward(x, residual, weight, bias, eps, mask);
            (y, (saved, mask))
        })
    }

    fn fused_attention_with_scores(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        mask: FloatTensor<Self>,
        heads: Heads,
        dropout: Option<Mask>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let mask = mask.into_primitive();
        let (waiting, mut scores) = (Waiting::default(), None);
        let context = record::<C, _, 3>(AttentionBackward, [query, key, value], |inputs| {
            let inputs = inputs.map(dense);
            let keep = Keep { scores: true, probs: true };
            let found = attention::forward(&inputs, mask, heads, dropout, keep);
            scores = found.scores;
            let probs = found.probs.expect("kept");
            (found.context, attention::Saved { inputs, probs, heads, dropout, scores: waiting.clone() })
        });
        let scores = record::<C, _, 1>(ScoresBackward, [context.clone()], |[context]| {
            (scores.expect("kept"), (waiting, context.shape()))
        });
        (context, scores)
    }

    fn fused_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        mask: FloatTensor<Self>,
        heads: Heads,
        dropout: Option<Mask>,
    ) -> FloatTensor<Self> {
        let mask = mask.into_primitive();
        record::<C, _, 3>(AttentionBackward, [query, key, value], |inputs| {
            let inputs = inputs.map(dense);
            let found = attention::forward(&inputs, mask, heads, dropout, Keep { scores: false, probs: true });
            let probs = found.probs.expect("kept");
            (found.context, attention::Saved { inputs, probs, heads, dropout, scores: Waiting::default() })
        })
    }

    fn fused_attention_block(
        x: FloatTensor<Self>,
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        output: FloatTensor<Self>,
        query_bias: FloatTensor<Self>,
        key_bias: FloatTensor<Self>,
        value_bias: FloatTensor<Self>,
        output_bias: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mask: FloatTensor<Self>,
        settings: BlockSettings,
    ) -> FloatTensor<Self> {
        let mask = mask.into_primitive();
        let inputs = [x, query, key, value, output, query_bias, key_bias, value_bias, output_bias, gamma, beta];
        record::<C, _, 11>(BlockBackward, inputs, |inputs| {
            let (y, _, kept) = attention::block_forward(block_inputs(inputs, mask), settings, false, true);
            (y, kept.expect("kept"))
        })
    }

    fn fused_attention_block_with_scores(
        x: FloatTensor<Self>,
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        output: FloatTensor<Self>,
        query_bias: FloatTensor<Self>,
        key_bias: FloatTensor<Self>,
        value_bias: FloatTensor<Self>,
        output_bias: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mask: FloatTensor<Self>,
        settings: BlockSettings,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let mask = mask.into_primitive();
        let inputs = [x, query, key, value, output, query_bias, key_bias, value_bias, output_bias, gamma, beta];
        let (mut outputs, mut waiting) = (None, [Waiting::default(), Waiting::default()]);
        // One value stands for the whole block, and both outputs follow from it.
        let hub = record::<C, _, 11>(TwoOutputsBackward, inputs, |inputs| {
            let (y, scores, saved) = attention::block_forward(block_inputs(inputs, mask), settings, true, true);
            let saved = saved.expect("kept");
            waiting = [saved.output.clone(), saved.scores.clone()];
            outputs = Some((y, scores.expect("kept")));
            (crate::host::scalar(0.0), saved)
        });
        let (y, scores) = outputs.expect("computed");
        let [y_gradient, scores_gradient] = waiting;
        let y = record::<C, _, 1>(OutputBackward, [hub.clone()], |_| (y, y_gradient));
        let scores = record::<C, _, 1>(OutputBackward, [hub], |_| (scores, scores_gradient));
        (y, scores)
    }

    fn fused_ffn(
        x: FloatTensor<Self>,
        first: FloatTensor<Self>,
        first_bias: FloatTensor<Self>,
        second: FloatTensor<Self>,
        second_bias: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        settings: FfnSettings,
    ) -> FloatTensor<Self> {
        let inputs = [x, first, first_bias, second, second_bias, gamma, beta];
        record::<C, _, 7>(FfnBackward, inputs, |inputs| {
            let (y, kept) = ffn::forward(ffn_inputs(inputs), settings, true);
            (y, kept.expect("kept"))
        })
    }

    fn fused_embedding(table: FloatTensor<Self>, ids: IntTensor<Self>) -> FloatTensor<Self> {
        record::<C, _, 1>(EmbeddingBackward, [table], |[table]| embedding::forward(table, ids))
    }

    fn fused_trigram(x: FloatTensor<Self>) -> FloatTensor<Self> {
        record::<C, _, 1>(TrigramBackward, [x], |[x]| (embedding::trigram_forward(x), ()))
    }

    fn fused_embedding_sum(
        words: FloatTensor<Self>,
        positions: FloatTensor<Self>,
        segments: FloatTensor<Self>,
        type_ids: IntTensor<Self>,
    ) -> FloatTensor<Self> {
        record::<C, _, 3>(SumBackward, [words, positions, segments], |[words, positions, segments]| {
            embedding::sum_forward(words, positions, segments, type_ids)
        })
    }

    fn fused_loss(a: FloatTensor<Self>, b: FloatTensor<Self>, loss: Loss) -> FloatTensor<Self> {
        record::<C, _, 2>(LossBackward, [a, b], |[a, b]| losses::forward(a, b, loss))
    }
}
