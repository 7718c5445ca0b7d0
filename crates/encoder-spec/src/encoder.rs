//! What an encoder is made of; `W` stands for a weight.

use crate::{Activation, ModelType, Pooling, Program, TaskHeadKind, VectorConfig};

/// Shape of a weight as files hold it; linear maps are `[outputs, inputs]`.
pub type Shape = Vec<usize>;

/// A value that has a shape.
pub trait Shaped {
    /// The shape; empty for a scalar.
    fn shape(&self) -> &[usize];
}

impl Shaped for Shape {
    fn shape(&self) -> &[usize] {
        self
    }
}

/// A linear map `y = W x + b`.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear<W> {
    /// `W`, `[outputs, inputs]`.
    pub weight: W,
    /// `b`, `[outputs]`; `None`: 0.
    pub bias: Option<W>,
}

impl Linear<Shape> {
    /// The map from `inputs` to `outputs` values, with a bias.
    pub fn of(inputs: usize, outputs: usize) -> Self {
        Self { weight: vec![outputs, inputs], bias: Some(vec![outputs]) }
    }

    /// The same with a bias only where `bias` says so.
    #[must_use]
    pub fn biased(self, bias: bool) -> Self {
        Self { bias: self.bias.filter(|_| bias), ..self }
    }
}

impl<W: Shaped> Linear<W> {
    /// Width of `x`; 0 where the weight is no matrix, which [`Encoder::check`] refuses.
    pub fn inputs(&self) -> usize {
        self.weight.shape().get(1).copied().unwrap_or_default()
    }

    /// Width of `y`.
    pub fn outputs(&self) -> usize {
        self.weight.shape().first().copied().unwrap_or_default()
    }
}

/// Which normalization.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Normalization {
    /// `(x - mean) / sqrt(variance + eps) * weight + bias`.
    LayerNorm {
        /// Added to the variance.
        eps: f64,
    },
    /// `x * weight + bias` (MobileBERT, Sun et al. 2020).
    NoNorm,
}

/// A normalization over the last axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Norm<W> {
    /// Which.
    pub kind: Normalization,
    /// `[width]`.
    pub weight: W,
    /// `[width]`; `None`: 0.
    pub bias: Option<W>,
}

impl Norm<Shape> {
    /// The norm of `width` values, with a bias.
    pub fn of(kind: Normalization, width: usize) -> Self {
        Self { kind, weight: vec![width], bias: Some(vec![width]) }
    }

    /// The same with a bias only where `bias` says so.
    #[must_use]
    pub fn biased(self, bias: bool) -> Self {
        Self { bias: self.bias.filter(|_| bias), ..self }
    }
}

/// From the word table's width to the hidden width.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection<W> {
    /// The map; takes the table's width, or three times it.
    pub linear: Linear<W>,
    /// Whether it sees `[next; current; previous]` word, zeros outside the sequence (Sun et al. 2020).
    pub trigram: bool,
}

/// `Norm(project(word) + position + segment)`; without a table its term is 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding<W> {
    /// Word table, `[vocabulary, embed]`.
    pub words: W,
    /// Present where `embed` is not the hidden width.
    pub projection: Option<Projection<W>>,
    /// Position table, `[longest, hidden]`; `None` where attention alone knows of positions ([`Attention::rotary`]).
    pub positions: Option<W>,
    /// Tokens of the longest sequence.
    pub longest: usize,
    /// Segment table, `[segments, hidden]`; `None` where segments make no difference.
    pub segments: Option<W>,
    /// Of the sum.
    pub norm: Norm<W>,
}

/// Rotary positions (Su et al. 2021): channels `i` and `i + d/2` of each head, turned as a pair by `position * theta^(-2i/d)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rotary {
    /// Base of the frequencies.
    pub theta: f64,
}

