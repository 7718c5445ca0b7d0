//! What a person should know of something that went well.

/// One thing to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Good to know.
    Message(String),
    /// To be seen in any case.
    Warning(String),
}
