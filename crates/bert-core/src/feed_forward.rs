//! The feed-forward part of a layer: BERT's, MobileBERT's stacks of it, and the searched ones.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use fused_ops::{Ffn, Program, dense, dense_activated, ffn_block};
use mlp_space::{Expression, LinearId, Widths};

use crate::program::program;
use crate::{BertConfig, ModelType, Norm, Result};
use encoder_spec::{Error, align, architecture};

/// Feed-forward part of a layer: blocks in a row, each `y = Norm(x + dropout(f(x; W1, b1, W2, b2)))` with its own weights and the
/// same program `f`.
///
/// | family | blocks | `f` |
/// |---|---|---|
/// | BERT | 1 | `act(x W1 + b1) W2 + b2` |
/// | MobileBERT | 4 | the same |
/// | EfficientBERT (Dong et al. 2021) | 1 to 4 | an expression of the search space |
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

impl Active {
    fn searched(expression: &Expression, widths: Widths) -> Self {
        let id = expression.id().expect("expressions of the search space have one linear id");
        let inner = widths.inner(id);
        Self { program: program(expression, widths, inner), blocks: usize::from(id.stacks()), inner }
    }
}

impl FeedForward {
    /// Builds the plain feed-forward of `config`: `num_feedforward_networks` blocks.
    pub fn plain(config: &BertConfig, device: &Device) -> Self {
        let (blocks, inner) = (config.num_feedforward_networks, config.intermediate_size);
        let active = Active { program: Program::plain(config.hidden_act.into()), blocks, inner };
        let eps = |i| if i + 1 == blocks { config.outer_norm_eps() } else { config.layer_norm_eps };
        let blocks = (0..blocks).map(|i| FeedForwardBlock::new(config, inner, eps(i), device)).collect();
        Self { blocks, active, widths: widths(config) }
    }

    /// Builds the feed-forward of `expression` at its own size.
    ///
    /// # Panics
    /// The expression has no single linear id; those of a checked [`architecture`] have.
    pub fn searched(config: &BertConfig, expression: &Expression, device: &Device) -> Self {
        let active = Active::searched(expression, widths(config));
        let size = (active.blocks, active.inner);
        Self::with_size(config, active, size, device)
    }

    /// Builds the largest feed-forward of the search space, `expression` active in it.
    ///
    /// # Panics
    /// As [`FeedForward::searched`].
    pub fn supernet(config: &BertConfig, expression: &Expression, device: &Device) -> Self {
        let size = (usize::from(LinearId::LARGEST.stacks()), config.intermediate_size);
        Self::with_size(config, Active::searched(expression, widths(config)), size, device)
    }

    fn with_size(config: &BertConfig, active: Active, (blocks, inner): (usize, usize), device: &Device) -> Self {
        let block = |_| FeedForwardBlock::new(config, inner, config.layer_norm_eps, device);
        Self { blocks: (0..blocks).map(block).collect(), active, widths: widths(config) }
    }

    /// The same weights with another expression active; cheap, since tensors are shared.
    ///
    /// # Panics
    /// As [`FeedForward::searched`].
    #[must_use]
    pub fn activate(self, expression: &Expression) -> Self {
        Self { active: Active::searched(expression, self.widths), ..self }
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
    fn new(config: &BertConfig, inner: usize, norm_eps: f64, device: &Device) -> Self {
        let width = config.inner_width();
        Self {
            dense1: LinearConfig::new(width, inner).init(device),
            dense2: LinearConfig::new(inner, width).init(device),
            norm: Norm::new(config.normalization_type, width, norm_eps, device),
            dropout: DropoutConfig::new(config.hidden_dropout_prob).init(),
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

fn widths(config: &BertConfig) -> Widths {
    Widths { hidden: config.inner_width(), base: config.intermediate_size, align: align(config) }
}

/// The feed-forward of every layer of `config`: plain, or for a searched student those of its expressions, at their own sizes or
/// (`supernet`) in the largest ones of the space.
///
/// # Errors
/// A plain family lists searched feed-forwards; a searched one lists none, has a bottleneck, or as [`architecture`].
pub(crate) fn feed_forwards(config: &BertConfig, supernet: bool, device: &Device) -> Result<Vec<FeedForward>> {
    let refuse = |field, message: &str| Err(Error::Config { field, message: message.into() }.into());
    if config.model_type != ModelType::EfficientBert && !supernet {
        if !config.layers.is_empty() {
            return refuse("layers", "searched feed-forwards need `model_type` \"efficientbert\"");
        }
        return Ok((0..config.num_hidden_layers).map(|_| FeedForward::plain(config, device)).collect());
    }
    if config.intra_bottleneck_size.is_some() || config.num_feedforward_networks != 1 {
        return Err(Error::searched_bottleneck().into());
    }
    if config.layers.is_empty() {
        let message = "the configuration lists no searched feed-forwards".into();
        return Err(Error::Layer { layer: 1, message }.into());
    }
    let build = if supernet { FeedForward::supernet } else { FeedForward::searched };
    Ok(architecture(config)?.layers().iter().map(|expression| build(config, expression, device)).collect())
}
