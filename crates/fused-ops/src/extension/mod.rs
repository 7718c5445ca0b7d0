//! The operations as an extension of burn's backends.
//!
//! Only the CPU backend has one of its own; the functions of this crate compose burn's primitives on the others, whose
//! autodiff then follows by itself.
//!
//! | file | concern |
//! |---|---|
//! | `flex` | the values, on the CPU |
//! | `autodiff` | the values, and what their gradients need |

mod autodiff;
mod flex;

use burn::backend::flex::FlexTensor;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, backend_extension};

use crate::activation::Activation;
use crate::attention::{BlockInputs, BlockSettings, Heads};
use crate::binary::Combine;
use crate::dropout::Mask;
use crate::ffn::{Inputs as FfnInputs, Settings as FfnSettings};
use crate::linear::Part;
use crate::losses::Loss;

/// What the CPU backend can do at once; see the functions of this crate for what each means.
#[backend_extension(Flex, Autodiff)]
pub trait FusedOps: Backend {
    /// See [`crate::linear_part`].
    fn fused_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        part: Part,
    ) -> FloatTensor<Self>;

    /// See [`crate::dense_activated`].
    fn fused_activated_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        part: Part,
        function: Activation,
    ) -> FloatTensor<Self>;

    /// [`FusedOps::fused_linear`] without a bias.
    fn fused_product(x: FloatTensor<Self>, weight: FloatTensor<Self>, part: Part) -> FloatTensor<Self>;

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

    /// See [`crate::attention_with_scores`].
    fn fused_attention_with_scores(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        mask: FloatTensor<Self>,
        heads: Heads,
        dropout: Option<Mask>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// See [`crate::attention`].
    fn fused_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        mask: FloatTensor<Self>,
        heads: Heads,
        dropout: Option<Mask>,
    ) -> FloatTensor<Self>;

    /// See [`crate::attention_block`].
    #[allow(clippy::too_many_arguments, reason = "one tensor each")]
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
    ) -> FloatTensor<Self>;

    /// [`FusedOps::fused_attention_block`] and its scores.
    #[allow(clippy::too_many_arguments, reason = "one tensor each")]
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
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// See [`crate::ffn_block`].
    #[allow(clippy::too_many_arguments, reason = "one tensor each")]
    fn fused_ffn(
        x: FloatTensor<Self>,
        first: FloatTensor<Self>,
        first_bias: FloatTensor<Self>,
        second: FloatTensor<Self>,
        second_bias: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        settings: FfnSettings,
    ) -> FloatTensor<Self>;

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

/// The operands of a block in the order in which autodiff follows them.
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

/// The operands of a feed-forward in the order in which autodiff follows them.
fn ffn_inputs([x, first, first_bias, second, second_bias, gamma, beta]: [FlexTensor; 7]) -> FfnInputs {
    FfnInputs { x, weights: [first, second], biases: [first_bias, second_bias], gamma, beta }
}
