//! The optimizer and its hyperparameters.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use super::written::name_or_table;
use crate::{Error, Result};

/// The rule of an update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// AdamW (Loshchilov & Hutter 2019), as PyTorch has it.
    #[default]
    AdamW,
    /// LAMB (You et al. 2020), for large batches.
    Lamb,
    /// Muon (Jordan et al. 2024) for the matrices of layers, in the form of Liu et al. 2025; AdamW for everything else.
    Muon,
}

impl OptimizerKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::AdamW, Self::Lamb, Self::Muon];
}

impl fmt::Display for OptimizerKind {
    /// The name as in recipes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AdamW => "adamw",
            Self::Lamb => "lamb",
            Self::Muon => "muon",
        })
    }
}

/// An optimizer with its hyperparameters. Written as a name (`"lamb"`) or a table
/// (`{ kind = "lamb", beta1 = 0.9, beta2 = 0.999, eps = 1e-6, weight_decay = 0.01 }`), of which `kind` is required.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OptimizerConfig {
    /// The rule.
    pub kind: OptimizerKind,
    /// Decay of the first moment; Muon's momentum.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled decay, not applied to biases and norms.
    pub weight_decay: f64,
}

impl OptimizerConfig {
    /// The usual hyperparameters of a rule: betas 0.9 and 0.999, decay 0.01, and an epsilon of 1e-8 for AdamW (PyTorch's,
    /// EfficientBERT's) and 1e-6 for LAMB (its authors'); for Muon both betas 0.95, decay 0.1 (Liu et al. 2025).
    pub fn of(kind: OptimizerKind) -> Self {
        let eps = match kind {
            OptimizerKind::AdamW | OptimizerKind::Muon => 1e-8,
            OptimizerKind::Lamb => 1e-6,
        };
        let ((beta1, beta2), weight_decay) = match kind {
            OptimizerKind::AdamW | OptimizerKind::Lamb => ((0.9, 0.999), 0.01),
            OptimizerKind::Muon => ((0.95, 0.95), 0.1),
        };
        Self { kind, beta1, beta2, eps, weight_decay }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the first at fault.
    pub fn validate(&self) -> Result<()> {
        let fail = |field, message: &str| Err(Error::Setting { field, message: message.into() });
        for (field, beta) in [("optimizer.beta1", self.beta1), ("optimizer.beta2", self.beta2)] {
            if !(0.0..1.0).contains(&beta) {
                return fail(field, "must be from 0 to below 1");
            }
        }
        if !(self.eps > 0.0 && self.eps.is_finite()) {
            return fail("optimizer.eps", "must be above 0");
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            return fail("optimizer.weight_decay", "must not be negative");
        }
        Ok(())
    }
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self::of(OptimizerKind::default())
    }
}

/// As written, before the defaults of the kind.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    kind: OptimizerKind,
    beta1: Option<f64>,
    beta2: Option<f64>,
    eps: Option<f64>,
    weight_decay: Option<f64>,
}

impl<'de> Deserialize<'de> for OptimizerConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let w: Written = name_or_table(deserializer)?;
        let usual = Self::of(w.kind);
        Ok(Self {
            kind: w.kind,
            beta1: w.beta1.unwrap_or(usual.beta1),
            beta2: w.beta2.unwrap_or(usual.beta2),
            eps: w.eps.unwrap_or(usual.eps),
            weight_decay: w.weight_decay.unwrap_or(usual.weight_decay),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<OptimizerConfig, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    #[test]
    fn a_name_and_a_table_have_the_defaults_of_their_kind() {
        assert_eq!(read(r#""adamw""#).unwrap(), OptimizerConfig::default());
        assert_eq!(read(r#"{"kind": "lamb"}"#).unwrap().eps, 1e-6);
        let set = OptimizerConfig { beta2: 0.98, ..OptimizerConfig::of(OptimizerKind::Lamb) };
        assert_eq!(read(r#"{"kind": "lamb", "beta2": 0.98}"#).unwrap(), set);
        assert_eq!(read(&serde_json::to_string(&set).unwrap()).unwrap(), set, "a round trip");
        assert_eq!(read(r#""muon""#).unwrap().beta1, 0.95);
    }

    #[test]
    fn other_names_keys_and_numbers_out_of_range_are_refused() {
        assert!(read(r#""sgd""#).unwrap_err().contains("`adamw`"));
        assert!(read(r#"{"kind": "lamb", "beta3": 1}"#).unwrap_err().contains("beta3"));
        assert!(read(r#"{"beta1": 0.5}"#).unwrap_err().contains("kind"));
        let message = OptimizerConfig { beta1: 1.0, ..OptimizerConfig::default() }.validate().unwrap_err().to_string();
        assert!(message.contains("optimizer.beta1"), "{message}");
    }
}
