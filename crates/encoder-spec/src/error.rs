//! What can be wrong with a description.

use crate::program::WidthMismatch;

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of configurations and descriptions.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The text of a configuration is not JSON, or a field is missing or of another type.
    #[error("{0}")]
    Json(String),
    /// A configuration value is outside what an encoder can be built from.
    #[error("config field `{field}`: {message}")]
    Config {
        /// The field.
        field: &'static str,
        /// What is wrong and what is allowed.
        message: String,
    },
    /// A layer's entry in the configuration is not usable.
    #[error("layer {layer}: {message}")]
    Layer {
        /// The layer, counted from 1.
        layer: usize,
        /// What is wrong with it.
        message: String,
    },
    /// The layers do not make an architecture.
    #[error(transparent)]
    Space(#[from] mlp_space::Error),
    /// Two parts of an encoder do not fit.
    #[error("{what}: expected {expected}, found {found}")]
    Part {
        /// The part, e.g. `layer 3, query`.
        what: String,
        /// What its neighbors ask for.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The program of a feed-forward does not run at the encoder's widths.
    #[error("{what}: {mismatch}")]
    Program {
        /// The feed-forward.
        what: String,
        /// What is wrong with it.
        mismatch: WidthMismatch,
    },
    /// A weight is not there.
    #[error("no weight `{path}`")]
    Missing {
        /// Its module path.
        path: String,
    },
    /// No preset of that name exists.
    #[error("unknown preset `{name}`; known: {}", known.join(", "))]
    UnknownPreset {
        /// What was asked for.
        name: String,
        /// All preset names.
        known: Vec<&'static str>,
    },
}
