//! An encoded example.

use crate::task::Label;

/// Token ids of one example before padding.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// Token ids with special tokens.
    pub ids: Vec<u32>,
    /// Segment of every token, 0 or 1; as long as `ids`.
    pub type_ids: Vec<u8>,
    /// The gold answer, where there is one.
    pub label: Option<Label>,
}

impl Features {
    /// The number of tokens.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

/// The lengths of examples, from which [`crate::batch`] plans.
pub fn lengths(features: &[Features]) -> Vec<usize> {
    features.iter().map(Features::len).collect()
}
