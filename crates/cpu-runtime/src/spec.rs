//! What a network is made of.

use cpu_kernels::elementwise::Activation;
use encoder_spec::Floats;
use mlp_space::{Align, Expression};

/// Order of a weight matrix in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `[outputs, inputs]`, row after row: PyTorch and weight files.
    OutIn,
    /// `[inputs, outputs]`, row after row: burn.
    InOut,
}

/// A linear map `y = x W + b`.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// Width of `x`.
    pub inputs: usize,
    /// Width of `y`.
    pub outputs: usize,
    /// Order of `weight`.
    pub layout: Layout,
    /// `inputs * outputs` values.
    pub weight: Floats,
    /// `[outputs]`.
    pub bias: Vec<f32>,
}

/// Rows to look up.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Number of rows.
    pub rows: usize,
    /// Values in a row.
    pub width: usize,
    /// `[rows, width]`.
    pub data: Floats,
}

/// Which normalisation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NormKind {
    /// `(x - mean) / sqrt(variance + eps) * weight + bias`.
    LayerNorm {
        /// Added to the variance.
        eps: f32,
    },
    /// `x * weight + bias` (MobileBERT, Sun et al. 2020).
    NoNorm,
}

/// A normalisation over the last axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Norm {
    /// Which.
    pub kind: NormKind,
    /// `[width]`.
    pub weight: Vec<f32>,
    /// `[width]`.
    pub bias: Vec<f32>,
}

/// From the word table's width to the hidden width.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    /// The map; takes the table's width, or three times it.
    pub linear: Linear,
    /// Whether it sees `[next; current; previous]` word, zeros outside the sequence (Sun et al. 2020).
    pub trigram: bool,
}

/// `Norm(project(word) + position + segment)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    /// Word table, `[vocabulary, embed]`.
    pub words: Table,
    /// Present where `embed` is not the hidden width.
    pub projection: Option<Projection>,
    /// Position table, `[positions, hidden]`; its rows limit the length of sequences.
    pub positions: Table,
    /// Segment table, `[segments, hidden]`.
    pub segments: Table,
    /// Of the sum.
    pub norm: Norm,
}

/// `Norm(residual + W_o softmax(q k^T / sqrt(d)) v)` with `heads` heads of width `d`.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// Number of heads; divides the width.
    pub heads: usize,
    /// Query projection.
    pub query: Linear,
    /// Key projection; `None`: keys are the queries.
    pub key: Option<Linear>,
    /// Value projection.
    pub value: Linear,
    /// Output projection.
    pub output: Linear,
    /// After the residual.
    pub norm: Norm,
}

/// What queries, keys and values of a bottleneck layer are computed from.
#[derive(Clone, Debug, PartialEq)]
pub enum AttentionInput {
    /// All three from the layer's wide input.
    Wide,
    /// Queries and keys from a second bottleneck, values from the wide input (MobileBERT).
    SharedKeyQuery {
        /// Wide to narrow.
        dense: Linear,
        /// After it, if any.
        norm: Option<Norm>,
    },
    /// All three from the bottleneck (MobileBERT-TINY).
    Bottleneck,
}

/// MobileBERT's narrow inside: attention and feed-forwards on `Norm(W_in h)`, then `Norm(h + W_out x)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Bottleneck {
    /// Wide to narrow; also attention's residual.
    pub input: Linear,
    /// After `input`, if any.
    pub input_norm: Option<Norm>,
    /// Source of queries, keys and values.
    pub attention: AttentionInput,
    /// Narrow to wide.
    pub output: Linear,
    /// Of the layer's output.
    pub output_norm: Norm,
}

/// `Norm(x + W2 act(W1 x + b1) + b2)`.
#[derive(Clone, Debug, PartialEq)]
pub struct PlainBlock {
    /// `W1, b1`.
    pub dense1: Linear,
    /// `act`.
    pub activation: Activation,
    /// `W2, b2`.
    pub dense2: Linear,
    /// After the residual.
    pub norm: Norm,
}

/// Weights of one searched feed-forward `Norm(x + f(x; W1, b1, W2, b2))`.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchedBlock {
    /// `W1, b1`: width to at least the inner width, of which the first outputs are used.
    pub dense1: Linear,
    /// `W2, b2`: at least the inner width, of which the first inputs are used, to the width.
    pub dense2: Linear,
    /// After the residual.
    pub norm: Norm,
}

/// Searched feed-forwards in a row, all with the same expression `f` (Dong et al. 2021).
#[derive(Clone, Debug, PartialEq)]
pub struct SearchedStack {
    /// `f`. Its own stack count and ratio are not looked at: `blocks` and `inner` say them.
    pub expression: Expression,
    /// What operators do with operands of different width.
    pub align: Align,
    /// Inner width.
    pub inner: usize,
    /// In order of application.
    pub blocks: Vec<SearchedBlock>,
}

/// The feed-forward part of a layer.
#[derive(Clone, Debug, PartialEq)]
pub enum FeedForward {
    /// BERT's; MobileBERT has several in a row.
    Plain(Vec<PlainBlock>),
    /// EfficientBERT's.
    Searched(SearchedStack),
}

/// One layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Self-attention.
    pub attention: Attention,
    /// Feed-forward part.
    pub feed_forward: FeedForward,
    /// MobileBERT's bottleneck around both, if any.
    pub bottleneck: Option<Bottleneck>,
}

/// What a head looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadKind {
    /// The pooled vector: classification and regression.
    Pooled,
    /// Every token: spans.
    Tokens,
}

/// A task head.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// What it looks at.
    pub kind: HeadKind,
    /// Hidden width to outputs.
    pub dense: Linear,
}

/// An encoder with everything on top of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Embedding.
    pub embeddings: Embeddings,
    /// In order of application.
    pub layers: Vec<Layer>,
    /// `tanh(W h_first + b)`; without it the pooled vector is the first token's.
    pub pooler: Option<Linear>,
    /// Task heads.
    pub heads: Vec<Head>,
}

impl Attention {
    /// Width of queries, keys and values.
    pub fn width(&self) -> usize {
        self.query.outputs
    }
}

impl Network {
    /// Width between layers.
    pub fn hidden(&self) -> usize {
        self.positions().width
    }

    fn positions(&self) -> &Table {
        &self.embeddings.positions
    }
}
