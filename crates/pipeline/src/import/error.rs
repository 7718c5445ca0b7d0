//! What is not imported, and the ways out.

use std::path::PathBuf;

/// What a person can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Mend the file.
    Mend,
    /// Import the encoder alone.
    EncoderOnly,
    /// Name the task that the head was trained on.
    TrainedTask,
    /// The same, or mend the names of its classes.
    TrainedTaskOrClasses,
    /// Import a model whose class has this ending, or the encoder alone.
    ClassOf(&'static str),
}

/// Errors of an import.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file holds a head, and nothing says of which task.
    #[error("the file holds a {} whose task is not known", if *span { "span head (`qa_outputs.weight`)" } else { "task head (`classifier.weight`)" })]
    TaskUnknown {
        /// Whether it marks spans.
        span: bool,
    },
    /// A task is named, and the heads have theirs already.
    #[error("the configuration already names the heads and their tasks")]
    HeadsNamed,
    /// The head is none of the task that was named.
    #[error("{named}: {message}")]
    Task {
        /// The task, as [`Source::task_word`](super::Source::task_word) has it called.
        named: String,
        /// What the head is.
        message: String,
        /// What to do.
        remedy: Remedy,
    },
    /// What a file says of its head is not understood, or not computed here.
    #[error("{}: {message}", path.display())]
    Head {
        /// The file.
        path: PathBuf,
        /// What it says.
        message: String,
        /// What to do.
        remedy: Remedy,
    },
    /// A MobileBERT leaves open what is computed.
    #[error("{}: a MobileBERT must say its `{key}`", path.display())]
    MobileBertKey {
        /// The configuration.
        path: PathBuf,
        /// The key.
        key: &'static str,
    },
    /// Output weights of a masked-LM head that are not the word table, and are not in the file.
    #[error("{}: `tie_word_embeddings` is false, but the file holds no `cls.predictions.decoder.weight`", path.display())]
    UntiedWords {
        /// The configuration.
        path: PathBuf,
    },
    /// What `modules.json` names cannot be read, or computes something else than this program does.
    #[error(transparent)]
    Modules(model_dir::Error),
    /// A checkpoint's configuration cannot be read.
    #[error(transparent)]
    Config(model_dir::Error),
    /// The configuration of a checkpoint of the released code cannot be read.
    #[error("{message}")]
    ReferenceConfig {
        /// Path and reason.
        message: String,
    },
    /// A configuration of which no model can be built.
    #[error("{what}")]
    Unbuildable {
        /// Which one.
        what: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The weights cannot be read.
    #[error(transparent)]
    Weights(bert_core::Error),
    /// Tensors of a model of another family that cannot become a BERT's.
    #[error("{}: {reason}", path.display())]
    Foreign {
        /// The weights.
        path: PathBuf,
        /// What is wrong.
        reason: encoder_spec::ForeignError,
    },
    /// The weights are not those of the configuration.
    #[error(transparent)]
    Misfit(bert_core::Error),
    /// The tokenizer's files.
    #[error(transparent)]
    Tokenizer(model_dir::Error),
}
