//! Padded batches out of shards.

use std::sync::Arc;

use tokenizer::{PaddedIds, Padding};

use super::plan::WindowPlan;
use super::prefetch::{Prefetch, Prefetched};
use crate::error::{Error, Result};
use crate::mask::{MaskSettings, Masker};
use crate::shard::{Next, Shards};
use crate::vocabulary::Vocabulary;

/// The label of a position that is not to be predicted, as PyTorch's cross-entropy has it.
pub const IGNORED: i32 = -100;

/// What the loader does with sequences.
#[derive(Debug, Clone, PartialEq)]
pub struct LoaderSettings {
    /// Widths of batches are rounded up to a multiple of this. Default 8.
    pub multiple: usize,
    /// Dynamic masking: other tokens are hidden in every epoch. Default none.
    pub masking: Option<MaskSettings>,
    /// Seed of dynamic masking. Default 42.
    pub seed: u64,
}

impl Default for LoaderSettings {
    fn default() -> Self {
        Self { multiple: 8, masking: None, seed: 42 }
    }
}

/// A batch of packed text.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Ids, segments, mask.
    pub tokens: PaddedIds,
    /// The numbers of the sequences.
    pub numbers: Vec<u64>,
    /// With masking: the id to be predicted at every position, else [`IGNORED`]; `[batch, seq]`.
    pub labels: Option<Vec<i32>>,
    /// What the second segment of each row is: the label of next-sentence prediction.
    pub next: Vec<Next>,
}

/// Batches by the number of the training step.
#[derive(Debug)]
pub struct Loader {
    shards: Shards,
    plan: WindowPlan,
    padding: Padding,
    masker: Option<Masker>,
    seed: u64,
}

impl Loader {
    /// A loader of these shards. A plan for fewer sequences than there are takes the first ones; dynamic masking needs the tokenizer's
    /// vocabulary.
    ///
    /// # Errors
    /// A plan for more sequences than there are, another tokenizer than the shards', dynamic masking of shards that are masked already.
    pub fn new(
        shards: Shards,
        plan: WindowPlan,
        vocabulary: Option<&Vocabulary>,
        settings: &LoaderSettings,
    ) -> Result<Self> {
        let refuse = |text: String| Err(Error::Settings(text));
        let manifest = shards.manifest();
        if plan.sequences() > shards.len() {
            return refuse(format!("a plan of {} sequences for shards with {}", plan.sequences(), shards.len()));
        }
        if let Some(vocabulary) = vocabulary
            && *vocabulary.info() != manifest.tokenizer
        {
            return refuse(
                "the shards were made with another tokenizer; pack the corpus again with this one".to_owned(),
            );
        }
        let masker = match (&settings.masking, vocabulary) {
            (None, _) => None,
            (Some(_), _) if manifest.settings.masking.is_some() => {
                return refuse(
                    "the shards are masked already; leave dynamic masking out, or pack without masking".to_owned(),
                );
            }
            (Some(_), None) => return refuse("dynamic masking needs the vocabulary of the tokenizer".to_owned()),
            (Some(masking), Some(vocabulary)) => Some(Masker::new(masking.clone(), vocabulary.clone())?),
        };
        let padding =
            Padding { pad_id: manifest.tokenizer.pad, multiple: settings.multiple, max_len: manifest.settings.max_len };
        Ok(Self { shards, plan, padding, masker, seed: settings.seed })
    }

    /// Batches in one epoch.
    pub fn batches_per_epoch(&self) -> u64 {
        self.plan.batches_per_epoch()
    }

    /// The batch of a step: always the same, whatever was loaded before.
    ///
    /// # Errors
    /// A damaged shard.
    pub fn batch(&self, step: u64) -> Result<Batch> {
        let (epoch, _) = self.plan.position(step);
        let numbers = self.plan.batch(step, |sequence| self.shards.length(sequence))?;
        let frame = self.shards.manifest().tokenizer.pairs;
        let (mut sequences, mut next, mut hidden) = (Vec::new(), Vec::new(), Vec::new());
        for number in &numbers {
            let mut sequence = self.shards.get(*number)?;
            if let Some(masker) = &self.masker {
                sequence.masked = masker.mask_dynamic(&mut sequence.ids, self.seed, epoch, *number);
            }
            hidden.push(std::mem::take(&mut sequence.masked));
            next.push(sequence.next);
            sequences.push((sequence.type_ids(frame), sequence.ids));
        }
        let rows: Vec<_> = sequences.iter().enumerate().map(|(row, (types, ids))| (row, &**ids, &**types)).collect();
        let tokens = self.padding.pad(&rows)?;
        let masked = self.masker.is_some() || self.shards.manifest().settings.masking.is_some();
        let labels = masked.then(|| {
            let mut labels = vec![IGNORED; tokens.ids.len()];
            for (row, hidden) in labels.chunks_mut(tokens.seq).zip(&hidden) {
                for masked in hidden {
                    row[usize::from(masked.position)] = masked.id as i32;
                }
            }
            labels
        });
        Ok(Batch { tokens, numbers, labels, next })
    }

    /// The batches from a step on, made ahead on threads; `end` is the first step that is not made.
    ///
    /// # Errors
    /// The system does not start a thread. What is wrong in a shard comes with the batch that needs it.
    pub fn batches(
        self: &Arc<Self>,
        first: u64,
        end: Option<u64>,
        ahead: Prefetch,
    ) -> Result<Prefetched<Result<Batch>>> {
        let loader = Arc::clone(self);
        ahead.start(first, end, move |step| loader.batch(step))
    }
}
