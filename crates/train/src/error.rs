//! Everything that can go wrong in a training.

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of trainings, their data and evaluations.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Devices that cannot be used together.
    #[error("devices: {0}")]
    Devices(String),
    /// A loss or gradient became NaN or infinite.
    #[error("step {step}: {what} is not finite; lower the learning rate or check the data")]
    NotFinite {
        /// Step at which it happened, counted from 0.
        step: u64,
        /// "loss", a loss term's name, or "gradient norm".
        what: String,
    },
    /// A setting is outside what a training can run with.
    #[error("training setting `{field}`: {message}")]
    Setting {
        /// The setting.
        field: &'static str,
        /// What is wrong and what is allowed.
        message: String,
    },
    /// Model, settings and data do not fit each other.
    #[error("{0}")]
    Mismatch(String),
    /// The caller asked to stop; a checkpoint was written if a store was given.
    #[error("interrupted at step {step}")]
    Interrupted {
        /// Steps done.
        step: u64,
    },
    /// A checkpoint does not hold what this training needs.
    #[error("checkpoint of step {step}: {message}")]
    Checkpoint {
        /// The checkpoint's step.
        step: u64,
        /// What is missing or wrong.
        message: String,
    },
    /// Evaluations.
    #[error(transparent)]
    Predict(#[from] predict::Error),
    /// Model.
    #[error(transparent)]
    Core(#[from] bert_core::Error),
    /// Files of models.
    #[error(transparent)]
    Files(#[from] model_dir::Error),
    /// Task data.
    #[error(transparent)]
    Data(#[from] glue_squad::Error),
    /// A text that cannot be encoded.
    #[error(transparent)]
    Tokenizer(#[from] tokenizer::Error),
    /// What a [`Job`](crate::engine::Job) or a [`TextSource`](crate::text::TextSource) of another crate reports.
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
    /// Durable files.
    #[error(transparent)]
    Durable(#[from] run_store::Error),
}

impl Error {
    /// Whether numbers grew out of bounds; everything else has a cause outside of the training.
    pub fn is_divergence(&self) -> bool {
        match self {
            Self::NotFinite { .. } => true,
            Self::Predict(error) => error.is_divergence(),
            _ => false,
        }
    }
}
