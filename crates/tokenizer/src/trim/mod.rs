//! A tokenizer with a part of its pieces: those that the texts of a task need.

mod keep;
mod renumber;

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::load::{Origin, TextEncoder};
use crate::plain::PlainBert;
use keep::Vocabulary;

/// A tokenizer with a part of the pieces of another.
#[derive(Debug, Clone)]
pub struct Trimmed {
    /// The tokenizer.
    pub encoder: TextEncoder,
    /// The id that each of its pieces had, by the id that it has now.
    pub rows: Vec<u32>,
}

impl TextEncoder {
    /// The tokenizer with the pieces that stand at least `least` times in texts, of which `counts` has the number of each by its id;
    /// pieces behind the end of `counts` do not stand there. Ids are numbered anew, in the old order.
    ///
    /// All special and added tokens stay, and what other texts need: of WordPiece and Unigram the single characters of all pieces that
    /// stand in the texts, and those of ASCII; of byte-level BPE all bytes, and all pieces of which a kept one is made. A text whose
    /// pieces are all kept, and none unknown, has the same pieces as before.
    ///
    /// # Errors
    /// A tokenizer of another kind, or [`Error::NothingToTrim`].
    pub fn trimmed(&self, counts: &[u64], least: u64) -> Result<Trimmed> {
        let fail = |reason: &str| self.fault(&format!("its vocabulary cannot be trimmed: {reason}"));
        let mut json: Value = serde_json::from_slice(&self.to_json()?).map_err(|e| fail(&e.to_string()))?;
        let vocabulary = Vocabulary::of(&json).map_err(|reason| fail(&reason))?;
        let mut kept = vocabulary.kept(counts, least);
        let named = [self.unk_id(), self.mask_id(), Some(self.cls), Some(self.sep), Some(self.pad_id())];
        kept.extend(named.into_iter().flatten());
        kept.extend(renumber::mentioned(&json));
        let rows = in_order(&vocabulary, &kept);
        let ids = self.library()?.get_vocab(true);
        if rows.len() >= ids.len() {
            return Err(Error::NothingToTrim { path: self.source.clone(), pieces: ids.len() });
        }
        let new: HashMap<u32, u32> = (0..).zip(&rows).map(|(new, old)| (*old, new)).collect();
        vocabulary.write(&mut json["model"], &new);
        renumber::mentions(&mut json, &new);
        let bytes = serde_json::to_vec(&json).map_err(|e| fail(&e.to_string()))?;
        let stated = self.origin.stated.renumbered(&new);
        let origin = Origin { stated, json: None, notes: self.origin.notes.clone() };
        let encoder = Self::read(PlainBert::read(&bytes), &bytes, &self.source, origin)?;
        let made = encoder.library()?.get_vocab(true);
        let differs = |(piece, old): (&String, &u32)| new.get(old) != made.get(piece);
        if let Some((piece, _)) = ids.iter().find(|(piece, old)| differs((piece, old))) {
            let piece = run_store::shown::excerpt(piece);
            return Err(fail(&format!("the tokenizer library gives `{piece}` another id than its place")));
        }
        Ok(Trimmed { encoder, rows })
    }
}

/// Kept ids in the order of their new ones: the model's own pieces, behind them the tokens that were added to it.
fn in_order(vocabulary: &Vocabulary, kept: &BTreeSet<u32>) -> Vec<u32> {
    let (mut own, added): (Vec<u32>, Vec<u32>) = kept.iter().partition(|id| vocabulary.has(**id));
    own.extend(added);
    own
}
