//! Which tokens the middle layers keep in pre-training: token dropping (Hou et al. 2022).
//!
//! Importance is a number for each id of the vocabulary: the running mean of the masked-language-modeling loss where that id is the one to be
//! found, which costs nothing. What is easy to predict is dropped.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bert_core::weights::{HostTensor, Tensors};
use bert_core::{Kept, length};
use glue_squad::batch::EncodedBatch;
use run_store::rng::{keyed, unit};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Importance before anything was learned.
const INITIAL: f32 = 10.0;
/// How much of the importance stays in a step.
const BETA: f32 = 0.995;
/// The importance with which ids begin that are always kept, and its negative for padding, in the released code and in its compatible form.
const ALWAYS: f32 = 1e4;
/// The name of the importance in a checkpoint.
const IMPORTANCE: &str = "importance";

/// What decides which tokens are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum DropBy {
    /// The running loss of each id: what is easy to find is dropped.
    #[default]
    Loss,
    /// How often each id stands in the corpus: what is frequent is dropped.
    Frequency,
    /// A draw for each token, the control.
    Random,
}

/// How many tokens are kept, and which.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DropSettings {
    /// Share of a text's tokens that the middle layers keep. Default 0.5.
    pub keep: f64,
    /// What decides which. Default: the running loss.
    pub by: DropBy,
    /// As the released code has it, what looks like accidents included: the share is one of the longest length, padding competes for places
    /// and its importance rises with every text that has fewer predictions than allowed, ids that are always kept lose that when they are
    /// predicted, and of several predictions of an id in a step the last counts. Default: no.
    pub compatible: bool,
}

impl Default for DropSettings {
    fn default() -> Self {
        Self { keep: 0.5, by: DropBy::default(), compatible: false }
    }
}

impl DropSettings {
    /// Checks the settings.
    ///
    /// # Errors
    /// A share that is none, or nothing to be dropped.
    pub fn check(&self) -> Result<()> {
        if !(self.keep > 0.0 && self.keep < 1.0) {
            let message = format!("{} is no share that is kept: a number above 0 and below 1", self.keep);
            return Err(Error::Setting { field: "keep", message });
        }
        if self.compatible && self.by != DropBy::Loss {
            let message = "goes with dropping by loss, which the released code does".to_owned();
            return Err(Error::Setting { field: "compatible", message });
        }
        Ok(())
    }
}

/// Ids that are no words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecialIds {
    /// Never dropped: unknown, first, last and hidden tokens.
    pub always_kept: Vec<u32>,
    /// Padding.
    pub pad: u32,
}

/// The importance of ids, and the draw of what is kept.
#[derive(Debug)]
pub struct TokenDropping {
    settings: DropSettings,
    special: SpecialIds,
    /// Tokens of the longest text.
    max_len: usize,
    seed: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    importance: Vec<f32>,
    /// Losses of the step that is computed, part by part: id and loss.
    pending: (u64, BTreeMap<u32, Vec<(u32, f32)>>),
}

impl TokenDropping {
    /// Dropping for a vocabulary of `vocab` ids; by frequency, `counts` says how often each stands in the corpus.
    ///
    /// # Errors
    /// Settings out of range, a special id outside of the vocabulary, or counts of another vocabulary.
    pub fn new(
        settings: DropSettings,
        (vocab, special): (usize, SpecialIds),
        max_len: usize,
        counts: Option<&[u64]>,
        seed: u64,
    ) -> Result<Self> {
        settings.check()?;
        let outside = special.always_kept.iter().chain([&special.pad]).find(|id| **id as usize >= vocab);
        if let Some(id) = outside {
            return Err(Error::Mismatch(format!("the special token {id} is none of {vocab} ids")));
        }
        let mut importance = match (settings.by, counts) {
            (DropBy::Frequency, Some(counts)) if counts.len() == vocab => counts.iter().map(|n| -(*n as f32)).collect(),
            (DropBy::Frequency, _) => {
                return Err(Error::Mismatch(format!("dropping by frequency wants a count for each of {vocab} ids")));
            }
            _ => vec![INITIAL; vocab],
        };
        if settings.compatible {
            special.always_kept.iter().for_each(|id| importance[*id as usize] = ALWAYS);
            importance[special.pad as usize] = -ALWAYS;
        }
        let state = Mutex::new(State { importance, pending: (0, BTreeMap::new()) });
        Ok(Self { settings, special, max_len, seed, state })
    }

