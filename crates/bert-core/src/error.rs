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
    /// A tensor cannot be cut out of the source model.
    #[error("tensor `{name}` of shape {expected:?} cannot be cut out of the source, which has {}", describe(found.as_deref()))]
    Inherit {
        /// Module path of the tensor.
        name: String,
        /// Shape that the target needs.
        expected: Vec<usize>,
        /// Shape in the source; `None` where the source lacks it.
        found: Option<Vec<usize>>,
    },
    /// The model cannot be compiled for inference.
    #[error(transparent)]
    Frozen(#[from] cpu_runtime::Error),
}

fn describe(found: Option<&[usize]>) -> String {
    found.map_or_else(|| "no such tensor".into(), |shape| format!("shape {shape:?}"))
}
