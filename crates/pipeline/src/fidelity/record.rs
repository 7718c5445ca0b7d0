//! What was measured so far, in a file that grows by a line per score.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Fidelity;
use crate::{Error, Result};

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "row", rename_all = "snake_case", deny_unknown_fields)]
pub enum Row {
    /// A network.
    Network {
        /// Its number, from 0.
        network: u32,
        /// What it is, as its space writes it.
        architecture: String,
        /// Parameters, without the distillation projection.
        params: u64,
        /// Multiply-adds of a forward pass.
        macs: u64,
    },
    /// A score of it.
    Score {
        /// Number of the network.
        network: u32,
        /// By what.
        fidelity: Fidelity,
        /// A zero-cost score; or the mean probability of the right answer. `None` where there is none, see `reason`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        score: Option<f64>,
        /// The mean of the tasks' metrics, where the network answered examples.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        metric: Option<f64>,
        /// Seconds that it took.
        seconds: f64,
        /// Why there is no score.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// A score of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// A zero-cost score; or the mean probability of the right answer.
    pub score: Option<f64>,
    /// The mean of the tasks' metrics.
    pub metric: Option<f64>,
    /// Seconds that it took.
    pub seconds: f64,
}

/// Everything measured of a network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// What it is.
    pub architecture: String,
    /// Parameters.
    pub params: u64,
    /// By fidelity.
    pub scores: BTreeMap<Fidelity, Score>,
}

/// All lines by network. A later line counts in place of an earlier one for the same score.
pub fn by_network(rows: impl IntoIterator<Item = Row>) -> BTreeMap<u32, Measured> {
    let mut all = BTreeMap::<u32, Measured>::new();
    for row in rows {
        match row {
            Row::Network { network, architecture, params, .. } => {
                let of = all.entry(network).or_default();
                (of.architecture, of.params) = (architecture, params);
            }
            Row::Score { network, fidelity, score, metric, seconds, .. } => {
                let score = Score { score: score.filter(|score| score.is_finite()), metric, seconds };
                all.entry(network).or_default().scores.insert(fidelity, score);
            }
        }
    }
    all
}

/// The lines of a file; none where there is no such file. A line that was torn off by a kill is left out.
///
/// # Errors
/// The file cannot be read, or holds another line that is none of these.
pub fn read(path: &Path) -> Result<Vec<Row>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let found = run_store::log::read::<Row>(path)?;
    match found.damaged.first() {
        None => Ok(found.records),
        Some(line) => Err(Error::RunFile {
            path: path.to_owned(),
            message: format!("line {line} is no score of a network; remove it, and it is measured again"),
        }),
    }
}

/// The lines of a text.
///
/// # Errors
/// The first line that is none.
pub fn parse(text: &str) -> serde_json::Result<Vec<Row>> {
    text.lines().map(serde_json::from_str).collect()
}
