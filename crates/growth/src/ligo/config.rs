//! How long and how fast growth is learned, as a recipe says it.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Whether layers of the large model share the matrices of the widths inside them: queries, keys, values, and the inside of feed-forwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerWidths {
    /// Each layer has its own, as in the released code.
    #[default]
    Own,
    /// All layers have the same. As many times fewer parameters as there are layers.
    Shared,
}

/// The training of a [`Ligo`](super::Ligo). In a recipe, with every default: `ligo = { steps = 100, learning_rate = 2e-4, widths = "own" }`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LigoConfig {
    /// Optimizer steps, at least 1; 100 in the paper.
    pub steps: u64,
    /// Learning rate of the matrices, above 0. The default is that of the released configuration (`configs/bert_wiki.txt`), before its warm-up.
    pub learning_rate: f64,
    /// Matrices of the widths inside layers.
    pub widths: LayerWidths,
}

impl Default for LigoConfig {
    fn default() -> Self {
        Self { steps: 100, learning_rate: 2e-4, widths: LayerWidths::Own }
    }
}

impl LigoConfig {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`Error::LigoConfig`].
    pub fn validate(&self) -> Result<()> {
        let fault = |field, found: String, needed| Err(Error::LigoConfig { field, found, needed });
        if self.steps == 0 {
            return fault("steps", "0".into(), "at least 1; leave `ligo` out to grow without learning");
        }
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            return fault("learning_rate", self.learning_rate.to_string(), "a number above 0");
        }
        Ok(())
    }
}
