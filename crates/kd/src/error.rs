//! Everything that can go wrong in distillation.

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of objectives, teachers, their cache and augmentation. A job's own are [`train::Error`]s.
#[derive(Debug, thiserror::Error)]
pub enum Error {
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
    /// The layers of two models do not go together as they should.
    #[error("{0}")]
    Depth(String),
    /// Teacher and student do not fit each other or the data.
    #[error("{0}")]
    Mismatch(String),
    /// A student cannot take its weights from its teacher.
    #[error("the student cannot begin as its teacher: {0}")]
    FromTeacher(String),
    /// The folder of a teacher cache cannot be used.
    #[error("cannot use {} for a teacher's answers: {source}", path.display())]
    CacheFolder {
        /// The folder.
        path: std::path::PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// Settings, data and trainings.
    #[error(transparent)]
    Train(#[from] train::Error),
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
    /// A text that cannot be encoded.
    #[error(transparent)]
    Tokenizer(#[from] tokenizer::Error),
    /// Durable files.
    #[error(transparent)]
    Durable(#[from] run_store::Error),
}

impl From<predict::Error> for Error {
    fn from(error: predict::Error) -> Self {
        Self::Train(error.into())
    }
}
