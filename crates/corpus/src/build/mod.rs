//! From inputs to a folder of shards.

mod assembly;
mod found;
mod input_groups;
mod workers;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use tokenizer::TextEncoder;

use crate::error::{Error, Result};
use crate::input::Input;
use crate::pack::Packer;
use crate::settings::PackSettings;
use crate::shard::{MANIFEST, Manifest};
use crate::vocabulary::Vocabulary;

/// More threads than this would hold more than 1 GiB; the others are not started.
pub const MAX_THREADS: usize = 32;

/// How far a packing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Bytes read of the inputs, as they lie on the disk; inputs whose shards are all there count as read.
    pub bytes_read: u64,
    /// Bytes of all inputs.
    pub bytes_total: u64,
    /// Sequences made, by this run and by those before it.
    pub sequences: u64,
    /// Tokens made, by this run and by those before it.
    pub tokens: u64,
    /// Shards that were there and are right.
    pub shards_reused: u64,
    /// Shards written by this run.
    pub shards_written: u64,
}

/// Packs `inputs` into the folder `out` and writes its manifest last.
///
/// The result depends on the bytes of the inputs, their order, the tokenizer and the settings, never on the number of threads. Memory is
/// bounded: some 20 MB per thread, whatever the size of the inputs. A run that ends early leaves whole shards, each of which proves
/// itself by its checksum; the next run reads the text again, but tokenizes only what is missing. Shards of inputs that are no longer
/// listed are removed once the new manifest is in place.
///
/// `progress` is called from the threads that work; [`ControlFlow::Break`] ends the run with [`Error::Stopped`].
///
/// # Errors
/// Settings out of range, inputs that cannot be read or hold no text, a folder that was packed with another tokenizer or other
/// settings or is being packed by another process, a full disk.
pub fn build(
    inputs: &[Input],
    encoder: &TextEncoder,
    settings: &PackSettings,
    out: &Path,
    threads: usize,
    progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
) -> Result<Manifest> {
    settings.check()?;
    let Some(first) = inputs.first() else {
        return Err(Error::Settings("a corpus needs at least one input".to_owned()));
    };
    let threads = threads.clamp(1, MAX_THREADS);
    let vocabulary = Vocabulary::of(encoder)?;
    let packer = Packer::new(encoder, &vocabulary, settings)?;
    let _lock = found::prepare(out)?;
    found::refuse_others(out, settings, vocabulary.info())?;

    let stop = AtomicBool::new(false);
    let infos = input_groups::digests(inputs, threads, &stop)?;
    let parts = input_groups::parts(inputs, &infos, settings, vocabulary.info());
    let shards =
        workers::run(&workers::Job { parts: &parts, packer: &packer, settings, out, threads, progress, stop })?;
    let manifest = Manifest::new(vocabulary.info().clone(), settings.clone(), infos, shards);
    if manifest.sequences == 0 {
        return Err(Error::NoText { inputs: inputs.len(), first: first.path.clone() });
    }
    run_store::atomic::write_json(out.join(MANIFEST), &manifest)?;
    found::remove_others(out, &manifest, &parts)?;
    Ok(manifest)
}
