//! How often each id of the vocabulary stands in a text.

use crate::Result;
use crate::text::TextSource;

/// How often each of `vocab` ids stands in one epoch of `text`.
///
/// # Errors
/// Text that cannot be read.
///
/// # Panics
/// An id outside of the vocabulary.
pub fn id_counts(text: &dyn TextSource, vocab: usize) -> Result<Vec<u64>> {
    let mut counts = vec![0; vocab];
    for step in 0..text.batches_per_epoch() {
        let batch = text.batch(step)?;
        // Ids come from the vocabulary.
        let real = batch.ids.iter().zip(&batch.mask).filter(|(_, mask)| **mask != 0);
        real.for_each(|(id, _)| counts[*id as usize] += 1);
    }
    Ok(counts)
}
