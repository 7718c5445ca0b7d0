//! Everything that can stop a run.

use std::path::{Path, PathBuf};

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What is wrong with one input of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which input, what is wrong, and what to do.
    pub message: String,
    /// Whether the path or its use is wrong, rather than what the file holds.
    pub usage: bool,
    /// Whether nothing is there at all.
    pub missing: bool,
}

impl Problem {
    /// Nothing is at `path`, which `what` names.
    pub fn missing(what: &str, path: &Path) -> Self {
        let message = format!("{what} {}: no such file or folder", path.display());
        Self { message, usage: true, missing: true }
    }

    /// What `error` says of an input; several where it lists them.
    pub fn of(error: Error) -> Vec<Self> {
        match error {
            Error::Inputs(problems) => problems,
            Error::Mismatch(message) => vec![Self { message, usage: true, missing: false }],
            other => vec![Self { message: told(&other), usage: false, missing: false }],
        }
    }
}

/// An error with those of its causes that it does not name itself.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text += &format!(": {cause_text}");
        }
        source = cause.source();
    }
    text
}

fn listed(problems: &[Problem]) -> String {
    /// More lines tell a person nothing more.
    const MOST: usize = 20;
    if let [one] = problems {
        return one.message.clone();
    }
    let mut text = format!("{} inputs cannot be used:", problems.len());
    for problem in problems.iter().take(MOST) {
        text += &format!("\n  {}", problem.message);
    }
    if problems.len() > MOST {
        text += &format!("\n  and {} more", problems.len() - MOST);
    }
    text
}

/// Errors of recipes and runs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The recipe is not usable.
    #[error("{origin}: {message}")]
    Recipe {
        /// Recipe name or file.
        origin: String,
        /// Key or line, what is wrong, what is allowed.
        message: String,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// Teacher, student and data do not fit each other.
    #[error("{0}")]
    Mismatch(String),
    /// Inputs that cannot be used: all that were found, not the first alone.
    #[error("{}", listed(.0))]
    Inputs(Vec<Problem>),
    /// A file of the run folder does not hold what it should.
    #[error("{}: {message}", path.display())]
    RunFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A latency table that cannot be used.
    #[error("latency table {}: {message}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        message: String,
    },
    /// A latency limit that nothing of the search space meets, or no candidate once it was measured.
    #[error("{0}")]
    TooSlow(String),
    /// A model in integers loses too much.
    #[error(
        "int8 scores {:.2}, which is {:.2} points less than {:.2}; at most {allowed} are allowed; {told}",
        after * 100.0, (before - after) * 100.0, before * 100.0
    )]
    Int8Loses {
        /// Score in `f32`.
        before: f64,
        /// Score in integers.
        after: f64,
        /// Points that may be lost.
        allowed: f64,
        /// The costliest parts, with the root of the mean squared change of the outputs by each, in words.
        told: String,
    },
    /// ONNX files.
    #[error(transparent)]
    Onnx(#[from] onnx::Error),
    /// The host asked to stop; everything done is on disk.
    #[error("interrupted; `--resume` continues from here")]
    Interrupted,
    /// Training failed.
    #[error("{phase}: {source}")]
    Training {
        /// Phase of the run.
        phase: String,
        /// The cause.
        source: train::Error,
    },
    /// Search.
    #[error(transparent)]
    Search(#[from] nas::Error),
    /// Teachers that cannot teach.
    #[error(transparent)]
    Teacher(#[from] crate::teachers::TeacherError),
    /// Expressions.
    #[error(transparent)]
    Space(#[from] mlp_space::Error),
    /// Models and weights.
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
    /// Packed text.
    #[error(transparent)]
    Shards(#[from] corpus::Error),
    /// Batches and sets.
    #[error(transparent)]
    Train(#[from] train::Error),
    /// Objectives and teachers.
    #[error(transparent)]
    Distillation(#[from] kd::Error),
    /// Files of runs and checkpoints.
    #[error(transparent)]
    Storage(#[from] run_store::Error),
}

impl Error {
    /// What could not be done to `path`; takes the operating system's answer.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// Whether the run was stopped on request rather than by a fault.
    pub fn is_interruption(&self) -> bool {
        matches!(
            self,
            Self::Interrupted
                | Self::Train(train::Error::Interrupted { .. } | train::Error::Predict(predict::Error::Stopped))
        ) || matches!(self, Self::Training { source: train::Error::Interrupted { .. }, .. })
            || matches!(self, Self::Search(nas::Error::Interrupted { .. }))
    }
}

impl From<predict::Error> for Error {
    fn from(error: predict::Error) -> Self {
        Self::Train(error.into())
    }
}

/// The text of a file; `None` where there is no such file.
pub(crate) fn text_of(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { action: "read", path: path.to_owned(), source }),
    }
}
