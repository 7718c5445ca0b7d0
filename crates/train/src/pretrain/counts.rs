//! How often each id of the vocabulary stands in a text.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::Result;
use crate::text::TextSource;

/// How often each of `vocab` ids stands in one epoch of `text`; `None` once `stop` is set.
///
/// # Errors
/// Text that cannot be read.
///
/// # Panics
/// An id outside of the vocabulary.
pub fn id_counts(text: &dyn TextSource, vocab: usize, stop: &AtomicBool) -> Result<Option<Vec<u64>>> {
    let mut counts = vec![0; vocab];
    for step in 0..text.batches_per_epoch() {
        if stop.load(Ordering::SeqCst) {
            return Ok(None);
        }
        let batch = text.batch(step)?;
        // Ids come from the vocabulary.
        let real = batch.ids.iter().zip(&batch.mask).filter(|(_, mask)| **mask != 0);
        real.for_each(|(id, _)| counts[*id as usize] += 1);
    }
    Ok(Some(counts))
}
