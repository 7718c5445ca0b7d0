//! Models for inference on processors: from a configuration and tensors to a [`cpu_runtime::Model`].

use crate::weights::{MappedTensor, Tensors};
use crate::{AttentionInput, BertConfig, ModelType, NormKind, TaskHeadKind};
use cpu_runtime::{
    Attention, Bottleneck, Embeddings, FeedForward, Floats, Head, HeadKind, Layer, Layout, Linear, Network, Norm,
    PlainBlock, Precision, Projection, SearchedBlock, SearchedStack, Table,
};
use mlp_space::Expression;

use crate::{Error as ModelError, TaskModel, architecture};
use encoder_spec::align;

/// Compiles `model`, whose configuration is `config`, for inference in `precision`.
///
/// A searched model may be larger than its configuration says (a supernet); the configuration's part of it is taken.
/// The masked-language-model head and the distillation projection are left out.
///
/// # Errors
/// The configuration is not valid, or the model is not its model.
pub fn freeze(model: &TaskModel, config: &BertConfig, precision: Precision) -> Result<cpu_runtime::Model, ModelError> {
    Ok(cpu_runtime::Model::compile(network(config, model.collect_internal())?, precision)?)
}

/// The plain description of the encoder, pooler and heads in `tensors` (module paths, linear weights as `[out, in]`).
///
/// # Errors
/// The configuration is not valid, or a tensor is missing.
pub fn network<T: Into<MappedTensor>>(config: &BertConfig, tensors: Tensors<T>) -> Result<Network, ModelError> {
    config.validate()?;
    let tensors = Tensors(tensors.0.into_iter().map(|(name, tensor)| (name, tensor.into())).collect());
    let searched = match config.model_type {
        ModelType::EfficientBert => architecture(config)?.layers().to_vec(),
        _ => Vec::new(),
    };
    let mut source = Source { config, tensors };
    let layers = (0..config.num_hidden_layers).map(|i| source.layer(i, searched.get(i))).collect::<Result<_, _>>()?;
    let heads = config.task_heads.iter().enumerate();
    let heads = heads.map(|(i, head)| {
        let kind = if head.kind == TaskHeadKind::Span { HeadKind::Tokens } else { HeadKind::Pooled };
        Ok(Head { kind, dense: source.linear(&format!("heads.{i}.dense"))? })
    });
    let heads = heads.collect::<Result<_, ModelError>>()?;
    let pooler = source.tensors.0.contains_key("pooler.weight");
    Ok(Network {
        embeddings: source.embeddings()?,
        layers,
        pooler: pooler.then(|| source.linear("pooler")).transpose()?,
        heads,
    })
}

/// Tensors that are moved out by their module path.
struct Source<'a> {
    config: &'a BertConfig,
    tensors: Tensors<MappedTensor>,
}

