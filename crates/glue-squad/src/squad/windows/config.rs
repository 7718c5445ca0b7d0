//! How contexts are cut into windows.

use serde::{Deserialize, Serialize};
use tokenizer::PairFrame;

use crate::error::{Error, Result};

/// What becomes of a training window that does not hold the whole answer of its answerable question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerlessWindows {
    /// It is kept with the span at `[CLS]`: BERT's `run_squad` and EfficientBERT's code, for v1.1 and for v2.0.
    #[default]
    Cls,
    /// It is left out. Unanswerable questions of v2.0 keep their windows.
    Drop,
}

/// Sizes of the sliding windows, in tokens. A window is `[CLS] question [SEP] context tokens [SEP]`, or as the tokenizer builds pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowConfig {
    /// Tokens of a whole window.
    pub max_len: usize,
    /// By how many context tokens a window starts after the one before it; never more than a window holds, so no token is lost.
    pub stride: usize,
    /// Longer questions lose their end.
    pub max_query: usize,
    /// Windows without the answer, in training.
    #[serde(default)]
    pub answerless: AnswerlessWindows,
}

impl WindowConfig {
    /// BERT's and MobileBERT's setting: 384 tokens, stride 128, questions of 64.
    pub const fn bert() -> Self {
        Self { max_len: 384, stride: 128, max_query: 64, answerless: AnswerlessWindows::Cls }
    }

    /// EfficientBERT's setting: 128 tokens, stride 32, questions of 64 with their `[CLS]` and `[SEP]`.
    pub const fn efficientbert() -> Self {
        Self { max_len: 128, stride: 32, max_query: 62, answerless: AnswerlessWindows::Cls }
    }

    /// Checks that the lengths leave room for a context in BERT's frame.
    ///
    /// # Errors
    /// As [`WindowConfig::check_in`].
    pub fn check(&self) -> Result<()> {
        self.check_in(PairFrame::Bert)
    }

    /// Checks that the lengths leave room for a context in a frame.
    ///
    /// # Errors
    /// A length that leaves no room for context beside the longest question, a stride of 0, or questions of 0 tokens.
    pub fn check_in(&self, frame: PairFrame) -> Result<()> {
        if self.stride == 0 {
            return Err(Error::Invalid("a document stride of 0 never ends; use 1 or more, 128 is usual".to_owned()));
        }
        if self.max_query == 0 {
            return Err(Error::Invalid("a maximum query length of 0 leaves no question; 64 is usual".to_owned()));
        }
        match self.max_query.checked_add(frame.special() + 1) {
            Some(needed) if self.max_len >= needed => Ok(()),
            needed => {
                Err(tokenizer::Error::MaxLenTooSmall { given: self.max_len, needed: needed.unwrap_or(usize::MAX) }
                    .into())
            }
        }
    }
}

impl Default for WindowConfig {
    fn default() -> Self {
        Self::bert()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_leave_no_context_are_refused() {
        assert!(WindowConfig::bert().check().is_ok() && WindowConfig::efficientbert().check().is_ok());
        let refused = |max_len, stride, max_query| {
            WindowConfig { max_len, stride, max_query, ..WindowConfig::bert() }.check().unwrap_err().to_string()
        };
        assert!(refused(67, 1, 64).contains("maximum length 67 is too small: at least 68"));
        assert!(refused(384, 0, 64).contains("stride"));
        assert!(refused(384, 1, 0).contains("query"));
        assert!(refused(384, 1, usize::MAX).contains("too small"));
        let tight = WindowConfig { max_len: 68, stride: 1, ..WindowConfig::bert() };
        assert!(tight.check().is_ok());
        let message = tight.check_in(PairFrame::Roberta).unwrap_err().to_string();
        assert!(message.contains("maximum length 68 is too small: at least 69"), "{message}");
    }
}
