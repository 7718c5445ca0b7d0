//! Packed shards as batches of text, made ahead of the training.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use corpus::{Batch, Loader, LoaderSettings, Prefetch, Prefetched, Shards, WindowPlan};
use glue_squad::batch::EncodedBatch;
use train::data::BatchSettings;
use train::text::TextSource;

use crate::Result;

/// The batches of packed shards by step, of similar lengths each. While a training asks for one step after another, the next batches are
/// made on another thread; which batch a step has does not depend on that.
#[derive(Debug)]
pub struct PackedText {
    loader: Arc<Loader>,
    ahead: Mutex<Option<Ahead>>,
}

/// Batches from `next` on.
#[derive(Debug)]
struct Ahead {
    next: u64,
    /// The batch before `next`: a step that is taken in parts asks for it again.
    last: Option<EncodedBatch>,
    batches: Prefetched<corpus::Result<Batch>>,
}

impl PackedText {
    /// Opens the packed corpus in a folder; `max_sequences` takes the first ones only.
    ///
    /// # Errors
    /// A damaged manifest, shards that are missing or of another size, no sequences, or a batch size of 0.
    pub fn open(dir: &Path, settings: BatchSettings, max_sequences: Option<usize>) -> Result<Self> {
        let shards = Shards::open(dir)?;
        let sequences = max_sequences.map_or(u64::MAX, |most| most as u64).min(shards.len());
        let plan =
            WindowPlan::new(sequences, settings.batch_size, settings.seed)?.with_window(settings.length_window)?;
        let loader = Loader::new(shards, plan, None, &LoaderSettings::default())?;
        Ok(Self { loader: Arc::new(loader), ahead: Mutex::default() })
    }
}

impl TextSource for PackedText {
    fn batches_per_epoch(&self) -> u64 {
        self.loader.batches_per_epoch()
    }

    fn batch(&self, step: u64) -> train::Result<EncodedBatch> {
        let failed = |e: corpus::Error| train::Error::Other(Box::new(e));
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Ahead { next, last: Some(last), .. }) = ahead.as_ref()
            && *next == step + 1
        {
            return Ok(last.clone());
        }
        if ahead.as_ref().is_none_or(|ahead| ahead.next != step) {
            // The thread of the old one ends first, with the batch that it is making.
            *ahead = None;
            let batches = self.loader.batches(step, None, Prefetch::default()).map_err(failed)?;
            *ahead = Some(Ahead { next: step, last: None, batches });
        }
        let made = ahead.as_mut().and_then(|ahead| {
            ahead.next += 1;
            ahead.batches.next()
        });
        // Without an end there is always a next one.
        let made = made.unwrap_or_else(|| self.loader.batch(step)).map_err(failed)?;
        let indices = made.numbers.iter().map(|number| *number as usize).collect();
        let batch = EncodedBatch::unlabeled(made.tokens, indices);
        if let Some(ahead) = ahead.as_mut() {
            ahead.last = Some(batch.clone());
        }
        Ok(batch)
    }
}
