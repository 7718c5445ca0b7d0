//! The texts that decide which word pieces are kept.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use corpus::piece_counts;
use glue_squad::features::Features;
use glue_squad::squad::Dataset;
use glue_squad::task::{Split, Task};
use predict::examples::Examples;
use rayon::prelude::*;
use tokenizer::TextEncoder;

use crate::corpus::Corpus;
use crate::{Error, Result};

/// Texts by which a vocabulary is trimmed.
#[derive(Clone, Copy, Debug)]
pub enum Texts<'t> {
    /// The training examples of tasks.
    Tasks {
        /// The tasks.
        tasks: &'t [Task],
        /// Their folder, or the training file of SQuAD.
        data: &'t Path,
        /// So many examples of each at most.
        most: Option<usize>,
    },
    /// Text files.
    Corpus(&'t Corpus),
}

impl Texts<'_> {
    /// How often each piece stands in them, by its id.
    ///
    /// # Errors
    /// As [`Trim::of`](super::Trim::of), before anything is trimmed.
    pub(super) fn counts(self, encoder: &TextEncoder, positions: usize, stop: &AtomicBool) -> Result<Vec<u64>> {
        let is_stopped = || stop.load(Ordering::SeqCst);
        match self {
            Self::Tasks { tasks, data, most } => {
                let mut counts = vec![0_u64; encoder.vocab_size()];
                for task in tasks {
                    if is_stopped() {
                        return Err(Error::Interrupted);
                    }
                    let ids = pieces(encoder, task, (data, Split::Train), positions, most)?;
                    ids.iter().flatten().for_each(|id| counts[*id as usize] += 1);
                }
                Ok(counts)
            }
            Self::Corpus(Corpus::Text(files)) => piece_counts(encoder, files, is_stopped)?.ok_or(Error::Interrupted),
            Self::Corpus(Corpus::Packed { dir, .. }) => Err(packed(dir)),
        }
    }
}

/// Packed shards do not go with a vocabulary that is trimmed.
pub(crate) fn packed(dir: &Path) -> Error {
    Error::Mismatch(format!(
        "{} holds packed shards, whose ids belong to the whole vocabulary; give the text files, or trim the teacher first with \
         `efficientbert trim` and pack the text again with --tokenizer of the trimmed one",
        dir.display()
    ))
}

/// The word pieces of examples, those of both texts where each is read alone.
pub(super) fn ids(features: &[Features]) -> Vec<Vec<u32>> {
    let both = |one: &Features| [&one.ids[..], one.second.as_deref().unwrap_or_default()].concat();
    features.iter().map(both).collect()
}

/// The word pieces of each example of a split as a model of so many positions reads it; of SQuAD those of the whole questions and
/// paragraphs, which are read in parts.
pub(super) fn pieces(
    encoder: &TextEncoder,
    task: &Task,
    (data, split): (&Path, Split),
    positions: usize,
    most: Option<usize>,
) -> Result<Vec<Vec<u32>>> {
    let Some(version) = task.squad() else {
        let examples = Examples::read(task, (data, split), encoder, positions, most)?;
        return Ok(ids(&examples.features));
    };
    let name = if split == Split::Train { "train" } else { "dev" };
    let file = version.find(data, name)?;
    let Dataset { paragraphs, questions, .. } = Dataset::read(&file)?;
    let texts = questions.iter().map(|q| &q.question).chain(paragraphs.iter().map(|p| &p.context));
    let encode = |text: &String| Ok(encoder.encode_plain(text)?);
    texts.collect::<Vec<_>>().into_par_iter().map(encode).collect()
}
