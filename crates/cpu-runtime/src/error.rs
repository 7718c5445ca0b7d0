//! What can go wrong.

/// Errors of compiling a network and of running a model.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// Two parts of a network do not fit.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// The part, e.g. `layer 3, query`.
        what: String,
        /// What its neighbours ask for.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A number of the network is not usable.
    #[error("{what}: {reason}")]
    Value {
        /// The part.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The expression of a searched feed-forward does not run at the network's widths.
    #[error("layer {layer}: `{expression}`: {source}")]
    Expression {
        /// The layer, counted from 1.
        layer: usize,
        /// The expression.
        expression: String,
        /// What is wrong with it.
        source: Box<mlp_space::Invalid>,
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
    /// A sequence is longer than the position table.
    #[error("sequence {sequence} has {length} tokens; the model takes 1 to {limit}")]
    Length {
        /// The sequence, counted from 0.
        sequence: usize,
        /// Its tokens.
        length: usize,
        /// Rows of the position table.
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
