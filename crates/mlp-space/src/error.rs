//! The crate's one error type.

use crate::valid::Invalid;

/// Everything that can go wrong with an expression, an architecture or a student shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is not an expression.
    #[error("expression, column {column}: expected {expected}, found {found}")]
    Parse {
        /// Column of the offending character, counted in characters from 1.
        column: usize,
        /// What would have been accepted there.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// The text is longer than any expression of the space.
    #[error("expression of {length} bytes: at most {limit} are read")]
    TooLong {
        /// Length of the text in bytes.
        length: usize,
        /// The limit, [`crate::expr::MAX_LENGTH`].
        limit: usize,
    },
    /// The tree is nested deeper than the library handles.
    #[error("expression is nested deeper than {limit} levels; flatten it")]
    TooDeep {
        /// The limit, [`crate::expr::MAX_DEPTH`].
        limit: usize,
    },
    /// A token list does not describe one well-typed tree.
    #[error("token {position}: {reason}")]
    Tokens {
        /// Index of the offending token.
        position: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The text is not a linear id such as `2_3`.
    #[error(
        "`{text}` is not a linear id: write STACKS_RATIO, both 1 to 4, for example 2_3 for two stacks at ratio 1/3"
    )]
    LinearId {
        /// The text as given.
        text: String,
    },
    /// The expression breaks a rule of the search space.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Something is wrong with one layer of an architecture.
    #[error("layer {layer}: {source}")]
    Layer {
        /// The layer, counted from 1.
        layer: usize,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// An architecture without layers.
    #[error("an architecture needs at least one layer, got none")]
    NoLayers,
    /// An architecture with more layers than the library handles.
    #[error("{found} layers: at most {limit} are supported")]
    TooManyLayers {
        /// Number of layers given.
        found: usize,
        /// The limit, [`crate::arch::MAX_LAYERS`].
        limit: usize,
    },
    /// A list that must have one entry per layer has another length.
    #[error("{what}: expected one entry per layer ({expected}), got {found}")]
    LayerCount {
        /// The list.
        what: &'static str,
        /// Number of layers.
        expected: usize,
        /// Number of entries.
        found: usize,
    },
    /// The text looks like a JSON array of expressions but is not one.
    #[error("architecture is not a JSON array of strings: {reason}")]
    Json {
        /// What the JSON reader says, with line and column.
        reason: String,
    },
    /// No published architecture has this name.
    #[error("no architecture is called `{name}`; known: {known}")]
    UnknownPreset {
        /// The name as given.
        name: String,
        /// The known names.
        known: String,
    },
    /// A size of a student shape is impossible.
    #[error("student shape, field `{field}` = {value}: {reason}")]
    Shape {
        /// Name of the field.
        field: &'static str,
        /// Its value.
        value: usize,
        /// Why it cannot be.
        reason: String,
    },
    /// No valid expression was found in the space.
    #[error(
        "no valid expression in {draws} draws at heights {min} to {max}: widen the heights or change hidden and base width"
    )]
    EmptySpace {
        /// Number of draws made.
        draws: usize,
        /// Smallest allowed height.
        min: usize,
        /// Largest allowed height.
        max: usize,
    },
    /// An operand of the evaluator has the wrong size.
    #[error("{what}: expected {expected} values, got {found}")]
    Operand {
        /// The operand.
        what: &'static str,
        /// Expected length.
        expected: usize,
        /// Length given.
        found: usize,
    },
    /// The text is not a fingerprint.
    #[error("`{text}` is not a fingerprint: expected 32 hexadecimal digits")]
    Fingerprint {
        /// The text as given, cut to 64 characters.
        text: String,
    },
}
