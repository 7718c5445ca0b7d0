//! The operations as an extension of burn's backends.
//!
//! Only the CPU backend has one of its own; the functions of this crate compose burn's primitives on the others, whose
//! autodiff then follows by itself.
//!
//! | file | concern |
//! |---|---|
//! | `operands` | the tensors of an operation |
//! | `flex` | the values, on the CPU |
//! | `autodiff` | the values, and what their gradients need |
//! | `autodiff_node` | one node of autodiff's graph |

mod autodiff;
mod autodiff_node;
mod flex;
mod operands;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use crate::kernels::Operation;
use crate::kernels::attention::Heads;
use crate::kernels::attention::block::BlockSettings;
use crate::kernels::dropout::Mask;

pub(crate) use operands::Operands;

/// What the CPU backend can do at once.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait FusedOps: Backend {
    /// An operation with one output.
    fn fused<O: Operation<N>, const N: usize>(
        #[extension_type] operands: Operands<Self>,
        operation: O,
    ) -> FloatTensor<Self>;

    /// See [`crate::attention()`]; the operands are queries, keys, values and mask.
    fn fused_attention(
        #[extension_type] operands: Operands<Self>,
        heads: Heads,
        dropout: Option<Mask>,
        keep_scores: bool,
    ) -> (FloatTensor<Self>, Option<FloatTensor<Self>>);

    /// See [`crate::attention_block`]; the operands are those of [`Inputs`](crate::kernels::attention::block::Inputs), the mask last.
    fn fused_attention_block(
        #[extension_type] operands: Operands<Self>,
        settings: BlockSettings,
        keep_scores: bool,
    ) -> (FloatTensor<Self>, Option<FloatTensor<Self>>);
}

/// Runs an operation with one output.
pub(crate) fn run<O: Operation<N>, const N: usize, const D: usize>(
    operands: [FloatTensor<Dispatch>; N],
    operation: O,
) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as FusedOps>::fused::<O, N>(operands.into(), operation))
}