    /// The importance of each id.
    pub fn importance(&self) -> Vec<f32> {
        self.lock().importance.clone()
    }

    /// Whether a row of padding is predicted where a text has fewer predictions than allowed, as in the released code.
    pub(super) fn predicts_padding(&self) -> bool {
        self.settings.compatible
    }

    /// The id of padding.
    pub(super) fn pad(&self) -> u32 {
        self.special.pad
    }

    /// Which tokens of a batch, with its words hidden already, are kept. `first_row` is the batch's first row among those of its step, `longest`
    /// the length of the longest text where it is not that of the training.
    ///
    /// # Panics
    /// An id outside of the vocabulary.
    pub fn select(&self, batch: &EncodedBatch, (step, first_row): (u64, usize), longest: Option<usize>) -> Kept {
        let longest = longest.map_or(self.max_len, |longest| longest.min(self.max_len));
        let state = self.lock();
        let (mut lengths, mut keep) = (Vec::with_capacity(batch.batch), Vec::new());
        for row in 0..batch.batch {
            let at = row * batch.seq;
            let n = length(&batch.mask[at..at + batch.seq]);
            let ids = &batch.ids[at..at + n];
            keep.extend(self.kept_of((ids, longest), &state.importance, (step, first_row + row)));
            lengths.push(n);
        }
        Kept::new(&lengths, &keep)
    }

    /// Whether each token of a text is kept, of which there are `longest` at most.
    fn kept_of(&self, (ids, longest): (&[i32], usize), importance: &[f32], (step, row): (u64, usize)) -> Vec<bool> {
        let n = ids.len();
        let fixed = |id: i32| self.special.always_kept.iter().any(|kept| *kept as i32 == id);
        let mut draw = keyed(self.seed, "token-dropping", &[step, row as u64]);
        let mut scores: Vec<f32> = ids
            .iter()
            .map(|id| match self.settings.by {
                // Ids come from the vocabulary.
                DropBy::Loss | DropBy::Frequency => importance[*id as usize],
                DropBy::Random => unit(&mut draw) as f32,
            })
            .collect();
        let wanted = if self.settings.compatible {
            // Padding has places of its own behind the text.
            let pad = importance[self.special.pad as usize];
            scores.extend((n..longest).map(|_| pad));
            share(self.settings.keep, longest)
        } else {
            let always = ids.iter().filter(|id| fixed(**id)).count();
            scores.iter_mut().zip(ids).filter(|(_, id)| fixed(**id)).for_each(|(score, _)| *score = f32::INFINITY);
            share(self.settings.keep, n).max(always)
        };
        // The first of equal ones, as `tf.math.top_k`.
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        let mut keep = vec![false; n];
        order.into_iter().take(wanted).filter(|at| *at < n).for_each(|at| keep[at] = true);
        if !keep.contains(&true) {
            // Padding took all places: attention needs one row of each text.
            keep[0] = true;
        }
        keep
    }

    /// Notes what a part of a step found out about predictions: ids and losses, in order.
    pub(super) fn note(&self, (step, part): (u64, u32), losses: Vec<(u32, f32)>) {
        if self.settings.by != DropBy::Loss {
            return;
        }
        let mut state = self.lock();
        if state.pending.0 != step {
            state.pending = (step, BTreeMap::new());
        }
        state.pending.1.insert(part, losses);
    }