impl Rotary {
    /// Cosines and sines of the angles by which the first `positions` turn pairs of channels of heads that are `width` wide, each
    /// `[positions, width / 2]`. Angles are rounded to `f32` as `transformers` rounds them, which makes a difference far from the start.
    pub fn turns(self, width: usize, positions: usize) -> [Vec<f32>; 2] {
        let pairs = width / 2;
        let frequencies: Vec<f32> =
            (0..pairs).map(|i| 1.0 / self.theta.powf((2 * i) as f64 / width as f64) as f32).collect();
        let angles = (0..positions).flat_map(|position| frequencies.iter().map(move |f| position as f32 * f));
        let (cosines, sines) = angles.map(|angle| (angle.cos(), angle.sin())).unzip();
        [cosines, sines]
    }
}

/// `Norm(residual + W_o softmax(q k^T / sqrt(d)) v)` with `heads` heads of width `d`, or where norms come first
/// ([`Layer::norm_first`]) `residual + W_o softmax(q k^T / sqrt(d)) v` of `Norm(residual)`.
///
/// Queries, keys and values are `heads * d` wide together ([`Attention::width`]), which needs not be the width of the residual.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention<W> {
    /// Number of heads; divides the width of the queries.
    pub heads: usize,
    /// Query projection, to `heads * d`.
    pub query: Linear<W>,
    /// Key projection; `None`: keys are the queries.
    pub key: Option<Linear<W>>,
    /// Value projection, to `heads * d`.
    pub value: Linear<W>,
    /// Output projection, from `heads * d` to the residual's width.
    pub output: Linear<W>,
    /// After the residual, or before queries, keys and values; `None` where none is there, which only a layer may have whose norms come
    /// first.
    pub norm: Option<Norm<W>>,
    /// How queries and keys are turned by their positions, if they are.
    pub rotary: Option<Rotary>,
    /// The largest distance at which a token sees another one; `None`: all see each other.
    pub reach: Option<usize>,
}

/// What queries, keys and values of a bottleneck layer are computed from.
#[derive(Clone, Debug, PartialEq)]
pub enum AttentionSource<W> {
    /// All three from the layer's wide input.
    Wide,
    /// Queries and keys from a second bottleneck, values from the wide input (MobileBERT).
    SharedKeyQuery {
        /// Wide to narrow.
        dense: Linear<W>,
        /// After it, if any.
        norm: Option<Norm<W>>,
    },
    /// All three from the bottleneck (MobileBERT-TINY).
    Bottleneck,
}

/// MobileBERT's narrow inside: attention and feed-forwards on `Norm(W_in h)`, then `Norm(h + W_out x)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Bottleneck<W> {
    /// Wide to narrow; also attention's residual.
    pub input: Linear<W>,
    /// After `input`, if any.
    pub input_norm: Option<Norm<W>>,
    /// Source of queries, keys and values.
    pub attention: AttentionSource<W>,
    /// Narrow to wide.
    pub output: Linear<W>,
    /// Of the layer's output.
    pub output_norm: Norm<W>,
}

/// Weights of one block of a feed-forward. They may be larger than the program uses, as a supernet's are.
#[derive(Clone, Debug, PartialEq)]
pub struct Block<W> {
    /// `W1, b1`: width to at least the inner width, of which the first outputs are used.
    pub dense1: Linear<W>,
    /// `W2, b2`: at least the inner width, of which the first inputs are used, to the width.
    pub dense2: Linear<W>,
    /// `W3, b3`, as `dense1`: where the program has a gate.
    pub gate: Option<Linear<W>>,
    /// After the residual, or of the block's input where norms come first.
    pub norm: Norm<W>,
}

/// The feed-forward part of a layer: blocks in a row, each `Norm(x + f(x; W1, b1, W2, b2))` with its own weights and the same `f`, or
/// `x + f(Norm(x); ..)` where norms come first.
///
/// BERT has one block, MobileBERT up to four, a searched student one to four with an expression of its own (Dong et al. 2021).
#[derive(Clone, Debug, PartialEq)]
pub struct FeedForward<W> {
    /// `f`.
    pub program: Program,
    /// Channels between the two linear maps.
    pub inner: usize,
    /// In order of application; empty where the layer has no feed-forward.
    pub blocks: Vec<Block<W>>,
}

