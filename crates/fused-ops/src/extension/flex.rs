//! The operations on the CPU.

use burn::backend::Flex;
use burn::backend::tensor::{FloatTensor, IntTensor};

use super::{BlockOperands, FfnOperands, FusedOps, block_inputs, ffn_inputs};
use crate::kernels::activation::{self, Activation};
use crate::kernels::attention::block::{self, BlockSettings};
use crate::kernels::attention::{self, Attended, Heads, Outputs};
use crate::kernels::binary::{self, Combine};
use crate::kernels::dropout::{self, Mask};
use crate::kernels::embedding;
use crate::kernels::ffn::{self, FfnSettings};
use crate::kernels::host::dense;
use crate::kernels::linear::{self, LinearSettings};
use crate::kernels::losses::{self, Loss};
use crate::kernels::norm;

impl FusedOps for Flex {
    fn fused_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        settings: LinearSettings,
    ) -> FloatTensor<Self> {
        linear::forward(x, weight, Some(bias), settings, None)
    }

    fn fused_activated_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        settings: LinearSettings,
        function: Activation,
    ) -> FloatTensor<Self> {
        linear::forward(x, weight, Some(bias), settings, Some(function))
    }

    fn fused_product(x: FloatTensor<Self>, weight: FloatTensor<Self>, settings: LinearSettings) -> FloatTensor<Self> {
        linear::forward(x, weight, None, settings, None)
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

    fn fused_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        mask: FloatTensor<Self>,
        heads: Heads,
        dropout: Option<Mask>,
        keep_scores: bool,
    ) -> (FloatTensor<Self>, Option<FloatTensor<Self>>) {
        let inputs = [query, key, value].map(dense);
        let outputs = Outputs { scores: keep_scores, probs: false };
        let Attended { context, scores, .. } = attention::forward(&inputs, mask, heads, dropout, outputs);
        (context, scores)
    }

    fn fused_attention_block(
        operands: BlockOperands<Self>,
        settings: BlockSettings,
        keep_scores: bool,
    ) -> (FloatTensor<Self>, Option<FloatTensor<Self>>) {
        let (inputs, mask) = operands.into_parts();
        let (y, scores, _) = block::forward(block_inputs(inputs, mask), settings, keep_scores, false);
        (y, scores)
    }

    fn fused_ffn(operands: FfnOperands<Self>, settings: FfnSettings) -> FloatTensor<Self> {
        ffn::forward(ffn_inputs(operands.into_array()), settings, false).0
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
