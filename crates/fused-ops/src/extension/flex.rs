//! The operations on the CPU.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;

use super::{FusedOps, Operands};
use crate::kernels::Operation;
use crate::kernels::attention::block::{self, BlockSettings, Inputs};
use crate::kernels::attention::{self, Attended, Heads, Outputs};
use crate::kernels::dropout::Mask;
use crate::kernels::host::dense;

impl FusedOps for Flex {
    fn fused<O: Operation<N>, const N: usize>(operands: Operands<Self>, operation: O) -> FloatTensor<Self> {
        operation.value(operands.all())
    }

    fn fused_attention(
        operands: Operands<Self>,
        heads: Heads,
        dropout: Option<Mask>,
        keep_scores: bool,
    ) -> (FloatTensor<Self>, Option<FloatTensor<Self>>) {
        let (inputs, mask) = operands.and_mask();
        let outputs = Outputs { scores: keep_scores, probs: false };
        let Attended { context, scores, .. } = attention::forward(&inputs.map(dense), mask, heads, dropout, outputs);
        (context, scores)
    }

    fn fused_attention_block(
        operands: Operands<Self>,
        settings: BlockSettings,
        keep_scores: bool,
    ) -> (FloatTensor<Self>, Option<FloatTensor<Self>>) {
        let (inputs, mask) = operands.and_mask();
        let (y, scores, _) = block::forward(Inputs::new(inputs, mask), settings, keep_scores, false);
        (y, scores)
    }
}