    /// Updates the importance with what was noted of a step: `m = 0.995 m + 0.005 l`, with the mean loss `l` of all predictions of an id, or the
    /// last one's in the compatible form.
    pub(super) fn update(&self, step: u64) {
        let mut state = self.lock();
        let State { importance, pending } = &mut *state;
        if pending.0 != step {
            return;
        }
        let mut found: BTreeMap<u32, (f32, u32)> = BTreeMap::new();
        for (id, loss) in std::mem::take(&mut pending.1).into_values().flatten() {
            let (sum, count) = found.entry(id).or_default();
            (*sum, *count) = if self.settings.compatible { (loss, 1) } else { (*sum + loss, *count + 1) };
        }
        for (id, (sum, count)) in found {
            let value = &mut importance[id as usize];
            *value = BETA * *value + (1.0 - BETA) * (sum / count as f32);
        }
    }

    /// What a checkpoint holds.
    pub(super) fn memory(&self) -> Tensors {
        let data = self.importance();
        Tensors([(IMPORTANCE.to_owned(), HostTensor { shape: vec![data.len()], data })].into())
    }

    /// Takes up what [`TokenDropping::memory`] gave.
    pub(super) fn recall(&self, memory: &Tensors) -> Result<()> {
        let mut state = self.lock();
        match memory.0.get(IMPORTANCE) {
            Some(found) if found.data.len() == state.importance.len() => state.importance.clone_from(&found.data),
            _ => return Err(Error::Mismatch("the checkpoint has no importance of each id".to_owned())),
        }
        state.pending.1.clear();
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `n` times a share, rounded up.
fn share(keep: f64, n: usize) -> usize {
    (n as f64 * keep).ceil() as usize
}

#[cfg(test)]
mod tests {
    use glue_squad::batch::Labels;

    use super::*;

    fn special() -> SpecialIds {
        SpecialIds { always_kept: vec![1, 2, 3, 4], pad: 0 }
    }

    fn dropping(settings: DropSettings) -> TokenDropping {
        TokenDropping::new(settings, (10, special()), 8, Some(&[0, 0, 0, 0, 0, 5, 4, 3, 2, 1]), 7).unwrap()
    }

    fn batch(rows: &[&[i32]], seq: usize) -> EncodedBatch {
        let padded = |value: &dyn Fn(&[i32], usize) -> i32| -> Vec<i32> {
            rows.iter().flat_map(|row| (0..seq).map(|i| value(row, i))).collect()
        };
        EncodedBatch {
            batch: rows.len(),
            seq,
            ids: padded(&|row, i| row.get(i).copied().unwrap_or(0)),
            type_ids: vec![0; rows.len() * seq],
            mask: rows.iter().flat_map(|row| (0..seq).map(|i| u8::from(i < row.len()))).collect(),
            labels: Labels::None,
            indices: (0..rows.len()).collect(),
            second: None,
        }
    }

    fn kept(lengths: &[usize], keep: &[u8]) -> Kept {
        Kept::new(lengths, &keep.iter().map(|k| *k == 1).collect::<Vec<_>>())
    }

    #[test]
    fn special_tokens_stay_and_the_easiest_words_go_first() {
        let dropping = dropping(DropSettings::default());
        // Of equal importance the first stay.
        let text: &[i32] = &[1, 5, 6, 3, 7, 8, 9, 2];
        assert_eq!(dropping.select(&batch(&[text], 8), (0, 0), None), kept(&[8], &[1, 1, 0, 1, 0, 0, 0, 1]));
        dropping.note((0, 0), vec![(5, 0.0), (8, 20.0), (8, 40.0)]);
        dropping.update(0);
        let importance = dropping.importance();
        assert_eq!(
            (importance[5], importance[6], importance[8]),
            (10.0 * 0.995, 10.0, 0.995f32 * 10.0 + (1.0 - 0.995f32) * 30.0)
        );
        assert_eq!(dropping.select(&batch(&[text], 8), (1, 0), None), kept(&[8], &[1, 0, 0, 1, 0, 1, 0, 1]));
        // More special tokens than places: all stay.
        assert_eq!(dropping.select(&batch(&[&[1, 3, 3, 3, 2, 5]], 6), (1, 0), None), kept(&[6], &[1, 1, 1, 1, 1, 0]));
    }

    #[test]
    fn what_is_frequent_goes_first_and_draws_follow_from_step_and_row() {
        let by = |by| dropping(DropSettings { by, ..DropSettings::default() });
        let text: &[i32] = &[5, 6, 7, 8, 9];
        assert_eq!(by(DropBy::Frequency).select(&batch(&[text], 5), (0, 0), None), kept(&[5], &[0, 0, 1, 1, 1]));
        let random = by(DropBy::Random);
        let two = random.select(&batch(&[text, text], 5), (3, 4), None);
        assert_eq!(two.len(), 6);
        let second = random.select(&batch(&[text], 5), (3, 5), None);
        let again = by(DropBy::Random).select(&batch(&[text, text], 5), (3, 4), None);
        assert_eq!(two, again);
        assert_eq!(second.len(), 3);
        let draws: Vec<Kept> = (0..20).map(|step| random.select(&batch(&[text], 5), (step, 0), None)).collect();
        assert!(draws.iter().any(|kept| *kept != draws[0]));
    }

    #[test]
    fn the_compatible_form_lets_padding_take_places_and_the_last_prediction_count() {
        let dropping = dropping(DropSettings { compatible: true, ..DropSettings::default() });
        let text: &[i32] = &[1, 5, 6, 2];
        // 4 of 8 places: all of a text of 4.
        assert_eq!(dropping.select(&batch(&[text], 4), (0, 0), None).len(), 4);
        dropping.note((0, 1), vec![(5, 3.0)]);
        dropping.note((0, 0), vec![(5, 100.0), (0, 50.0)]);
        dropping.update(0);
        let importance = dropping.importance();
        assert_eq!(importance[5], 0.995f32 * 10.0 + (1.0 - 0.995f32) * 3.0);
        assert_eq!(importance[0], 0.995f32 * -1e4 + (1.0 - 0.995f32) * 50.0);
        // Padding that has become important drives words out.
        dropping
            .recall(&Tensors(
                [(
                    "importance".into(),
                    HostTensor { shape: vec![10], data: vec![11.0, 1e4, 1e4, 1e4, 1e4, 10.0, 10.0, 10.0, 10.0, 10.0] },
                )]
                .into(),
            ))
            .unwrap();
        assert_eq!(dropping.select(&batch(&[text], 4), (1, 0), None), kept(&[4], &[1, 0, 0, 1]));
    }

    #[test]
    fn a_step_that_is_repeated_counts_once_and_a_skipped_one_not_at_all() {
        let dropping = dropping(DropSettings::default());
        dropping.note((4, 0), vec![(5, 1.0)]);
        dropping.note((4, 0), vec![(5, 2.0)]);
        dropping.note((5, 0), vec![(6, 2.0)]);
        dropping.update(4);
        assert_eq!(dropping.importance()[5], 10.0);
        dropping.update(5);
        dropping.update(5);
        assert_eq!(dropping.importance()[6], 0.995f32 * 10.0 + (1.0 - 0.995f32) * 2.0);
        let memory = dropping.memory();
        let other = self::dropping(DropSettings::default());
        other.recall(&memory).unwrap();
        assert_eq!(other.importance(), dropping.importance());
        assert!(other.recall(&Tensors::default()).is_err());
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for keep in [0.0, 1.0, f64::NAN] {
            assert!(DropSettings { keep, ..DropSettings::default() }.check().is_err());
        }
        let random = DropSettings { by: DropBy::Random, compatible: true, ..DropSettings::default() };
        assert!(random.check().is_err());
        let frequency = DropSettings { by: DropBy::Frequency, ..DropSettings::default() };
        assert!(TokenDropping::new(frequency, (10, special()), 8, None, 7).is_err());
        assert!(TokenDropping::new(DropSettings::default(), (3, special()), 8, None, 7).is_err());
    }
}
