//! Everything that can go wrong in training.

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of distillation and training.
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
    /// A model answered with NaN or infinity, which no metric would show.
    #[error("{task}: the model's answer to example {example} is not finite; its weights have diverged")]
    NotFiniteAnswer {
        /// The task.
        task: &'static str,
        /// First such example in batch order, counted from 1.
        example: usize,
    },
    /// The objective is not usable.
    #[error("objective: {0}")]
    Objective(String),
    /// A comparison of layers is not usable, or does not fit the two models.
    #[error("objective: `match`, entry {entry}: {message}")]
    LayerMap {
        /// Entry, counted from 1.
        entry: usize,
        /// What is wrong and what is allowed.
        message: String,
    },
    /// A setting is outside what a training can run with.
    #[error("training setting `{field}`: {message}")]
    Setting {
        /// The setting.
        field: &'static str,
        /// What is wrong and what is allowed.
        message: String,
    },
    /// Teacher and student do not fit each other or the data.
    #[error("{0}")]
    Mismatch(String),
    /// The caller asked to stop; a checkpoint was written if a store was given.
    #[error("interrupted at step {step}")]
    Interrupted {
        /// Steps done.
        step: u64,
    },
    /// An evaluation was ended by whoever watched it.
    #[error("the evaluation was stopped")]
    Stopped,
    /// A checkpoint does not hold what this training needs.
    #[error("checkpoint of step {step}: {message}")]
    Checkpoint {
        /// The checkpoint's step.
        step: u64,
        /// What is missing or wrong.
        message: String,
    },
    /// Model.
    #[error(transparent)]
    Core(#[from] bert_core::Error),
    /// Description of an encoder.
    #[error(transparent)]
    Spec(#[from] encoder_spec::Error),
    /// Files of models.
    #[error(transparent)]
    Files(#[from] model_dir::Error),
    /// Task data.
    #[error(transparent)]
    Data(#[from] glue_squad::Error),
    /// What a [`crate::text::TextSource`] of another crate reports.
    #[error(transparent)]
    Text(Box<dyn std::error::Error + Send + Sync>),
    /// The folder of a teacher cache cannot be used.
    #[error("cannot use {} for a teacher's answers: {source}", path.display())]
    CacheFolder {
        /// The folder.
        path: std::path::PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// Durable files.
    #[error(transparent)]
    Durable(#[from] run_store::Error),
}

impl Error {
    /// Whether numbers grew out of bounds; everything else has a cause outside of the training.
    pub fn is_divergence(&self) -> bool {
        matches!(self, Self::NotFinite { .. } | Self::NotFiniteAnswer { .. })
    }
}
