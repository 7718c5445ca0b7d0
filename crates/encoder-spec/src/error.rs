//! What can be wrong with a description.

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of configurations and descriptions.
#[derive(Debug, thiserror::Error)]
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
    /// No preset of that name exists.
    #[error("unknown preset `{name}`; known: {}", known.join(", "))]
    UnknownPreset {
        /// What was asked for.
        name: String,
        /// All preset names.
        known: Vec<&'static str>,
    },
}

impl Error {
    /// A bottleneck or stacked feed-forwards in the configuration of a searched student.
    pub fn searched_bottleneck() -> Self {
        let message = "searched layers have no bottleneck, and say themselves how many feed-forwards they stack".into();
        Self::Config { field: "intra_bottleneck_size", message }
    }
}
