//! From the tensors of a family's file to BERT's.

use std::collections::BTreeMap;

use super::{ForeignError, ForeignModel, Place};
use crate::{HostTensor, ModelType, Result};

/// BERT's names of the layer between the first token and the heads, without `weight` and `bias`, and of the bias of words.
const POOLER: &str = "pooler.dense.";
const WORD_BIAS: &str = "cls.predictions.bias";
const COPIED_WORD_BIAS: &str = "cls.predictions.decoder.bias";

/// A converted file.
#[derive(Clone, Debug, PartialEq)]
pub struct Converted {
    /// Tensors under the names of Hugging Face's BERT.
    pub tensors: BTreeMap<String, HostTensor>,
    /// Names in the file of tensors that a BERT does not compute with.
    pub left_behind: Vec<String>,
}

/// An encoder's tensors by BERT's names without prefix, each with its name in the file.
#[derive(Debug, Default)]
pub(crate) struct Encoder(BTreeMap<String, (String, HostTensor)>);

impl Encoder {
    /// The tensor of that name, and its name in the file.
    pub fn get_mut(&mut self, name: &str) -> Option<(&str, &mut HostTensor)> {
        self.0.get_mut(name).map(|(origin, tensor)| (origin.as_str(), tensor))
    }

    /// Adds a tensor that models of the family do not have.
    ///
    /// # Errors
    /// The file has it all the same.
    pub fn add(&mut self, name: &str, tensor: HostTensor) -> Result<(), ForeignError> {
        self.insert(name.to_owned(), "what a model of this family does not have".to_owned(), tensor)
    }

    fn insert(&mut self, name: String, origin: String, tensor: HostTensor) -> Result<(), ForeignError> {
        match self.0.get(&name) {
            Some((one, _)) => Err(ForeignError::SameName { one: one.clone(), other: origin, name }),
            None => {
                self.0.insert(name, (origin, tensor));
                Ok(())
            }
        }
    }
}

impl ForeignModel {
    /// The tensors of a file of this model as a BERT's. With `encoder_only` what is outside of the encoder keeps its name, so that it
    /// can be told what it was; otherwise heads are converted too.
    ///
    /// # Errors
    /// A head that a BERT would compute otherwise, except with `encoder_only`; a tensor of another shape than the configuration asks
    /// for; two tensors for one place.
    pub fn convert(
        &self,
        tensors: BTreeMap<String, HostTensor>,
        encoder_only: bool,
    ) -> Result<Converted, ForeignError> {
        let (family, prefix) = (self.family, self.family.prefix());
        if !encoder_only {
            family.check_heads(&self.config, &|name| tensors.contains_key(name))?;
        }
        let is_prefixed = tensors.keys().any(|name| name.starts_with(prefix));
        let (mut encoder, mut poolers, mut rest) = (Encoder::default(), Vec::new(), BTreeMap::new());
        let mut left_behind = Vec::new();
        for (name, tensor) in tensors {
            let inside = match is_prefixed {
                true => {
                    name.strip_prefix(prefix).map(|bare| family.encoder_name(bare).unwrap_or_else(|| bare.to_owned()))
                }
                false => family.encoder_name(&name),
            };
            let place = match inside {
                Some(bert) => {
                    encoder.insert(bert, name, tensor)?;
                    continue;
                }
                None if encoder_only => Place::Unchanged,
                None => family.outside(&name),
            };
            match place {
                Place::Head(bert) => drop(rest.insert(bert, tensor)),
                Place::Unchanged => drop(rest.insert(name, tensor)),
                Place::Pooler(leaf) => poolers.push((leaf, name, tensor)),
                Place::LeftBehind => left_behind.push(name),
            }
        }
        if !poolers.is_empty() {
            // The head has a layer of its own in the pooler's place, and the file's pooler is not used.
            encoder.0.retain(|name, (origin, _)| {
                let is_pooler = name.starts_with(POOLER);
                left_behind.extend(is_pooler.then(|| std::mem::take(origin)));
                !is_pooler
            });
        }
        for (leaf, origin, tensor) in poolers {
            encoder.insert(format!("{POOLER}{leaf}"), origin, tensor)?;
        }
        family.reshape(&self.config, &mut encoder)?;
        // One bias under the name of its copy.
        if !encoder_only
            && !rest.contains_key(WORD_BIAS)
            && let Some(bias) = rest.remove(COPIED_WORD_BIAS)
        {
            rest.insert(WORD_BIAS.to_owned(), bias);
        }
        let prefix = if is_prefixed { ModelType::Bert.prefix() } else { "" };
        for (name, (origin, tensor)) in encoder.0 {
            let name = format!("{prefix}{name}");
            if rest.insert(name.clone(), tensor).is_some() {
                return Err(ForeignError::SameName { one: origin, other: name.clone(), name });
            }
        }
        Ok(Converted { tensors: rest, left_behind })
    }
}
