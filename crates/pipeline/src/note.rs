//! What a person should know of something that went well.

/// One thing to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Good to know.
    Message(String),
    /// To be seen in any case.
    Warning(String),
}

impl Note {
    /// A [`Note::Message`].
    pub fn message(text: impl Into<String>) -> Self {
        Self::Message(text.into())
    }

    /// A [`Note::Warning`].
    pub fn warning(text: impl Into<String>) -> Self {
        Self::Warning(text.into())
    }
}
