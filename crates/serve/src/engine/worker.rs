//! A thread that runs the model on batches.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use cpu_runtime::{Outputs, Ragged, Session};

use super::job::{Item, Values};
use super::{Engine, slice};
use crate::event::Event;
use crate::failure::Failure;

/// Computes batches until the queue is closed and empty.
pub(crate) fn work(engine: &Engine, threads: usize) {
    slice::ask_for_long_slices();
    let mut session = Session::new(threads);
    let mut ragged = Ragged::new();
    while let Some(batch) = engine.queue.next() {
        let begun = Instant::now();
        let tokens = batch.iter().map(|item| item.sequence.ids.len()).sum();
        batch.iter().for_each(|item| item.job.batched(begun));
        let outcome = catch_unwind(AssertUnwindSafe(|| compute(&mut session, &mut ragged, &batch)));
        let failure = match outcome {
            Ok(Ok(())) => None,
            // What was checked before leaves a batch no reason to be refused.
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => {
                session = Session::new(threads);
                Some("the model failed on a batch".to_owned())
            }
        };
        if let Some(message) = failure {
            (engine.events)(&Event::Failed { message: &message });
            batch.iter().for_each(|item| item.job.fail(Failure::internal(message.as_str())));
        }
        engine.metrics.batch(batch.len(), tokens, begun.elapsed());
    }
}

/// Runs the model and hands each sequence's values to its job.
fn compute(session: &mut Session, ragged: &mut Ragged, batch: &[Item]) -> Result<(), cpu_runtime::Error> {
    let Some(first) = batch.first() else { return Ok(()) };
    let model = &first.job.model.model;
    ragged.clear();
    let mut heads = Vec::new();
    for Item { job, sequence, .. } in batch {
        match &sequence.mask {
            None => ragged.push(&sequence.ids, sequence.segments.iter().copied().map(u32::from)),
            Some(mask) => {
                let segments: Vec<u32> = sequence.segments.iter().copied().map(u32::from).collect();
                ragged.push_row(&sequence.ids, &segments, mask);
            }
        }
        heads.extend(job.want.heads.iter().filter(|head| !heads.contains(*head)).copied().collect::<Vec<_>>());
    }
    let ragged = ragged.as_batch();
    let output = session.run(model, &ragged, Outputs { pooled: false, heads: &heads })?;
    let computed: Vec<&[f32]> = output.heads().collect();
    let kinds: Vec<_> = model.heads().collect();
    for (place, item) in batch.iter().enumerate() {
        let tokens = ragged.offsets[place]..ragged.offsets[place + 1];
        let values_of = |head: &usize| {
            let (kind, outputs) = kinds[*head];
            let rows = if kind.is_on_tokens() { tokens.clone() } else { place..place + 1 };
            let at = heads.iter().position(|known| known == head).unwrap_or_default();
            computed[at][rows.start * outputs..rows.end * outputs].to_vec()
        };
        let width = model.hidden();
        let hidden = match item.job.want.hidden {
            true => output.hidden[tokens.start * width..tokens.end * width].to_vec(),
            false => Vec::new(),
        };
        item.job.put(item.index, Values { heads: item.job.want.heads.iter().map(values_of).collect(), hidden });
    }
    Ok(())
}
