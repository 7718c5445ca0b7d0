//! The searched feed-forward.

use bert_core::{Activation, BertConfig, FeedForward, Norm};
use burn::module::{Module, Param};
use burn::nn::{Dropout, DropoutConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use fused_ops::{Combine, combine, linear_part};

use mlp_space::Align;
use mlp_space::{Binary, Expression, LinearId, Node, Unary, WeightSlot};

/// Feed-forward part of a searched layer: `n` blocks in a row, each
/// `y = LayerNorm(x + dropout(f(x; W1, b1, W2, b2)))` with its own weights and the same expression `f`
/// (Dong et al. 2021).
///
/// The weights may be larger than the expression asks for: a supernet holds 4 blocks of full inner width, and
/// `linearN_R` then uses the first N blocks, the first `floor(base / R)` rows of `W1` and `b1` and the first as many
/// columns of `W2` (in PyTorch's `[out, in]` layout).
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
            align: Align::Cut,
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
        self.blocks.iter().take(stacks).fold(x, |x, block| {
            let y = Call { block, inner, align: self.align, x: &x }.evaluate(self.expression.root());
            block.norm.forward_residual(y, x, &block.dropout)
        })
    }
}

/// Evaluation of the expression on one block.
struct Call<'a> {
    block: &'a SearchedBlock,
    inner: usize,
    align: Align,
    x: &'a Tensor<3>,
}

impl Call<'_> {
    fn evaluate(&self, node: &Node) -> Tensor<3> {
        match node {
            Node::Input => self.x.clone(),
            Node::Unary(op, a) => activation(*op).forward(self.evaluate(a)),
            Node::Binary(op, a, b) => self.binary(*op, self.evaluate(a), self.evaluate(b)),
            Node::Linear { weights: WeightSlot::First, input, .. } => self.first(self.evaluate(input)),
            Node::Linear { weights: WeightSlot::Second, input, .. } => self.second(self.evaluate(input)),
        }
    }

    /// `x W1[:, :e] + b1[:e]`.
    fn first(&self, x: Tensor<3>) -> Tensor<3> {
        let [width, _] = self.block.dense1.weight.lazy_shape().dims();
        part(&self.block.dense1, x, [width, self.inner])
    }

    /// `y W2[:e, :] + b2`.
    fn second(&self, y: Tensor<3>) -> Tensor<3> {
        let [_, width] = self.block.dense2.weight.lazy_shape().dims();
        part(&self.block.dense2, y, [self.inner, width])
    }

    fn binary(&self, op: Binary, a: Tensor<3>, b: Tensor<3>) -> Tensor<3> {
        let (wa, wb) = (a.dims()[2], b.dims()[2]);
        let width = self.align.width(wa, wb);
        let padding = match op {
            Binary::Add => 0.0,
            Binary::Mul => 1.0,
            Binary::Max => Align::MAX_PADDING,
        };
        let (a, b) = (fit(a, width, padding), fit(b, width, padding));
        let how = match op {
            Binary::Add => Combine::Add,
            Binary::Mul => Combine::Mul,
            Binary::Max => Combine::Max,
        };
        combine(a, b, how)
    }
}

/// The leading block of a layer.
fn part(layer: &Linear, x: Tensor<3>, block: [usize; 2]) -> Tensor<3> {
    linear_part(x, layer.weight.val(), layer.bias.as_ref().map(Param::val), block)
}

/// Cuts or pads the last axis to `width`.
fn fit(x: Tensor<3>, width: usize, padding: f64) -> Tensor<3> {
    let [batch, seq, found] = x.dims();
    match found.cmp(&width) {
        std::cmp::Ordering::Equal => x,
        std::cmp::Ordering::Greater => x.narrow(2, 0, width),
        std::cmp::Ordering::Less => {
            let pad = Tensor::full([batch, seq, width - found], padding, &x.device());
            Tensor::cat(vec![x, pad], 2)
        }
    }
}

fn activation(op: Unary) -> Activation {
    match op {
        Unary::Gelu => Activation::GeluTanh,
        Unary::Sigmoid => Activation::Sigmoid,
        Unary::Tanh => Activation::Tanh,
        Unary::Relu => Activation::Relu,
        Unary::LeakyRelu => Activation::LeakyRelu,
        Unary::Elu => Activation::Elu,
        Unary::Swish => Activation::Swish,
    }
}
