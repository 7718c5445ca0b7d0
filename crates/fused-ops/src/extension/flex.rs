//! The operations on the CPU.

use burn::backend::Flex;
use burn::backend::tensor::{FloatTensor, IntTensor};

use super::{FusedOps, block_inputs, ffn_inputs};
use crate::activation::{self, Activation};
use crate::attention::{self, Attended, BlockSettings, Heads, Keep};
use crate::binary::{self, Combine};
use crate::dropout::{self, Mask};
use crate::embedding;
use crate::ffn::{self, Settings as FfnSettings};
use crate::host::dense;
use crate::linear::{self, Part};
use crate::losses::{self, Loss};
use crate::norm;

impl FusedOps for Flex {
    fn fused_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        part: Part,
    ) -> FloatTensor<Self> {
        linear::forward(x, weight, Some(bias), part, None)
    }

    fn fused_activated_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        part: Part,
        function: Activation,
    ) -> FloatTensor<Self> {
        linear::forward(x, weight, Some(bias), part, Some(function))
    }

    fn fused_product(x: FloatTensor<Self>, weight: FloatTensor<Self>, part: Part) -> FloatTensor<Self> {
        linear::forward(x, weight, None, part, None)
    }

    fn fused_activation(x: FloatTensor<Self>, function: Activation) -> FloatTensor<Self> {
        activation::forward(x, function)
    }

    fn fused_combine(a: FloatTensor<Self>, b: FloatTensor<Self>, how: Combine) -> FloatTensor<Self> {
        binary::forward(a, b, how).0
    }

    fn fused_dropout(x: FloatTensor<Self>, mask: Mask) -> FloatTensor<Self> {
        dropout::apply(x, mask)
    }

    fn fused_layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self> {
        norm::forward(x, weight, bias, eps).0
    }

    fn fused_residual_norm(
        x: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f32,
        mask: Option<Mask>,
    ) -> FloatTensor<Self> {
        norm::residual_forward(x, residual, weight, bias, eps, mask).0
    }

    fn fused_attention_with_scores(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        mask: FloatTensor<Self>,
        heads: Heads,
        dropout: Option<Mask>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let inputs = [query, key, value].map(dense);
        let keep = Keep { scores: true, probs: false };
        let Attended { context, scores, .. } = attention::forward(&inputs, mask, heads, dropout, keep);
        (context, scores.expect("kept"))
    }

    fn fused_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        mask: FloatTensor<Self>,
        heads: Heads,
        dropout: Option<Mask>,
    ) -> FloatTensor<Self> {
        let inputs = [query, key, value].map(dense);
        attention::forward(&inputs, mask, heads, dropout, Keep { scores: false, probs: false }).context
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
        let inputs = [x, query, key, value, output, query_bias, key_bias, value_bias, output_bias, gamma, beta];
        let inputs = block_inputs(inputs, mask);
        attention::block_forward(inputs, settings, false, false).0
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
        let inputs = [x, query, key, value, output, query_bias, key_bias, value_bias, output_bias, gamma, beta];
        let inputs = block_inputs(inputs, mask);
        let (y, scores, _) = attention::block_forward(inputs, settings, true, false);
        (y, scores.expect("kept"))
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
        ffn::forward(ffn_inputs(inputs), settings, false).0
    }

    fn fused_embedding(table: FloatTensor<Self>, ids: IntTensor<Self>) -> FloatTensor<Self> {
        embedding::forward(table, ids).0
    }

    fn fused_trigram(x: FloatTensor<Self>) -> FloatTensor<Self> {
        embedding::trigram_forward(x)
    }

    fn fused_embedding_sum(
        words: FloatTensor<Self>,
        positions: FloatTensor<Self>,
        segments: FloatTensor<Self>,
        type_ids: IntTensor<Self>,
    ) -> FloatTensor<Self> {
        embedding::sum_forward(words, positions, segments, type_ids).0
    }

    fn fused_loss(a: FloatTensor<Self>, b: FloatTensor<Self>, loss: Loss) -> FloatTensor<Self> {
        losses::forward(a, b, loss).0
    }
}
