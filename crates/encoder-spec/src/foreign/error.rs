//! Why a model of another family does not become a BERT.

/// Errors of a conversion.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ForeignError {
    /// A key of the configuration is missing, has a value of another type, or asks for what a BERT does not compute.
    #[error("config field `{key}`: {message}")]
    Key {
        /// The key, as the family calls it.
        key: String,
        /// What is wrong, with the value.
        message: String,
    },
    /// A head that a BERT would compute otherwise. The encoder alone can be converted.
    #[error("{message}")]
    Head {
        /// What the head computes.
        message: String,
    },
    /// A tensor has another shape than the configuration asks for.
    #[error("tensor `{name}` has shape {found:?}, the configuration asks for {expected:?}")]
    Shape {
        /// Its name in the file.
        name: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape that the configuration asks for.
        expected: Vec<usize>,
    },
    /// Two tensors of the file would have one name.
    #[error("tensors `{one}` and `{other}` both stand for `{name}`")]
    SameName {
        /// A name in the file.
        one: String,
        /// Another one.
        other: String,
        /// BERT's name of both.
        name: String,
    },
}
