//! From a configuration to the description of its encoder.

use crate::encoder::{
    Attention, AttentionSource, Block, Bottleneck, Embedding, Encoder, FeedForward, Head, Layer, Linear, MlmHead, Norm,
    Normalization, Projection, Shape, Transform,
};
use crate::families::{efficientbert, modernbert};
use crate::{
    AttentionInput, AttentionShape, BertConfig, BottleneckConfig, Error, NormKind, Parts, Pooling, Program, Result,
    TaskHeadConfig,
};

impl Encoder<Shape> {
    /// The encoder of `config`, of any family, with the heads that `config.task_heads` lists.
    ///
    /// # Errors
    /// The configuration is not valid, its `layers` are not, or a plain family lists any; `parts.mlm_extra` where the word table is
    /// as wide as the hidden states.
    pub fn describe(config: &BertConfig, parts: Parts) -> Result<Self> {
        config.validate()?;
        around(config, parts, config.model_type.family().layers(config)?)
    }

    /// The encoder of a searched student with the largest feed-forwards of the search space, of which its own are leading slices.
    ///
    /// # Errors
    /// As [`Encoder::describe`], or the configuration is not a searched student's.
    pub fn supernet(config: &BertConfig, parts: Parts) -> Result<Self> {
        config.validate()?;
        around(config, parts, efficientbert::largest_layers(config)?)
    }

    /// The optional parts that it has.
    pub fn parts(&self) -> Parts {
        let mlm_extra = self.mlm.as_ref().is_some_and(|head| head.extra.is_some());
        Parts { pooler: self.pooler.is_some() || self.prediction.is_some(), mlm: self.mlm.is_some(), mlm_extra }
    }
}

fn around(config: &BertConfig, parts: Parts, layers: Vec<Layer<Shape>>) -> Result<Encoder<Shape>> {
    if let Some(modern) = &config.modern {
        return modernbert::around(config, modern, parts, layers);
    }
    let hidden = config.hidden_size;
    Ok(Encoder {
        family: config.model_type,
        embedding: embedding(config),
        layers,
        final_norm: None,
        fit: config.fit_size.map(|fit| Linear::of(hidden, fit)),
        pooling: Pooling::Cls,
        pooler: parts.pooler.then(|| Linear::of(hidden, hidden)),
        prediction: None,
        heads: heads(config),
        mlm: parts.mlm.then(|| mlm_head(config, parts.mlm_extra)).transpose()?,
    })
}

pub(crate) fn heads(config: &BertConfig) -> Vec<Head<Shape>> {
    let hidden = config.hidden_size;
    let head = |h: &TaskHeadConfig| Head {
        kind: h.kind,
        vector: h.vector,
        dense: h.vector.is_none_or(|v| v.size.is_some()).then(|| Linear::of(hidden, h.outputs(hidden))),
    };
    config.task_heads.iter().map(head).collect()
}

impl NormKind {
    /// The normalization with that epsilon.
    pub fn with(self, eps: f64) -> Normalization {
        match self {
            Self::LayerNorm => Normalization::LayerNorm { eps },
            Self::NoNorm => Normalization::NoNorm,
        }
    }
}

fn norm(config: &BertConfig, width: usize, eps: f64) -> Norm<Shape> {
    Norm::of(config.normalization_type.with(eps), width)
}

fn embedding(config: &BertConfig) -> Embedding<Shape> {
    let (embed, hidden) = (config.embed_width(), config.hidden_size);
    let trigram = config.trigram_input;
    Embedding {
        words: vec![config.vocab_size, embed],
        projection: config
            .embedding_size
            .map(|_| Projection { linear: Linear::of(if trigram { 3 * embed } else { embed }, hidden), trigram }),
        positions: Some(vec![config.max_position_embeddings, hidden]),
        longest: config.max_position_embeddings,
        segments: Some(vec![config.type_vocab_size, hidden]),
        norm: norm(config, hidden, config.outer_norm_eps()),
    }
}

/// A layer with attention of that shape, if any, and that feed-forward.
pub(crate) fn layer(
    config: &BertConfig,
    shape: Option<AttentionShape>,
    feed_forward: FeedForward<Shape>,
) -> Layer<Shape> {
    let attention = shape.map(|shape| attention(config, shape));
    Layer { attention, feed_forward, bottleneck: bottleneck(config), norm_first: false }
}

fn attention(config: &BertConfig, AttentionShape { heads, width }: AttentionShape) -> Attention<Shape> {
    let (inside, hidden) = (config.inner_width(), config.hidden_size);
    let (queries, values) = match config.bottleneck().map(|b| b.attention_input) {
        None | Some(AttentionInput::Bottleneck) => (inside, inside),
        Some(AttentionInput::Wide) => (hidden, hidden),
        Some(AttentionInput::SharedKeyQuery) => (inside, hidden),
    };
    Attention {
        heads,
        query: Linear::of(queries, width),
        key: (!config.tie_key_query).then(|| Linear::of(queries, width)),
        value: Linear::of(values, width),
        output: Linear::of(width, inside),
        norm: Some(norm(config, inside, config.layer_norm_eps)),
        rotary: None,
        reach: None,
    }
}

fn bottleneck(config: &BertConfig) -> Option<Bottleneck<Shape>> {
    let BottleneckConfig { size, attention_input, norm: is_normed } = config.bottleneck()?;
    let (hidden, eps) = (config.hidden_size, config.layer_norm_eps);
    let inner_norm = || is_normed.then(|| norm(config, size, eps));
    Some(Bottleneck {
        input: Linear::of(hidden, size),
        input_norm: inner_norm(),
        attention: match attention_input {
            AttentionInput::Wide => AttentionSource::Wide,
            AttentionInput::Bottleneck => AttentionSource::Bottleneck,
            AttentionInput::SharedKeyQuery => {
                AttentionSource::SharedKeyQuery { dense: Linear::of(hidden, size), norm: inner_norm() }
            }
        },
        output: Linear::of(size, hidden),
        output_norm: norm(config, hidden, eps),
    })
}

/// Blocks of `program` with these weights; `last_eps` is the epsilon of the last one's norm.
pub(crate) fn feed_forward(
    config: &BertConfig,
    program: Program,
    inner: usize,
    (blocks, size): (usize, usize),
    last_eps: f64,
) -> FeedForward<Shape> {
    let width = config.inner_width();
    let block = |i| Block {
        dense1: Linear::of(width, size),
        dense2: Linear::of(size, width),
        gate: None,
        norm: norm(config, width, if i + 1 == blocks { last_eps } else { config.layer_norm_eps }),
    };
    FeedForward { program, inner, blocks: (0..blocks).map(block).collect() }
}

fn mlm_head(config: &BertConfig, extended: bool) -> Result<MlmHead<Shape>> {
    let (hidden, embed, vocab) = (config.hidden_size, config.embed_width(), config.vocab_size);
    if extended && embed >= hidden {
        return Err(Error::Config {
            field: "embedding_size",
            message: format!(
                "a masked-language-model head with output weights of its own (`cls.predictions.dense.weight`) needs a word \
                 table narrower than the hidden width {hidden}, is {embed}"
            ),
        });
    }
    let width = if extended { hidden } else { embed };
    Ok(MlmHead {
        transform: Some(Transform {
            dense: Linear::of(hidden, width),
            activation: config.hidden_act,
            norm: Norm::of(Normalization::LayerNorm { eps: config.layer_norm_eps }, width),
        }),
        bias: Some(vec![vocab]),
        extra: extended.then(|| vec![hidden - embed, vocab]),
    })
}
