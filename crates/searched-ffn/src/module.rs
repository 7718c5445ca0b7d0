//! The searched feed-forward.

use bert_core::{BertConfig, FeedForward, Norm};
use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use fused_ops::{Ffn, ffn_block};
use mlp_space::{Align, Expression, LinearId, Widths};

use crate::program::program;
use crate::student::align;

/// Feed-forward part of a searched layer: `n` blocks in a row, each
/// `y = LayerNorm(x + dropout(f(x; W1, b1, W2, b2)))` with its own weights and the same expression `f`
/// (Dong et al. 2021).
///
/// The weights may be larger than the expression asks for: a supernet holds 4 blocks of full inner width, and
/// `linearN_R` then uses the first N blocks, the first `floor(base / R)` rows of `W1` and `b1` and the first as many
/// columns of `W2` (in PyTorch's `[out, in]` layout).
///
/// Operands of different width are cut to the narrower, or with `pad_operands` in the configuration padded to the wider.
#[derive(Module, Debug)]
pub struct SearchedFfn {
    /// The feed-forwards in order of application.
    pub blocks: Vec<SearchedBlock>,
    base: usize,
    #[module(skip)]
    expression: Expression,
    #[module(skip)]
    id: LinearId,
    #[module(skip)]
    align: Align,
}

/// Weights of one feed-forward.
#[derive(Module, Debug)]
pub struct SearchedBlock {
    /// `W1, b1`: hidden to inner width.
    pub dense1: Linear,
    /// `W2, b2`: inner to hidden width.
    pub dense2: Linear,
    /// Norm after the residual.
    pub norm: Norm,
    dropout: Dropout,
}

impl SearchedFfn {
    /// Builds the feed-forward at the size of its expression.
    ///
    /// `id` must be the expression's own ([`Expression::id`]); callers have validated it.
    pub fn new(config: &BertConfig, expression: Expression, id: LinearId, device: &Device) -> Self {
        let base = config.intermediate_size;
        Self::with_size(config, expression, id, usize::from(id.stacks()), id.inner_size(base), device)
    }

    /// Builds the largest feed-forward of the space, `expression` active in it.
    pub fn supernet(config: &BertConfig, expression: Expression, id: LinearId, device: &Device) -> Self {
        Self::with_size(
            config,
            expression,
            id,
            usize::from(LinearId::LARGEST.stacks()),
            config.intermediate_size,
            device,
        )
    }

    fn with_size(
        config: &BertConfig,
        expression: Expression,
        id: LinearId,
        stacks: usize,
        inner: usize,
        device: &Device,
    ) -> Self {
        let hidden = config.hidden_size;
        let block = || SearchedBlock {
            dense1: LinearConfig::new(hidden, inner).init(device),
            dense2: LinearConfig::new(inner, hidden).init(device),
            norm: Norm::new(config.normalization_type, hidden, config.layer_norm_eps, device),
            dropout: DropoutConfig::new(config.hidden_dropout_prob).init(),
        };
        Self {
            blocks: (0..stacks).map(|_| block()).collect(),
            base: config.intermediate_size,
            expression,
            id,
            align: align(config),
        }
    }

    /// The same weights with another expression active; cheap, since tensors are shared.
    pub fn activate(mut self, expression: Expression, id: LinearId) -> Self {
        self.expression = expression;
        self.id = id;
        self
    }

    /// The active expression.
    pub fn expression(&self) -> &Expression {
        &self.expression
    }
}

impl FeedForward for SearchedFfn {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let inner = self.id.inner_size(self.base);
        let stacks = usize::from(self.id.stacks());
        let [_, _, width] = x.dims();
        let widths = Widths { hidden: width, base: self.base, align: self.align };
        let program = program(&self.expression, widths, inner);
        self.blocks.iter().take(stacks).fold(x, |x, block| {
            let ffn = Ffn::new(&block.dense1, &block.dense2, inner, &block.dropout);
            match block.norm.layer_norm() {
                Some(norm) => ffn_block(x, &ffn, program.clone(), norm),
                None => block.norm.forward_residual(program.evaluate(x.clone(), &ffn), x, &block.dropout),
            }
        })
    }
}
