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
    /// No preset of that name exists.
    #[error("unknown preset `{name}`; known: {}", known.join(", "))]
    UnknownPreset {
        /// What was asked for.
        name: String,
        /// All preset names.
        known: Vec<&'static str>,
    },
}
