//! What can go wrong.

/// Errors of compiling an encoder and of running a model.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Two parts of the encoder do not fit.
    #[error(transparent)]
    Encoder(#[from] encoder_spec::Error),
    /// The model directory cannot be read.
    #[error(transparent)]
    Files(#[from] model_dir::Error),
    /// A weight does not hold as many values as its shape says.
    #[error("{what}: expected {expected} values, found {found}")]
    Count {
        /// The weight's path.
        what: String,
        /// The product of its shape.
        expected: usize,
        /// What it holds.
        found: usize,
    },
    /// A weight is not finite.
    #[error("{what}: holds a value that is not finite")]
    NotFinite {
        /// The weight's path, or what it belongs to.
        what: String,
    },
    /// A batch is not made as [`crate::Batch`] says.
    #[error("batch: {0}")]
    Batch(String),
    /// A token or segment id lies outside of its table.
    #[error("token {position}: {kind} id {id}, but the table has {rows} rows")]
    Id {
        /// Position in the batch.
        position: usize,
        /// `token` or `segment`.
        kind: &'static str,
        /// The id.
        id: u32,
        /// Rows of the table.
        rows: usize,
    },
    /// A sequence is longer than the model takes.
    #[error("sequence {sequence} has {length} tokens; the model takes 1 to {limit}")]
    Length {
        /// The sequence, counted from 0.
        sequence: usize,
        /// Its tokens.
        length: usize,
        /// Tokens of the longest sequence.
        limit: usize,
    },
    /// No head of this number.
    #[error("head {head} does not exist: the model has {heads}")]
    Head {
        /// The head asked for.
        head: usize,
        /// Number of heads.
        heads: usize,
    },
}
