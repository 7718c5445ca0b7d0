//! What can go wrong.

use std::io;
use std::path::PathBuf;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a model was not exported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model directory cannot be read.
    #[error(transparent)]
    Model(#[from] model_dir::Error),
    /// The encoder is not valid.
    #[error(transparent)]
    Encoder(#[from] encoder_spec::Error),
    /// The encoder does not run here.
    #[error(transparent)]
    Runtime(#[from] cpu_runtime::Error),
    /// A file cannot be read.
    #[error("{path}: cannot be read: {source}", path = path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The folder cannot be written.
    #[error(transparent)]
    Write(#[from] run_store::Error),
    /// There is no such output.
    #[error("the model has no {0}; its outputs can be: {1}")]
    NoOutput(String, String),
    /// An engine does not load the file, or does not run it.
    #[error("{file}: the exported file does not run: {message}")]
    Run {
        /// Which file.
        file: String,
        /// What the engine says.
        message: String,
    },
    /// The file computes something else than the model.
    #[error(
        "{file}: output `{output}` differs from the model's by {difference:.2e}; at most {allowed:.0e} is allowed. Nothing \
         was written; this is a fault of the export, please report it"
    )]
    Differs {
        /// Which file.
        file: String,
        /// Name of the output.
        output: String,
        /// Largest difference, relative to the largest value where that is above 1.
        difference: f64,
        /// The largest that is allowed.
        allowed: f64,
    },
    /// Values that 16 bits don't hold.
    #[error("in 16 bits some values of this model are infinite: they are above 65504; export it in f32 or int8")]
    Half,
    /// Two outputs of one name.
    #[error("two outputs would be called `{0}`: two heads are of one task; name the outputs that are wanted")]
    OneName(String),
    /// There is no text to calibrate with.
    #[error("there is no text to calibrate with")]
    NoTexts,
    /// A layer that is to be kept in floating point isn't there.
    #[error("the model has no product `{name}`; its products: {known}")]
    NoProduct {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
}
