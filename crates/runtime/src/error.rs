//! Everything that can go wrong between a model directory and an answer.

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of loading a model and of its answers.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model cannot be loaded, or does not take what it is given.
    #[error(transparent)]
    Predict(#[from] predict::Error),
    /// The model's heads are of several tasks, and one has to be chosen.
    #[error("the model has several heads ({known}); name the task of one")]
    Ambiguous {
        /// Tasks of all heads.
        known: String,
    },
    /// Another kind of answer is asked for than the head gives.
    #[error("the head `{task}` is of the kind {kind}; {wanted} are asked for")]
    Kind {
        /// Task of the head.
        task: String,
        /// Its kind, as `config.json` has it.
        kind: &'static str,
        /// What is asked for.
        wanted: &'static str,
    },
    /// A head answers questions about texts, and there is no text.
    #[error(
        "text {text}: the head `{task}` answers questions; give the question and, as its pair, the text that answers it"
    )]
    NoContext {
        /// Position of the input, from 0.
        text: usize,
        /// Task of the head.
        task: String,
    },
    /// A head that looks at one text is given two.
    #[error("text {text}: the head `{task}` takes one text, not a pair")]
    Pair {
        /// Position of the input, from 0.
        text: usize,
        /// Task of the head.
        task: String,
    },
    /// A null threshold that no score can be compared with.
    #[error("the null threshold is not a number (NaN); 0 is usual, and infinity always answers")]
    Threshold,
    /// Arrays of token ids that the model does not take.
    #[error("{0}")]
    Arrays(String),
    /// A model directory that cannot be packed.
    #[error("{0}")]
    Pack(String),
    /// The system gives no threads.
    #[error("no threads can be started: {0}")]
    Threads(String),
}
