//! Masked-language modeling: which tokens are hidden and what stands in their place.

use rand::RngCore;
use run_store::rng::{below, keyed, shuffle, unit};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::vocabulary::Vocabulary;

/// Longer spans than this are a mistake.
const MOST_SPAN: usize = 1000;

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
    /// Runs of neighboring words are hidden together. Default: none, as BERT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spans: Option<SpanSettings>,
}

/// Spans of neighboring words, as SpanBERT hides them (Joshi et al., 2020).
///
/// A span has `l` words with a chance proportional to `p (1 - p)^(l - 1)`, for `l` from 1 to `max`. Words are hidden whole where the
/// tokenizer marks them; else a span has `l` tokens. Spans are drawn until the share of tokens is reached; one that comes upon the end of
/// a segment, upon a hidden word or upon a word that the share has no room for ends before it. `random` and `keep` are drawn once for a
/// whole span.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpanSettings {
    /// Parameter of the geometric distribution, above 0 to 1. Default 0.2, which gives 3.8 words on average if `max` is 10.
    pub p: f64,
    /// Most words of a span. Default 10.
    pub max: usize,
}

impl Default for SpanSettings {
    fn default() -> Self {
        Self { p: 0.2, max: 10 }
    }
}

impl SpanSettings {
    /// A length by inversion: the smallest `l` with `1 - (1 - p)^l >= u (1 - (1 - p)^max)`.
    fn length(self, rng: &mut impl RngCore) -> usize {
        let (mut left, most) = (1.0, 1.0 - (1.0 - self.p).powi(i32::try_from(self.max).unwrap_or(i32::MAX)));
        let drawn = unit(rng) * most;
        for length in 1..self.max {
            left *= 1.0 - self.p;
            if 1.0 - left > drawn {
                return length;
            }
        }
        self.max
    }
}

impl Default for MaskSettings {
    fn default() -> Self {
        Self { probability: 0.15, random: 0.1, keep: 0.1, max_predictions: None, whole_words: false, spans: None }
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
        if let Some(SpanSettings { p, max }) = self.spans {
            if !(p > 0.0 && p <= 1.0) {
                return Err(Error::Settings(format!(
                    "masking: p of spans is {p}; a number above 0, 1 at most, is needed"
                )));
            }
            if !(1..=MOST_SPAN).contains(&max) {
                return Err(Error::Settings(format!("masking: max of spans is {max}; 1 to {MOST_SPAN} are possible")));
            }
        }
        Ok(())
    }
}

/// Positions that are hidden together: the first, and the one behind the last.
type Run = (u16, u16);

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
            let reason = "masking whole words needs a tokenizer that marks them: how they go on, as WordPiece does with `##`, or where \
                          they begin, as byte-level BPE does with `Ġ` and SentencePiece with `▁`";
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
        let runs = self.candidates(ids);
        if runs.is_empty() {
            return Vec::new();
        }
        // The reference rounds half to even, as Python does, and counts the special tokens.
        let share = (ids.len() as f64 * self.settings.probability).round_ties_even() as usize;
        let wanted = share.max(1).min(self.settings.max_predictions.unwrap_or(usize::MAX));
        let mut masked = match self.settings.spans {
            Some(spans) => self.mask_spans(ids, &runs, wanted, spans, rng),
            None => self.mask_runs(ids, runs, wanted, rng),
        };
        masked.sort_unstable_by_key(|m| m.position);
        masked
    }

    /// What is hidden whole or not at all, in its order: one token, or one word.
    fn candidates(&self, ids: &[u32]) -> Vec<Run> {
        let whole_words = self.settings.whole_words || self.settings.spans.is_some();
        let mut runs: Vec<Run> = Vec::with_capacity(ids.len());
        let most = ids.len().min(usize::from(u16::MAX));
        for (at, id) in ids[..most].iter().enumerate().map(|(at, id)| (at as u16, *id)) {
            if self.vocabulary.is_frame(id) {
                continue;
            }
            match runs.last_mut() {
                Some((_, end)) if whole_words && *end == at && self.vocabulary.continues(id) => *end += 1,
                _ => runs.push((at, at + 1)),
            }
        }
        runs
    }

    fn mask_runs(&self, ids: &mut [u32], mut runs: Vec<Run>, wanted: usize, rng: &mut impl RngCore) -> Vec<Masked> {
        shuffle(rng, &mut runs);
        let mut masked = Vec::with_capacity(wanted.min(ids.len()));
        for (from, to) in runs {
            if masked.len() >= wanted {
                break;
            }
            // A word that is too long for what is left makes room for a shorter one.
            if masked.len() + usize::from(to - from) > wanted {
                continue;
            }
            for position in from..to {
                let drawn = unit(rng);
                masked.push(self.hide(ids, position, drawn, rng));
            }
        }
        masked
    }

    fn mask_spans(
        &self,
        ids: &mut [u32],
        runs: &[Run],
        wanted: usize,
        spans: SpanSettings,
        rng: &mut impl RngCore,
    ) -> Vec<Masked> {
        let mut starts: Vec<usize> = (0..runs.len()).collect();
        shuffle(rng, &mut starts);
        let mut hidden = vec![false; runs.len()];
        let mut masked = Vec::with_capacity(wanted.min(ids.len()));
        for start in starts {
            if masked.len() >= wanted {
                break;
            }
            if hidden[start] {
                continue;
            }
            let (length, drawn, mut end) = (spans.length(rng), unit(rng), runs[start].0);
            for at in start..runs.len().min(start + length) {
                let (from, to) = runs[at];
                // `end` is behind the span: a gap is a special token, the end of a segment.
                if from != end || hidden[at] || masked.len() + usize::from(to - from) > wanted {
                    break;
                }
                for position in from..to {
                    masked.push(self.hide(ids, position, drawn, rng));
                }
                (hidden[at], end) = (true, to);
            }
        }
        masked
    }

    /// Hides one token; `drawn`, from 0 to 1, decides what stands in its place.
    fn hide(&self, ids: &mut [u32], position: u16, drawn: f64, rng: &mut impl RngCore) -> Masked {
        let slot = &mut ids[usize::from(position)];
        let masked = Masked { position, id: *slot };
        if drawn < self.settings.random {
            *slot = below(rng, self.vocabulary.info().vocab_size) as u32;
        } else if drawn >= self.settings.random + self.settings.keep {
            *slot = self.mask;
        }
        masked
    }
}
