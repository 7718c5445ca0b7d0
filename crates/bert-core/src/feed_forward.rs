//! The feed-forward part of a layer: BERT's, MobileBERT's stacks of it, and the searched ones.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::{Device, Tensor};
use encoder_spec::{BertConfig, Block, Shape};
use fused_ops::{Ffn, Program, dense, dense_activated, ffn_block};
use mlp_space::{Expression, Widths};

use crate::norm::Norm;
use crate::program::fused;
use crate::spec::linear;

/// Feed-forward part of a layer: blocks in a row, each `y = Norm(x + dropout(f(x; W1, b1, W2, b2)))` with its own weights and the
/// same program `f`.
///
/// | family | blocks | `f` |
/// |---|---|---|
/// | BERT | 1 | `act(x W1 + b1) W2 + b2` |
/// | MobileBERT | 4 | the same |
/// | EfficientBERT (Dong et al. 2021) | 1 to 4 | an expression of the search space |
/// | a searched layer without a feed-forward | 0 | none: the output is the input |
///
/// The weights may be larger than the program asks for: a supernet holds 4 blocks of full inner width, and `linearN_R` then uses
/// the first N blocks, the first `floor(base / R)` rows of `W1` and `b1` and the first as many columns of `W2` (in PyTorch's
/// `[out, in]` layout). Operands of different width are cut to the narrower, or with `pad_operands` in the configuration padded to
/// the wider.
#[derive(Module, Debug)]
pub struct FeedForward {
    /// The blocks in order of application.
    pub blocks: Vec<FeedForwardBlock>,
    #[module(skip)]
    active: Active,
    #[module(skip)]
    widths: Widths,
}

/// Weights of one block.
#[derive(Module, Debug)]
pub struct FeedForwardBlock {
    /// `W1, b1`: width to inner width.
    pub dense1: Linear,
    /// `W2, b2`: inner width to width.
    pub dense2: Linear,
    /// Norm after the residual.
    pub norm: Norm,
    dropout: Dropout,
}

/// What of the weights is used, and for what.
#[derive(Clone, Debug, PartialEq)]
struct Active {
    program: Program,
    /// Leading blocks in use.
    blocks: usize,
    /// Inner width in use.
    inner: usize,
}

impl FeedForward {
    /// Builds the feed-forward of a layer of `config` from its description; all of its blocks are in use.
    ///
    /// # Panics
    /// The program does not run at the widths of the configuration: descriptions of valid ones do.
    pub fn new(spec: &encoder_spec::FeedForward<Shape>, config: &BertConfig, device: &Device) -> Self {
        let align = spec.program.align();
        let widths = Widths { hidden: config.inner_width(), base: config.intermediate_size, align };
        let program = fused(&spec.program, widths.hidden, spec.inner);
        let active = Active { program, blocks: spec.blocks.len(), inner: spec.inner };
        let block = |spec| FeedForwardBlock::new(spec, config.hidden_dropout_prob, device);
        Self { blocks: spec.blocks.iter().map(block).collect(), active, widths }
    }

    /// The same weights with another expression active; cheap, since tensors are shared.
    ///
    /// # Panics
    /// The expression has no single linear id, or does not run at these widths; those of a checked
    /// [`architecture`](encoder_spec::architecture) do.
    #[must_use]
    pub fn activate(self, expression: &Expression) -> Self {
        let id = expression.id().expect("expressions of the search space have one linear id");
        let inner = self.widths.inner(id);
        let program = fused(&encoder_spec::Program::searched(expression, self.widths.align), self.widths.hidden, inner);
        Self { active: Active { program, blocks: usize::from(id.stacks()), inner }, ..self }
    }

    /// Applies the blocks in use.
    ///
    /// # Shapes
    /// - input and output: `[batch, seq, width]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.blocks.iter().take(self.active.blocks).fold(x, |x, block| block.forward(x, &self.active))
    }
}

impl FeedForwardBlock {
    fn new(spec: &Block<Shape>, dropout: f64, device: &Device) -> Self {
        Self {
            dense1: linear(&spec.dense1, device),
            dense2: linear(&spec.dense2, device),
            norm: Norm::new(&spec.norm, device),
            dropout: DropoutConfig::new(dropout).init(),
        }
    }

    fn forward(&self, x: Tensor<3>, active: &Active) -> Tensor<3> {
        let ffn = || Ffn::new(&self.dense1, &self.dense2, active.inner, &self.dropout);
        if let Some(norm) = self.norm.layer_norm() {
            return ffn_block(x, &ffn(), active.program.clone(), norm);
        }
        let [_, whole] = self.dense1.weight.lazy_shape().dims();
        let y = match active.program.as_plain().filter(|_| active.inner == whole) {
            Some(function) => dense(&self.dense2, dense_activated(&self.dense1, x.clone(), function)),
            None => active.program.evaluate(x.clone(), &ffn()),
        };
        self.norm.forward_residual(y, x, &self.dropout)
    }
}