/// One layer: attention, then the feed-forward. One of the two may be absent.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer<W> {
    /// Self-attention; without it the feed-forward takes the layer's input.
    pub attention: Option<Attention<W>>,
    /// Feed-forward part; without blocks the layer ends after its attention.
    pub feed_forward: FeedForward<W>,
    /// MobileBERT's bottleneck around both, if any.
    pub bottleneck: Option<Bottleneck<W>>,
    /// Whether norms stand before attention and feed-forward and not after the residuals.
    pub norm_first: bool,
}

/// `Norm(act(W h + b))`.
#[derive(Clone, Debug, PartialEq)]
pub struct Transform<W> {
    /// `W`, `b`.
    pub dense: Linear<W>,
    /// After it.
    pub activation: Activation,
    /// After the activation.
    pub norm: Norm<W>,
}

/// A task head.
#[derive(Clone, Debug, PartialEq)]
pub struct Head<W> {
    /// What it predicts. Scores of spans and tags are of every token, vectors of all last hidden states, and all others of the pooled vector.
    pub kind: TaskHeadKind,
    /// How a vector is made, of [`TaskHeadKind::Embedding`] and of no other kind.
    pub vector: Option<VectorConfig>,
    /// Hidden width to outputs; only a head that makes vectors may do without.
    pub dense: Option<Linear<W>>,
}

/// Masked-language-model head `Norm(act(W h + b)) [E X]^T + bias` over the word table `E`.
#[derive(Clone, Debug, PartialEq)]
pub struct MlmHead<W> {
    /// Its own transform, from the hidden width to the word table's width, or to itself where there are further columns; `None`: that
    /// of [`Encoder::prediction`].
    pub transform: Option<Transform<W>>,
    /// One value per word piece; `None`: 0.
    pub bias: Option<W>,
    /// `X^T`, `[hidden - embed, vocabulary]`: output weights beside the word table (MobileBERT).
    pub extra: Option<W>,
}

/// An encoder with everything on top of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoder<W> {
    /// Decides the names of tensors in files.
    pub family: ModelType,
    /// Embedding.
    pub embedding: Embedding<W>,
    /// In order of application.
    pub layers: Vec<Layer<W>>,
    /// After the last layer, where norms come first.
    pub final_norm: Option<Norm<W>>,
    /// Projection of hidden states to a teacher's width, which distillation compares; no part of the computation.
    pub fit: Option<Linear<W>>,
    /// What the pooled vector is made of.
    pub pooling: Pooling,
    /// `tanh(W h + b)` of what is pooled; without it the pooled vector is that itself.
    pub pooler: Option<Linear<W>>,
    /// Stands before all heads, those of words and of tokens too, in the place of a pooler (ModernBERT).
    pub prediction: Option<Transform<W>>,
    /// Task heads.
    pub heads: Vec<Head<W>>,
    /// Masked-language-model head.
    pub mlm: Option<MlmHead<W>>,
}

impl<W: Shaped> Attention<W> {
    /// Width of queries, keys and values, all heads together.
    pub fn width(&self) -> usize {
        self.query.outputs()
    }
}

impl<W: Shaped> Encoder<W> {
    /// Width between layers.
    pub fn hidden(&self) -> usize {
        match &self.embedding.positions {
            Some(table) => table.shape().get(1),
            None => self.embedding.norm.weight.shape().first(),
        }
        .copied()
        .unwrap_or_default()
    }

    /// The transform of the masked-language-model head, its own or the one that all heads share, where there is such a head.
    pub fn word_transform(&self) -> Option<&Transform<W>> {
        self.mlm.as_ref()?.transform.as_ref().or(self.prediction.as_ref())
    }
}
