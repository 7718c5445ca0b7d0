//! Masked-language modeling: which tokens are hidden and what stands in their place.

use rand::RngCore;
use run_store::rng::{below, keyed, shuffle, unit};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::vocabulary::Vocabulary;

/// How many tokens are hidden, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaskSettings {
    /// Share of a sequence's tokens that are to be predicted. Default 0.15.
    pub probability: f64,
    /// Share of those that are replaced by a random token. Default 0.1.
    pub random: f64,
    /// Share of those that stay as they are; the rest becomes `[MASK]`. Default 0.1.
    pub keep: f64,
    /// The most predictions of one sequence. Default: no limit; BERT has 20 for 128 tokens, token dropping 76 for 512.
    pub max_predictions: Option<usize>,
    /// Words are hidden whole or not at all. Default: no, as BERT.
    pub whole_words: bool,
}

impl Default for MaskSettings {
    fn default() -> Self {
        Self { probability: 0.15, random: 0.1, keep: 0.1, max_predictions: None, whole_words: false }
    }
}

impl MaskSettings {
    /// Refuses shares that are none.
    ///
    /// # Errors
    /// A share outside of 0 to 1, or two that exceed 1 together, or no prediction allowed.
    pub fn check(&self) -> Result<()> {
        for (name, value) in [("probability", self.probability), ("random", self.random), ("keep", self.keep)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::Settings(format!("masking: {name} is {value}; a share is a number from 0 to 1")));
            }
        }
        if self.random + self.keep > 1.0 {
            let sum = self.random + self.keep;
            return Err(Error::Settings(format!("masking: random and keep are {sum} together; 1 is the most")));
        }
        if self.max_predictions == Some(0) {
            return Err(Error::Settings("masking: max_predictions is 0; leave it out for no limit".to_owned()));
        }
        Ok(())
    }
}

/// A position to be predicted and the token that stood there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Masked {
    /// Position in the sequence.
    pub position: u16,
    /// The id before masking.
    pub id: u32,
}

/// Hides tokens as `create_masked_lm_predictions` of google-research/bert: at least one, else the rounded share, drawn without
/// repetition; 80 of 100 become `[MASK]`, 10 a random token of the vocabulary, 10 stay, unless set otherwise.
#[derive(Debug, Clone)]
pub struct Masker {
    settings: MaskSettings,
    vocabulary: Vocabulary,
    mask: u32,
}

impl Masker {
    /// Checks that the vocabulary can do what the settings ask for.
    ///
    /// # Errors
    /// Settings out of range, no `[MASK]`, or whole words asked of a tokenizer that does not mark them.
    pub fn new(settings: MaskSettings, vocabulary: Vocabulary) -> Result<Self> {
        settings.check()?;
        let Some(mask) = vocabulary.info().mask else {
            let reason = "masking needs the token `[MASK]`, which this tokenizer does not have";
            return Err(Error::Settings(reason.to_owned()));
        };
        if settings.whole_words && !vocabulary.marks_words() {
            let reason =
                "masking whole words needs a tokenizer that marks how words go on, as WordPiece does with `##`";
            return Err(Error::Settings(reason.to_owned()));
        }
        Ok(Self { settings, vocabulary, mask })
    }

    /// How many tokens are hidden, and how.
    pub fn settings(&self) -> &MaskSettings {
        &self.settings
    }

    /// Dynamic masking: the draw of one sequence in one epoch, the same whoever asks and when.
    pub fn mask_dynamic(&self, ids: &mut [u32], seed: u64, epoch: u64, sequence: u64) -> Vec<Masked> {
        self.mask(ids, &mut keyed(seed, "text-shards/mask", &[epoch, sequence]))
    }

    /// Hides tokens of one sequence, which has its special tokens, and tells which, by position.
    pub fn mask(&self, ids: &mut [u32], rng: &mut impl RngCore) -> Vec<Masked> {
        // Candidates as runs: one token, or one word.
        let mut starts: Vec<(u16, u16)> = Vec::with_capacity(ids.len());
        let most = ids.len().min(usize::from(u16::MAX));
        for (at, id) in ids[..most].iter().enumerate().map(|(at, id)| (at as u16, *id)) {
            if self.vocabulary.is_frame(id) {
                continue;
            }
            match starts.last_mut() {
                Some((_, end)) if self.settings.whole_words && *end == at && self.vocabulary.continues(id) => *end += 1,
                _ => starts.push((at, at + 1)),
            }
        }
        if starts.is_empty() {
            return Vec::new();
        }
        // The reference rounds half to even, as Python does, and counts the special tokens.
        let share = (ids.len() as f64 * self.settings.probability).round_ties_even() as usize;
        let wanted = share.max(1).min(self.settings.max_predictions.unwrap_or(usize::MAX));
        shuffle(rng, &mut starts);
        let mut masked = Vec::with_capacity(wanted);
        for (from, to) in starts {
            if masked.len() >= wanted {
                break;
            }
            // A word that is too long for what is left makes room for a shorter one.
            if masked.len() + usize::from(to - from) > wanted {
                continue;
            }
            for position in from..to {
                let slot = &mut ids[usize::from(position)];
                masked.push(Masked { position, id: *slot });
                let drawn = unit(rng);
                if drawn < self.settings.random {
                    *slot = below(rng, self.vocabulary.info().vocab_size) as u32;
                } else if drawn >= self.settings.random + self.settings.keep {
                    *slot = self.mask;
                }
            }
        }
        masked.sort_unstable_by_key(|m| m.position);
        masked
    }
}
