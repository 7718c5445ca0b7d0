//! The families of encoders: how each one's `config.json` is meant, and what its files call the weights.
//!
//! A new family is a file here, a variant of [`ModelType`] and its line in [`ModelType::family`]; what its layers compute that no
//! other family's do goes into [`crate::encoder`] and what is built from it.

mod bert;
pub(crate) mod efficientbert;
pub(crate) mod layer_parts;
pub(crate) mod mobilebert;
pub(crate) mod modernbert;
pub(crate) mod reference;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::encoder::{Layer, Shape};
use crate::{BertConfig, Parts, Result};

/// Which family a configuration belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelType {
    /// BERT and everything of its shape (MiniLM, TinyBERT); names as in Hugging Face's `BertModel`.
    #[default]
    Bert,
    /// MobileBERT; names as in Hugging Face's `MobileBertModel`.
    MobileBert,
    /// ModernBERT and everything of its shape (Ettin); names as in Hugging Face's `ModernBertModel`.
    ModernBert,
    /// A student whose feed-forwards were searched; names documented in `docs/model-directory.md`.
    EfficientBert,
}

impl ModelType {
    /// All families.
    pub const ALL: [Self; 4] = [Self::Bert, Self::MobileBert, Self::EfficientBert, Self::ModernBert];

    /// What this family does differently from others.
    pub(crate) fn family(self) -> &'static dyn Family {
        match self {
            Self::Bert => &bert::Bert,
            Self::MobileBert => &mobilebert::MobileBert,
            Self::ModernBert => &modernbert::ModernBert,
            Self::EfficientBert => &efficientbert::EfficientBert,
        }
    }

    /// `model_type` in `config.json`.
    pub fn name(self) -> &'static str {
        self.family().name()
    }

    /// What Hugging Face's classes for this family begin with, e.g. `Bert` in `BertForMaskedLM`; `None` where it has none.
    pub fn class(self) -> Option<&'static str> {
        self.family().class()
    }

    /// What stands before the names of the encoder's tensors in files of models with heads.
    pub fn prefix(self) -> &'static str {
        self.family().prefix()
    }

    /// Whether a tensor of this name belongs to a head, and never has the [prefix](Self::prefix).
    pub fn is_head(self, name: &str) -> bool {
        self.family().is_head(name)
    }

    /// What Hugging Face's names of the head begin with that marks spans.
    pub fn span_head(self) -> &'static str {
        self.family().span_head()
    }
}

/// What differs between families.
pub(crate) trait Family: Sync {
    /// See [`ModelType::name`].
    fn name(&self) -> &'static str;

    /// See [`ModelType::class`].
    fn class(&self) -> Option<&'static str>;

    /// See [`ModelType::prefix`].
    fn prefix(&self) -> &'static str;

    /// The optional parts that published checkpoints have.
    fn published_parts(&self) -> Parts {
        Parts::NONE
    }

    /// Brings the keys of a `config.json` of this family to the fields of [`BertConfig`].
    ///
    /// # Errors
    /// A key has a value of another type, or asks for what is not supported.
    fn read_keys(&self, _: &mut Map<String, Value>) -> Result<()> {
        Ok(())
    }

    /// The configuration with every key that other programs need in this family's `config.json`.
    fn written_keys(&self, config: &BertConfig) -> BertConfig {
        config.clone()
    }

    /// The text of `config.json` without a line break at its end.
    ///
    /// # Errors
    /// A key cannot be written as JSON.
    fn json(&self, config: &BertConfig) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&self.written_keys(config))
    }

    /// See [`BertConfig::is_of_transformers`].
    fn is_of_transformers(&self, config: &BertConfig) -> bool;

    /// Whether other programs write a tensor of this name for this configuration and compute nothing with it.
    fn leaves_unused(&self, _: &BertConfig, _: &str) -> bool {
        false
    }

    /// The layers.
    ///
    /// # Errors
    /// The configuration lists layers that this family does not have, or not those that it has.
    fn layers(&self, config: &BertConfig) -> Result<Vec<Layer<Shape>>>;

    /// Name in files, behind that of the layer, of a weight of block `block` of `blocks` of its feed-forward: `dense1`, `dense2` or
    /// `norm`, and `weight` or `bias`.
    fn block_name(&self, block: usize, blocks: usize, part: &str, leaf: &str) -> String {
        bert::plain_block_name(block, blocks, part, leaf)
    }

    /// Name in files of the weight at a path, of which these are the parts; `None`: BERT's, with [`Family::block_name`].
    fn weight_name(&self, _: &[&str]) -> Option<String> {
        None
    }

    /// Path of the weight that the tensor of this name is a copy of; BERT's are known.
    fn tied_to(&self, _: &str) -> Option<&'static str> {
        None
    }

    /// See [`ModelType::is_head`].
    fn is_head(&self, name: &str) -> bool {
        ["cls.", "classifier", "qa_outputs."].iter().any(|head| name.starts_with(head))
    }

    /// See [`ModelType::span_head`].
    fn span_head(&self) -> &'static str {
        "qa_outputs."
    }
}
