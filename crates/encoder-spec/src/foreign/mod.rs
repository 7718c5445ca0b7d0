//! Models of other families that compute exactly what a BERT computes, turned into BERTs.
//!
//! A family is one file here, the only place that knows its keys and the names of its tensors. Everything else sees a BERT.
//!
//! | file | concern |
//! |---|---|
//! | `roberta` | RoBERTa, XLM-RoBERTa, CamemBERT |
//! | `distilbert` | DistilBERT |
//! | `electra` | ELECTRA, discriminators and generators |
//! | `keys` | from a family's keys to BERT's |
//! | `tensors` | from a family's tensors to BERT's |

mod distilbert;
mod electra;
mod error;
mod keys;
mod roberta;
mod tensors;

use serde_json::{Map, Value};

use crate::{ModelType, Result};

pub use error::ForeignError;
use keys::Keys;
pub use tensors::Converted;

/// The families.
const FAMILIES: [&dyn ForeignFamily; 3] = [&roberta::Roberta, &distilbert::DistilBert, &electra::Electra];

/// The configuration of a model of another family as a BERT's, and what is needed to convert its tensors.
#[derive(Clone)]
pub struct ForeignModel {
    family: &'static dyn ForeignFamily,
    config: Map<String, Value>,
    ignored: Vec<String>,
}

impl std::fmt::Debug for ForeignModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ForeignModel").field("family", &self.name()).field("config", &self.config).finish()
    }
}

impl ForeignModel {
    /// Reads a `config.json`; `None` where its `model_type` is not one of these families.
    ///
    /// # Errors
    /// A key is missing, has a value of another type, or asks for what a BERT does not compute. Keys that mean the same for a BERT are
    /// checked when the converted configuration is read.
    pub fn read(config: &Value) -> Result<Option<Self>, ForeignError> {
        let Some(file) = config.as_object() else { return Ok(None) };
        let kind = file.get("model_type").and_then(Value::as_str);
        let Some(family) = kind.and_then(|kind| FAMILIES.into_iter().find(|f| f.model_types().contains(&kind))) else {
            return Ok(None);
        };
        let mut keys = Keys::of(file.clone());
        family.read_keys(&mut keys)?;
        let (config, ignored) = keys.finish();
        Ok(Some(Self { family, config, ignored }))
    }

    /// The family's name, for people.
    pub fn name(&self) -> &'static str {
        self.family.name()
    }

    /// The text of a BERT's `config.json`, to be read with [`BertConfig::from_json`](crate::BertConfig::from_json).
    pub fn config_json(&self) -> String {
        Value::Object(self.config.clone()).to_string()
    }

    /// Keys that would mean something to a BERT and mean nothing to a model of this family. They are left out.
    pub fn ignored_keys(&self) -> &[String] {
        &self.ignored
    }
}

/// Values of `model_type` that [`ForeignModel::read`] knows.
pub(crate) fn model_types() -> impl Iterator<Item = &'static str> {
    FAMILIES.into_iter().flat_map(|family| family.model_types().iter().copied())
}

/// Where a tensor outside of the encoder goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// To a head, under this name.
    Head(String),
    /// In the place of the pooler: `weight` or `bias` of a dense layer with tanh on the first token, which is a head's own here.
    Pooler(String),
    /// Nowhere: a head of pre-training that a BERT does not have.
    LeftBehind,
    /// Under its own name, for others to judge.
    Unchanged,
}

/// What differs between families.
pub(crate) trait ForeignFamily: Sync {
    /// What people call it.
    fn name(&self) -> &'static str;

    /// Values of `model_type`.
    fn model_types(&self) -> &'static [&'static str];

    /// What stands before the names of the encoder's tensors in files of models with heads.
    fn prefix(&self) -> &'static str;

    /// Brings the keys of a `config.json` to BERT's.
    ///
    /// # Errors
    /// A key is missing, has a value of another type, or asks for what a BERT does not compute.
    fn read_keys(&self, keys: &mut Keys) -> Result<(), ForeignError>;

    /// BERT's name of an encoder's tensor, both without prefix; `None` for names that the family's encoder does not have.
    fn encoder_name(&self, name: &str) -> Option<String>;

    /// Where a tensor outside of the encoder goes.
    fn outside(&self, name: &str) -> Place;

    /// Refuses heads that a BERT of this configuration would compute otherwise; `has` tells whether the file has a tensor.
    ///
    /// # Errors
    /// [`ForeignError::Head`].
    fn check_heads(&self, config: &Map<String, Value>, has: &dyn Fn(&str) -> bool) -> Result<(), ForeignError>;

    /// Brings the encoder's tensors, which have BERT's names already, to BERT's shapes.
    ///
    /// # Errors
    /// [`ForeignError::Shape`].
    fn reshape(&self, _: &Map<String, Value>, _: &mut tensors::Encoder) -> Result<(), ForeignError> {
        Ok(())
    }
}

/// Whether BERT's masked-LM head, whose activation is `hidden_act`, computes the exact GELU that is fixed in other families.
fn has_exact_gelu(config: &Map<String, Value>) -> bool {
    let activation = config.get("hidden_act").cloned().unwrap_or_default();
    serde_json::from_value::<crate::Activation>(activation).is_ok_and(|act| act == crate::Activation::GeluErf)
}

/// That head's refusal.
fn fixed_gelu(family: &str, head: &str, config: &Map<String, Value>) -> ForeignError {
    let activation = config.get("hidden_act").cloned().unwrap_or_default();
    ForeignError::Head {
        message: format!(
            "the masked-LM head (`{head}`) of {family} computes \"gelu\", and `hidden_act` is {activation}, which BERT's head would compute"
        ),
    }
}

/// `name` behind `from`, put behind `to`.
fn moved(name: &str, from: &str, to: &str) -> Option<String> {
    name.strip_prefix(from).map(|rest| format!("{to}{rest}"))
}

/// The key `model_type` of what a model becomes.
fn bert() -> Value {
    Value::from(ModelType::Bert.name())
}
