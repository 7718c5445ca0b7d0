//! What can be chosen, and what a run has done.

use serde::{Deserialize, Serialize};

use crate::Result;

/// Most copies and candidates that are accepted.
const MOST: usize = 10_000;

/// Where candidates come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum WordSource {
    /// As TinyBERT: the masked-language-model head for words of one piece, embeddings for the others; embeddings for all where
    /// there is no head.
    #[default]
    Auto,
    /// The head for all words; a word of several pieces is masked as one.
    Mlm,
    /// Embeddings for all words.
    Embeddings,
}

/// What a copy of a pair is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Pairs {
    /// One text changes and the other stays, as in TinyBERT: `copies` for each of the two.
    #[default]
    Each,
    /// Both change in every copy.
    Both,
}

/// How training sets are augmented. The defaults are TinyBERT's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentSettings {
    /// Draws per text; `N_a` of the paper. Default 20.
    pub copies: usize,
    /// Candidates per word; `K` of the paper. Default 15.
    pub candidates: usize,
    /// Chance of each word to be replaced; `p_t` of the paper. Default 0.4.
    pub probability: f64,
    /// Where candidates come from.
    pub source: WordSource,
    /// What a copy of a pair is.
    pub pairs: Pairs,
    /// The head sees the sentence as it was as second segment, as in TinyBERT's released script. The paper does not say so. Default
    /// no.
    pub sees_original: bool,
    /// Seed of the draws.
    pub seed: u64,
    /// Only the first rows of the training set.
    pub limit: Option<usize>,
}

impl Default for AugmentSettings {
    fn default() -> Self {
        Self {
            copies: 20,
            candidates: 15,
            probability: 0.4,
            source: WordSource::default(),
            pairs: Pairs::default(),
            sees_original: false,
            seed: 42,
            limit: None,
        }
    }
}

impl AugmentSettings {
    /// Refuses values that make no sense.
    ///
    /// # Errors
    /// [`train::Error::Setting`] with the field.
    pub fn check(&self) -> Result<()> {
        let setting = |field, message| Err(train::Error::Setting { field, message }.into());
        for (field, value) in [("copies", self.copies), ("candidates", self.candidates)] {
            if !(1..=MOST).contains(&value) {
                return setting(field, format!("is {value}; from 1 to {MOST} are allowed"));
            }
        }
        if !(0.0..=1.0).contains(&self.probability) {
            return setting("probability", format!("is {}; allowed are numbers from 0 to 1", self.probability));
        }
        if self.limit == Some(0) {
            return setting("limit", "is 0; to use all rows, leave it out".into());
        }
        Ok(())
    }
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AugmentProgress {
    /// Rows of the training set that are done.
    pub rows: u64,
    /// Rows that there are.
    pub total: u64,
    /// Rows added so far.
    pub added: u64,
}

/// What a run has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Augmented {
    /// Rows of the training set.
    pub rows: u64,
    /// Rows added.
    pub added: u64,
    /// Copies dropped because the same row was there already.
    pub dropped: u64,
    /// Words that could be replaced: of letters, no stop words, with candidates.
    pub words: u64,
    /// Of them those whose candidates are the masked-language-model head's.
    pub words_by_mlm: u64,
}
