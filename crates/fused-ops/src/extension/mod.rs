//! The operations as an extension of burn's backends.
//!
//! Only the CPU backend has one of its own; the functions of this crate compose burn's primitives on the others, whose
//! autodiff then follows by itself.
//!
//! | file | concern |
//! |---|---|
//! | `flex` | the values, on the CPU |
//! | `autodiff` | the values, and what their gradients need |
//! | `autodiff_node` | one node of autodiff's graph |

mod autodiff;
mod autodiff_node;
mod flex;

use burn::backend::flex::FlexTensor;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, ExtensionType, backend_extension};

use crate::kernels::activation::Activation;
use crate::kernels::attention::Heads;
use crate::kernels::attention::block::{BlockSettings, Inputs as BlockInputs};
use crate::kernels::binary::Combine;
use crate::kernels::dropout::Mask;
use crate::kernels::ffn::{FfnSettings, Inputs as FfnInputs};
use crate::kernels::linear::LinearSettings;
use crate::kernels::losses::Loss;

/// What the CPU backend can do at once; see the functions of this crate for what each means.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait FusedOps: Backend {
    /// See [`crate::linear_part`].
    fn fused_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        settings: LinearSettings,
    ) -> FloatTensor<Self>;

    /// See [`crate::dense_activated`].
    fn fused_activated_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        settings: LinearSettings,
        function: Activation,
    ) -> FloatTensor<Self>;

    /// [`FusedOps::fused_linear`] without a bias.
    fn fused_product(x: FloatTensor<Self>, weight: FloatTensor<Self>, settings: LinearSettings) -> FloatTensor<Self>;

    /// See [`crate::activate`].
    fn fused_activation(x: FloatTensor<Self>, function: Activation) -> FloatTensor<Self>;

    /// See [`crate::combine`].
    fn fused_combine(a: FloatTensor<Self>, b: FloatTensor<Self>, how: Combine) -> FloatTensor<Self>;

    /// See [`crate::dropout`].
    fn fused_dropout(x: FloatTensor<Self>, mask: Mask) -> FloatTensor<Self>;

    /// See [`crate::layer_norm`].
    fn fused_layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self>;

    /// See [`crate::residual_layer_norm`].
    fn fused_residual_norm(
        x: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f32,
        mask: Option<Mask>,
    ) -> FloatTensor<Self>;

    /// See [`crate::attention()`] and [`crate::attention_with_scores`].
    fn fused_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        mask: FloatTensor<Self>,
        heads: Heads,
        dropout: Option<Mask>,
        keep_scores: bool,
    ) -> (FloatTensor<Self>, Option<FloatTensor<Self>>);

    /// See [`crate::attention_block`].
    fn fused_attention_block(
        #[extension_type] operands: BlockOperands<Self>,
        settings: BlockSettings,
        keep_scores: bool,
    ) -> (FloatTensor<Self>, Option<FloatTensor<Self>>);

    /// See [`crate::ffn_block`].
    fn fused_ffn(#[extension_type] operands: FfnOperands<Self>, settings: FfnSettings) -> FloatTensor<Self>;

    /// See [`crate::embedding`].
    fn fused_embedding(table: FloatTensor<Self>, ids: IntTensor<Self>) -> FloatTensor<Self>;

    /// See [`crate::trigram`].
    fn fused_trigram(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// See [`crate::embedding_sum`].
    fn fused_embedding_sum(
        words: FloatTensor<Self>,
        positions: FloatTensor<Self>,
        segments: FloatTensor<Self>,
        type_ids: IntTensor<Self>,
    ) -> FloatTensor<Self>;

    /// See [`crate::mse`] and [`crate::attention_mse`].
    fn fused_loss(a: FloatTensor<Self>, b: FloatTensor<Self>, loss: Loss) -> FloatTensor<Self>;
}

/// The operands of an attention block; weights and biases of queries, keys, values and output.
#[derive(ExtensionType)]
pub(crate) struct BlockOperands<B: Backend> {
    pub x: FloatTensor<B>,
    pub query: FloatTensor<B>,
    pub key: FloatTensor<B>,
    pub value: FloatTensor<B>,
    pub output: FloatTensor<B>,
    pub query_bias: FloatTensor<B>,
    pub key_bias: FloatTensor<B>,
    pub value_bias: FloatTensor<B>,
    pub output_bias: FloatTensor<B>,
    pub gamma: FloatTensor<B>,
    pub beta: FloatTensor<B>,
    pub mask: FloatTensor<B>,
}

impl<B: Backend> BlockOperands<B> {
    /// Those that autodiff follows, and the mask.
    fn into_parts(self) -> ([FloatTensor<B>; 11], FloatTensor<B>) {
        let Self { x, query, key, value, output, query_bias, key_bias, value_bias, output_bias, gamma, beta, mask } =
            self;
        ([x, query, key, value, output, query_bias, key_bias, value_bias, output_bias, gamma, beta], mask)
    }
}

/// Operands as the kernels take them, in the order of [`BlockOperands::into_parts`].
fn block_inputs(inputs: [FlexTensor; 11], mask: FlexTensor) -> BlockInputs {
    let [x, query, key, value, output, query_bias, key_bias, value_bias, output_bias, gamma, beta] = inputs;
    BlockInputs {
        x,
        weights: [query, key, value, output],
        biases: [query_bias, key_bias, value_bias, output_bias],
        gamma,
        beta,
        mask,
    }
}

/// The operands of a feed-forward.
#[derive(ExtensionType)]
pub(crate) struct FfnOperands<B: Backend> {
    pub x: FloatTensor<B>,
    pub first: FloatTensor<B>,
    pub first_bias: FloatTensor<B>,
    pub second: FloatTensor<B>,
    pub second_bias: FloatTensor<B>,
    pub gamma: FloatTensor<B>,
    pub beta: FloatTensor<B>,
}

impl<B: Backend> FfnOperands<B> {
    fn into_array(self) -> [FloatTensor<B>; 7] {
        let Self { x, first, first_bias, second, second_bias, gamma, beta } = self;
        [x, first, first_bias, second, second_bias, gamma, beta]
    }
}

/// Operands as the kernels take them, in the order of [`FfnOperands::into_array`].
fn ffn_inputs([x, first, first_bias, second, second_bias, gamma, beta]: [FlexTensor; 7]) -> FfnInputs {
    FfnInputs { x, weights: [first, second], biases: [first_bias, second_bias], gamma, beta }
}