impl Source<'_> {
    fn take(&mut self, name: &str) -> Result<MappedTensor, ModelError> {
        self.tensors
            .0
            .remove(name)
            .ok_or_else(|| ModelError::Disagree { expected: format!("`{name}`"), found: "nothing of that name".into() })
    }

    fn matrix(&mut self, name: &str) -> Result<(usize, usize, Floats), ModelError> {
        let MappedTensor { shape, data } = self.take(name)?;
        match shape[..] {
            [rows, columns] => Ok((rows, columns, data)),
            _ => Err(ModelError::Disagree {
                expected: format!("`{name}` as a matrix"),
                found: format!("shape {shape:?}"),
            }),
        }
    }

    fn vector(&mut self, name: &str) -> Result<Vec<f32>, ModelError> {
        Ok(self.take(name)?.data.to_vec())
    }

    fn linear(&mut self, path: &str) -> Result<Linear, ModelError> {
        let (outputs, inputs, weight) = self.matrix(&format!("{path}.weight"))?;
        let bias = self.vector(&format!("{path}.bias"))?;
        Ok(Linear { inputs, outputs, layout: Layout::OutIn, weight, bias })
    }

    fn norm(&mut self, path: &str) -> Result<Norm, ModelError> {
        self.norm_with(path, self.config.layer_norm_eps)
    }

    fn norm_with(&mut self, path: &str, eps: f64) -> Result<Norm, ModelError> {
        let kind = match self.config.normalization_type {
            NormKind::LayerNorm => cpu_runtime::NormKind::LayerNorm { eps: eps as f32 },
            NormKind::NoNorm => cpu_runtime::NormKind::NoNorm,
        };
        let weight = self.vector(&format!("{path}.weight"))?;
        Ok(Norm { kind, weight, bias: self.vector(&format!("{path}.bias"))? })
    }

    fn table(&mut self, path: &str) -> Result<Table, ModelError> {
        let (rows, width, data) = self.matrix(&format!("{path}.weight"))?;
        Ok(Table { rows, width, data })
    }

    fn embeddings(&mut self) -> Result<Embeddings, ModelError> {
        let trigram = self.config.trigram_input;
        let projection = match self.config.embedding_size {
            Some(_) => Some(Projection { linear: self.linear("encoder.embeddings.projection")?, trigram }),
            None => None,
        };
        Ok(Embeddings {
            words: self.table("encoder.embeddings.word_embeddings")?,
            projection,
            positions: self.table("encoder.embeddings.position_embeddings")?,
            segments: self.table("encoder.embeddings.token_type_embeddings")?,
            norm: self.norm_with("encoder.embeddings.norm", self.config.outer_norm_eps())?,
        })
    }

    fn layer(&mut self, index: usize, searched: Option<&Expression>) -> Result<Layer, ModelError> {
        let at = |part: &str| format!("encoder.layers.{index}.{part}");
        let key = !self.config.tie_key_query;
        let attention = Attention {
            heads: self.config.num_attention_heads,
            query: self.linear(&at("attention.query"))?,
            key: key.then(|| self.linear(&at("attention.key"))).transpose()?,
            value: self.linear(&at("attention.value"))?,
            output: self.linear(&at("attention.output"))?,
            norm: self.norm(&at("attention.norm"))?,
        };
        let feed_forward = match searched {
            Some(expression) => self.searched(expression, &at("feed_forward"))?,
            None => self.plain(&at("feed_forward"))?,
        };
        Ok(Layer { attention, feed_forward, bottleneck: self.bottleneck(&at("bottleneck"))? })
    }

    fn bottleneck(&mut self, path: &str) -> Result<Option<Bottleneck>, ModelError> {
        let Some(config) = self.config.bottleneck() else { return Ok(None) };
        let normed = config.norm;
        let at = |part: &str| format!("{path}.{part}");
        let attention = match config.attention_input {
            AttentionInput::Wide => cpu_runtime::AttentionInput::Wide,
            AttentionInput::Bottleneck => cpu_runtime::AttentionInput::Bottleneck,
            AttentionInput::SharedKeyQuery => cpu_runtime::AttentionInput::SharedKeyQuery {
                dense: self.linear(&at("attention"))?,
                norm: normed.then(|| self.norm(&at("attention_norm"))).transpose()?,
            },
        };
        Ok(Some(Bottleneck {
            input: self.linear(&at("input"))?,
            input_norm: normed.then(|| self.norm(&at("input_norm"))).transpose()?,
            attention,
            output: self.linear(&at("output"))?,
            output_norm: self.norm(&at("output_norm"))?,
        }))
    }

    fn plain(&mut self, path: &str) -> Result<FeedForward, ModelError> {
        let (count, activation) = (self.config.num_feedforward_networks, self.config.hidden_act.into());
        let block = |i: usize| {
            let eps = if i + 1 == count { self.config.outer_norm_eps() } else { self.config.layer_norm_eps };
            Ok(PlainBlock {
                dense1: self.linear(&format!("{path}.blocks.{i}.dense1"))?,
                activation,
                dense2: self.linear(&format!("{path}.blocks.{i}.dense2"))?,
                norm: self.norm_with(&format!("{path}.blocks.{i}.norm"), eps)?,
            })
        };
        let blocks = (0..count).map(block).collect::<Result<_, ModelError>>()?;
        Ok(FeedForward::Plain(blocks))
    }

    fn searched(&mut self, expression: &Expression, path: &str) -> Result<FeedForward, ModelError> {
        let id = expression.id().expect("checked by `architecture`");
        let block = |i: u8| {
            Ok(SearchedBlock {
                dense1: self.linear(&format!("{path}.blocks.{i}.dense1"))?,
                dense2: self.linear(&format!("{path}.blocks.{i}.dense2"))?,
                norm: self.norm(&format!("{path}.blocks.{i}.norm"))?,
            })
        };
        let blocks = (0..id.stacks()).map(block).collect::<Result<_, ModelError>>()?;
        Ok(FeedForward::Searched(SearchedStack {
            expression: expression.clone(),
            align: align(self.config),
            inner: id.inner_size(self.config.intermediate_size),
            blocks,
        }))
    }
}
