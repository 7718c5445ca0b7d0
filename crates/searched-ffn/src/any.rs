//! A model whose kind of feed-forward is known only when its configuration has been read.

use std::collections::BTreeMap;
use std::path::Path;

use bert_core::weights::{
    NameFormat, Stored, Tensors, apply, collect, collect_internal, parameter_shapes, resolve, resolve_unread,
};
use bert_core::{
    BertConfig, Count, EncodeOptions, Encoder, EncoderOutput, MlmHead, ModelType, StackedFfn, TaskHead, TaskModel,
    TokenBatch, count_parts, init,
};
use burn::tensor::{Device, Tensor};

use crate::{ModelError, Parts, SearchedFfn, searched_model};

/// A model with plain or with searched feed-forwards.
#[derive(Clone, Debug)]
pub enum AnyModel {
    /// BERT, MiniLM, TinyBERT, MobileBERT.
    Plain(TaskModel<StackedFfn>),
    /// A student whose feed-forwards were searched.
    Searched(TaskModel<SearchedFfn>),
}

/// Evaluates an expression on the model inside an [`AnyModel`], whichever it is.
#[macro_export]
macro_rules! each_model {
    ($any:expr, $model:ident => $body:expr) => {
        match $any {
            $crate::AnyModel::Plain($model) => $body,
            $crate::AnyModel::Searched($model) => $body,
        }
    };
}

/// Makes an [`AnyModel`] of the same kind from another's model.
#[macro_export]
macro_rules! map_model {
    ($any:expr, $model:ident => $body:expr) => {
        match $any {
            $crate::AnyModel::Plain($model) => $crate::AnyModel::Plain($body),
            $crate::AnyModel::Searched($model) => $crate::AnyModel::Searched($body),
        }
    };
}

impl AnyModel {
    /// Builds the model of `config`; weights are lazy until loaded or initialised.
    ///
    /// `model_type` decides between the variants.
    ///
    /// # Errors
    /// The configuration is not valid, its `layers` are not, or a plain family lists any; `parts.mlm_extra` where the word table is
    /// as wide as the hidden states.
    pub fn build(config: &BertConfig, parts: Parts, device: &Device) -> Result<Self, ModelError> {
        if config.model_type == ModelType::EfficientBert {
            let model = searched_model(config, false, parts.pooler, device)?;
            return Ok(Self::Searched(TaskModel { mlm: word_head(config, parts, device)?, ..model }));
        }
        if !config.layers.is_empty() {
            return Err(encoder_spec::Error::Config {
                field: "layers",
                message: "searched feed-forwards need `model_type` \"efficientbert\"".into(),
            }
            .into());
        }
        config.validate()?;
        let plain = |_| StackedFfn::new(config, device);
        let model = TaskModel::new(config, parts.pooler, false, device, plain)?;
        Ok(Self::Plain(TaskModel { mlm: word_head(config, parts, device)?, ..model }))
    }

    /// Fresh weights drawn from `N(0, config.initializer_range)`, a function of the seed alone ([`init::normal`]).
    #[must_use]
    pub fn initialised(self, config: &BertConfig, seed: u64) -> Self {
        map_model!(self, m => init::normal(m, seed, config.initializer_range))
    }

    /// Loads tensors strictly; `source` is the file that errors name.
    ///
    /// # Errors
    /// As [`bert_core::weights::apply`].
    pub fn apply(self, tensors: Tensors, format: NameFormat, source: &Path) -> Result<Self, ModelError> {
        Ok(map_model!(self, m => apply(m, tensors, format, source)?))
    }

    /// Tensors under the module's paths, checked strictly; the weights of `self` are not looked at.
    ///
    /// # Errors
    /// As [`bert_core::weights::resolve`].
    pub fn resolve<T: Stored>(
        &self,
        tensors: Tensors<T>,
        format: NameFormat,
        source: &Path,
    ) -> Result<Tensors<T>, ModelError> {
        Ok(each_model!(self, m => resolve(m, tensors, format, source))?)
    }

    /// As [`AnyModel::resolve`] without reading values.
    ///
    /// # Errors
    /// As [`bert_core::weights::resolve_unread`].
    pub fn resolve_unread<T: Stored>(
        &self,
        tensors: Tensors<T>,
        format: NameFormat,
        source: &Path,
    ) -> Result<Tensors<T>, ModelError> {
        Ok(each_model!(self, m => resolve_unread(m, tensors, format, source))?)
    }

    /// All parameters under their module paths.
    pub fn collect_internal(&self) -> Tensors {
        each_model!(self, m => collect_internal(m))
    }

    /// All parameters under their external names.
    pub fn collect(&self, format: NameFormat) -> Tensors {
        each_model!(self, m => collect(m, format))
    }

    /// Shapes as files hold them, by module path; allocates no weights.
    pub fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        each_model!(self, m => parameter_shapes(m))
    }

    /// Parameters and MACs at `seq` tokens; allocates no weights.
    pub fn count(&self, config: &BertConfig, seq: usize) -> Count {
        each_model!(self, m => count_parts(m, config, seq))
    }

    /// The optional parts this model has.
    pub fn parts(&self) -> Parts {
        let extra = |head: &MlmHead| head.extra.is_some();
        each_model!(self, m => {
            let mlm_extra = m.mlm.as_ref().is_some_and(extra);
            Parts { pooler: m.pooler.is_some(), mlm: m.mlm.is_some(), mlm_extra }
        })
    }

    /// The task heads in the configuration's order.
    pub fn heads(&self) -> &[TaskHead] {
        each_model!(self, m => &m.heads)
    }

    /// Whether the model carries the distillation projection.
    pub fn has_fit(&self) -> bool {
        each_model!(self, m => m.encoder.fit_dense.is_some())
    }

    /// The pooled vector of each sequence, see [`TaskModel::pool`].
    ///
    /// # Shapes
    /// - `last_hidden`: `[batch, seq, hidden]`
    /// - output: `[batch, hidden]`
    pub fn pool(&self, last_hidden: Tensor<3>) -> Tensor<2> {
        each_model!(self, m => m.pool(last_hidden))
    }

    /// Encoder output and the pooled scores of head `head`, see [`TaskModel::forward`].
    ///
    /// # Shapes
    /// - second output: `[batch, outputs]`
    pub fn forward(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> (EncoderOutput, Tensor<2>) {
        each_model!(self, m => m.forward(batch, head, options))
    }
}

fn word_head(config: &BertConfig, parts: Parts, device: &Device) -> Result<Option<MlmHead>, ModelError> {
    Ok(match (parts.mlm, parts.mlm_extra) {
        (false, _) => None,
        (true, false) => Some(MlmHead::new(config, device)),
        (true, true) => Some(MlmHead::extended(config, device)?),
    })
}

impl Encoder for AnyModel {
    fn encode(&self, batch: &TokenBatch, options: EncodeOptions) -> EncoderOutput {
        each_model!(self, m => m.encode(batch, options))
    }
}
