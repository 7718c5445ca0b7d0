//! Everything that can go wrong between a text and its answer.

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of loading a model that answers, and of its answers.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tokenizer of a model directory cannot be used, or a text has no room in the model.
    #[error(transparent)]
    Tokenizer(#[from] tokenizer::Error),
    /// The model's table does not hold every id that the tokenizer gives.
    #[error("the tokenizer has {pieces} word pieces, the model's `vocab_size` is {rows}; they do not belong together")]
    Vocabulary {
        /// Word pieces of the tokenizer.
        pieces: usize,
        /// Rows of the word table.
        rows: usize,
    },
    /// The model has no second segment for the second text of a pair.
    #[error("`type_vocab_size` is {rows}; the pairs of texts of {pairs} need 2")]
    Segments {
        /// Rows of the segment table.
        rows: usize,
        /// Where the pairs come from: a task, a file, a place in one.
        pairs: String,
    },
    /// A number format that is for processors, on another device.
    #[error("burn modules compute in f32 only, not in {0:?}")]
    Precision(cpu_runtime::Precision),
    /// The model has no head.
    #[error("has no task head to answer with")]
    NoHead,
    /// The model has no head of this task.
    #[error("no such head; its heads: {known}")]
    UnknownHead {
        /// Tasks of the heads that there are.
        known: String,
    },
    /// Several heads are to answer, and one of them marks spans or tags words.
    #[error("the head `{head}` marks parts of a text and cannot answer together with others")]
    SpanAmongOthers {
        /// Its task.
        head: String,
        /// Tasks of all heads.
        known: String,
    },
    /// A head of spans that no version of SQuAD has.
    #[error("the head `{task}` marks spans, and is of no version of SQuAD ({reason})")]
    NotSquad {
        /// Task of the head.
        task: String,
        /// Why.
        reason: String,
    },
    /// Windows of questions and texts that the model has no positions for.
    #[error("a window of {max_len} tokens is asked for; the model takes {positions}")]
    WindowTooLong {
        /// Tokens of a window.
        max_len: usize,
        /// Tokens that the model takes.
        positions: usize,
    },
    /// The weights have diverged.
    #[error("the head `{task}` gives no finite answer")]
    NotFinite {
        /// Position of the text.
        text: usize,
        /// Task of the head.
        task: String,
    },
    /// Tensors that are no batch of token ids.
    #[error("{0}")]
    TokenIds(String),
    /// Positions that do not count from 0.
    #[error("`input.position_ids` is {found} at row {row}, column {column}")]
    Positions {
        /// What stands there.
        found: i32,
        /// Row of the batch.
        row: usize,
        /// Column of the batch.
        column: usize,
    },
    /// Model, as burn modules.
    #[cfg(feature = "burn")]
    #[error(transparent)]
    Directory(#[from] model_dir::Error),
    /// Burn modules.
    #[cfg(feature = "burn")]
    #[error(transparent)]
    Modules(#[from] bert_core::Error),
    /// A model answered with NaN or infinity, which no metric would show.
    #[error("{task}: the model's answer to example {example} is not finite; its weights have diverged")]
    NotFiniteAnswer {
        /// The task.
        task: String,
        /// First such example in batch order, counted from 1.
        example: usize,
    },
    /// Model and data do not fit each other.
    #[error("{0}")]
    Mismatch(String),
    /// The caller's `watch` ended an evaluation.
    #[error("the evaluation was stopped")]
    Stopped,
    /// Task data.
    #[error(transparent)]
    Data(#[from] glue_squad::Error),
    /// The compiled model does not take a batch.
    #[error(transparent)]
    Runtime(#[from] cpu_runtime::Error),
}

impl Error {
    /// Whether the weights have diverged; everything else has a cause outside of the model.
    pub fn is_divergence(&self) -> bool {
        matches!(self, Self::NotFiniteAnswer { .. } | Self::NotFinite { .. })
    }
}
