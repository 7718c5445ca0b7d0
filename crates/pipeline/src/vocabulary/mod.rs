//! The vocabulary of a model, trimmed to what the texts of a task need.
//!
//! | file | concern |
//! |---|---|
//! | `texts` | the texts that decide, as word pieces |
//! | `on_dev` | what is lost on examples to evaluate on |

mod on_dev;
mod texts;

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use bert_core::{BertConfig, ModelDir};
use burn::tensor::Device;
use serde::Serialize;
use tokenizer::TextEncoder;

use crate::{Result, disk};

pub use on_dev::{Asked, OnDev};
pub use texts::Texts;
pub(crate) use texts::packed;

/// A vocabulary with the pieces that texts need.
#[derive(Clone, Debug)]
pub struct Trim {
    /// The tokenizer.
    pub encoder: TextEncoder,
    /// That of all pieces.
    pub whole: TextEncoder,
    /// The id that each piece had, by the id that it has now.
    rows: Vec<u32>,
    /// Ids by those that they were.
    new: HashMap<u32, u32>,
    least: u32,
}

/// Sizes of a model before and after its vocabulary was trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// Word pieces.
    pub pieces: [usize; 2],
    /// Parameters.
    pub params: [u64; 2],
    /// Bytes of its weights, which are stored as f32.
    pub bytes: [u64; 2],
}

impl Trim {
    /// The pieces that stand at least `least` times in `texts`, and those without which other texts could not be written
    /// ([`TextEncoder::trimmed`]); of examples the first `positions` tokens count, which are what a model reads.
    ///
    /// # Errors
    /// Texts that cannot be read; a tokenizer that cannot be trimmed, or whose pieces are all needed; [`crate::Error::Interrupted`] once
    /// `stop` is set.
    pub fn of(whole: &TextEncoder, texts: Texts<'_>, positions: usize, least: u32, stop: &AtomicBool) -> Result<Self> {
        let counts = texts.counts(whole, positions, stop)?;
        let tokenizer::Trimmed { encoder, rows } = whole.trimmed(&counts, least.into())?;
        let new = (0..).zip(&rows).map(|(new, old)| (*old, new)).collect();
        Ok(Self { encoder, whole: whole.clone(), rows, new, least })
    }

    /// The model with the rows of the kept pieces alone, which answers texts of these pieces as before.
    ///
    /// # Errors
    /// A table without one of the rows.
    pub fn model(&self, model: &ModelDir, device: &Device) -> Result<ModelDir> {
        Ok(model.with_vocabulary(&self.rows, device)?)
    }

    /// The configuration of that model.
    pub fn config(&self, config: &BertConfig) -> BertConfig {
        model_dir::config_of_rows(config, &self.rows)
    }

    /// What was kept, in words for people.
    pub fn said(&self) -> String {
        let (before, after) = (self.whole.vocab_size(), self.encoder.vocab_size());
        let often = match self.least {
            1 => "stand in the training texts".to_owned(),
            least => format!("stand at least {least} times in the training texts"),
        };
        format!(
            "the vocabulary is trimmed from {before} to {after} word pieces: those that {often}, and what other texts need"
        )
    }

    /// Ids as they are now; `None` for a piece that was not kept.
    fn mapped<'i>(&'i self, ids: &'i [u32]) -> impl Iterator<Item = Option<u32>> + 'i {
        ids.iter().map(|id| self.new.get(id).copied())
    }
}

impl Sizes {
    /// Those of a model and of the same with its trimmed vocabulary.
    pub fn of(before: &ModelDir, after: &ModelDir) -> Self {
        // The number of parameters does not depend on the length.
        let params = [before, after].map(|dir| dir.model.count(1).params());
        let pieces = [before, after].map(|dir| dir.config.vocab_size);
        Self { pieces, params, bytes: params.map(|params| params * size_of::<f32>() as u64) }
    }

    /// What was saved, in words for people.
    pub fn said(&self) -> String {
        let count = |params: u64| match params {
            0..1_000_000 => params.to_string(),
            _ => format!("{:.2} M", params as f64 / 1e6),
        };
        let [before, after] = self.params.map(count);
        let saved = disk::size(self.bytes[0] - self.bytes[1]);
        format!("{after} of {before} parameters are left; the weights are {saved} smaller")
    }
}
