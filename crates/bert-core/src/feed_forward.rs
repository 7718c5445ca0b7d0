//! The feed-forward part of a layer: BERT's, MobileBERT's stacks of it, and the searched ones.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::{Device, Tensor};
use encoder_spec::{BertConfig, Block, Shape};
use fused_ops::{Activation, Ffn, Program, dense, dense_activated, dropout, ffn_block};
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
/// | ModernBERT (Warner et al. 2024) | 1 | `dropout(act(x W1 + b1) * (x W3 + b3)) W2 + b2`, of `Norm(x)`: `y = x + f(Norm(x))` |
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
    #[module(skip)]
    norm_first: bool,
}

/// Weights of one block.
#[derive(Module, Debug)]
pub struct FeedForwardBlock {
    /// `W1, b1`: width to inner width.
    pub dense1: Linear,
    /// `W2, b2`: inner width to width.
    pub dense2: Linear,
    /// `W3, b3`, as `dense1`, where there is a gate.
    pub gate: Option<Linear>,
    /// Norm after the residual, or of the input.
    pub norm: Norm,
    dropout: Dropout,
}

/// What of the weights is used, and for what.
#[derive(Clone, Debug, PartialEq)]
struct Active {
    function: Function,
    /// Leading blocks in use.
    blocks: usize,
    /// Inner width in use.
    inner: usize,
}

/// What a block computes of its input.
#[derive(Clone, Debug, PartialEq)]
enum Function {
    /// Of two linear maps.
    Program(Program),
    /// Of two maps to the inner width, with this activation, and one back.
    Gated(Activation),
}

impl FeedForward {
    /// Builds the feed-forward of a layer of `config` from its description, `norm_first` as the layer says; all of its blocks are in use.
    ///
    /// # Panics
    /// The program does not run at the widths of the configuration: descriptions of valid ones do.
    pub fn new(
        spec: &encoder_spec::FeedForward<Shape>,
        norm_first: bool,
        config: &BertConfig,
        device: &Device,
    ) -> Self {
        let align = spec.program.align();
        let widths = Widths { hidden: config.inner_width(), base: config.intermediate_size, align };
        let function = match spec.program.as_gated() {
            Some(activation) => Function::Gated(activation.into()),
            None => Function::Program(fused(&spec.program, widths.hidden, spec.inner)),
        };
        let active = Active { function, blocks: spec.blocks.len(), inner: spec.inner };
        let block = |spec| FeedForwardBlock::new(spec, config.hidden_dropout_prob, device);
        Self { blocks: spec.blocks.iter().map(block).collect(), active, widths, norm_first }
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
        Self {
            active: Active { function: Function::Program(program), blocks: usize::from(id.stacks()), inner },
            ..self
        }
    }

    /// Applies the blocks in use.
    ///
    /// # Shapes
    /// - input and output: `[batch, seq, width]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let blocks = self.blocks.iter().take(self.active.blocks);
        match self.norm_first {
            true => blocks.fold(x, |x, block| block.forward_first(x, &self.active)),
            false => blocks.fold(x, |x, block| block.forward(x, &self.active)),
        }
    }
}

impl FeedForwardBlock {
    fn new(spec: &Block<Shape>, dropout: f64, device: &Device) -> Self {
        Self {
            dense1: linear(&spec.dense1, device),
            dense2: linear(&spec.dense2, device),
            gate: spec.gate.as_ref().map(|gate| linear(gate, device)),
            norm: Norm::new(&spec.norm, device),
            dropout: DropoutConfig::new(dropout).init(),
        }
    }

    /// `Norm(x + dropout(f(x)))`.
    fn forward(&self, x: Tensor<3>, active: &Active) -> Tensor<3> {
        if let (Some(norm), Function::Program(program)) = (self.norm.layer_norm(), &active.function) {
            return ffn_block(x, &self.ffn(active), program.clone(), norm);
        }
        let y = self.evaluate(x.clone(), active);
        self.norm.forward_residual(y, x, &self.dropout)
    }

    /// `x + f(Norm(x))`, with the dropout that a gated function has inside.
    fn forward_first(&self, x: Tensor<3>, active: &Active) -> Tensor<3> {
        let y = self.evaluate(self.norm.forward(x.clone()), active);
        match active.function {
            Function::Gated(_) => x + y,
            Function::Program(_) => x + dropout(y, &self.dropout),
        }
    }

    fn ffn(&self, active: &Active) -> Ffn<'_> {
        Ffn::new(&self.dense1, &self.dense2, active.inner, &self.dropout)
    }

    fn evaluate(&self, x: Tensor<3>, active: &Active) -> Tensor<3> {
        let program = match &active.function {
            Function::Program(program) => program,
            Function::Gated(activation) => {
                let gate = self.gate.as_ref().expect("a description whose program has a gate has its weights");
                let inner = dense_activated(&self.dense1, x.clone(), *activation) * dense(gate, x);
                return dense(&self.dense2, dropout(inner, &self.dropout));
            }
        };
        let [_, whole] = self.dense1.weight.lazy_shape().dims();
        match program.as_plain().filter(|_| active.inner == whole) {
            Some(function) => dense(&self.dense2, dense_activated(&self.dense1, x, function)),
            None => program.evaluate(x, &self.ffn(active)),
        }
    }
}
