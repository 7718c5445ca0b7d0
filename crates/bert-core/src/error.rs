//! Everything that can go wrong in this crate.

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of configurations and of weight files.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No encoder can be built from the configuration.
    #[error(transparent)]
    Spec(#[from] encoder_spec::Error),
    /// A file cannot be read or written, or does not hold what the model needs.
    #[error(transparent)]
    Files(#[from] model_dir::Error),
}
