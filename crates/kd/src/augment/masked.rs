//! Words that a masked-language model expects.

use std::ops::Range;

use cpu_kernels::elementwise::norm::layer_norm_in_place;
use cpu_kernels::matmul::{Epilogue, MatMut, MatRef, Precision, matmul};
use cpu_runtime::{Outputs, Ragged, Session};
use encoder_spec::{Floats, MappedTensor, Normalization, Transform};
use tokenizer::{Sentence, WordPieces};

use super::same_word;
use super::scores::WordScores;
use super::word_model::{WordHead, output_row};
use crate::{Error, Result};

/// Tokens of one run of the encoder.
const TOKENS: usize = 1 << 13;
/// `[CLS]` and one `[SEP]` for each segment.
const FRAME: usize = 3;

/// Replaces one word after the other by `[MASK]` and asks the model what stands there.
pub(super) struct MaskedWords {
    encoder: cpu_runtime::Model,
    session: Session,
    transform: Transform<MappedTensor>,
    scores: WordScores,
    mask: u32,
    /// Whether the sentence as it was follows as second segment.
    sees_original: bool,
}

/// One word of a sentence to be masked.
pub(super) struct MaskTarget<'a> {
    pub sentence: &'a Sentence,
    pub pieces: Range<usize>,
    pub text: &'a str,
}

impl MaskedWords {
    /// Prepares a masked-language model for suggesting words.
    ///
    /// # Errors
    /// The tokenizer has no `[MASK]`, or the model has too few positions.
    ///
    /// # Shapes
    /// `table [vocab, embed]`
    pub fn new(
        encoder: cpu_runtime::Model,
        head: WordHead,
        table: &Floats,
        pieces: &WordPieces,
        threads: usize,
        sees_original: bool,
    ) -> Result<Self> {
        let Some(mask) = pieces.mask_id() else {
            return Err(Error::Mismatch("the tokenizer has no `[MASK]`; take --source embeddings".into()));
        };
        if encoder.max_length() <= FRAME + 1 {
            let message =
                format!("the model has {} positions; at least {} are needed", encoder.max_length(), FRAME + 2);
            return Err(Error::Mismatch(message));
        }
        let width = head.transform.dense.outputs();
        let ids: Vec<u32> = pieces.ids().collect();
        let rows: Vec<f32> = ids.iter().flat_map(|id| output_row(&head, table, *id)).collect();
        let bias = head.head.bias.as_ref().map(|bias| ids.iter().map(|id| bias.data[*id as usize]).collect());
        let scores = WordScores::new(ids, &rows, bias, width);
        let transform = head.transform;
        Ok(Self { encoder, session: Session::new(threads), transform, scores, mask, sees_original })
    }

    /// The `count` likeliest words at each place, independent of the other places.
    ///
    /// # Errors
    /// The model answers with values that are not finite.
    pub fn candidates(
        &mut self,
        places: &[MaskTarget<'_>],
        count: usize,
        pieces: &WordPieces,
    ) -> Result<Vec<Vec<u32>>> {
        let mut states = Vec::with_capacity(places.len() * self.encoder.hidden());
        let (mut batch, mut masks, mut ids) = (Ragged::new(), Vec::new(), Vec::new());
        for place in places {
            let (at, first) = self.sequence(place, pieces, &mut ids);
            if batch.as_batch().tokens() + ids.len() > TOKENS && !masks.is_empty() {
                self.run(&mut batch, &mut masks, &mut states)?;
            }
            masks.push(batch.as_batch().tokens() + at);
            batch.push(&ids, (0..ids.len()).map(|i| u32::from(i >= first)));
        }
        if !masks.is_empty() {
            self.run(&mut batch, &mut masks, &mut states)?;
        }
        let features = self.features(&states);
        Ok(self.scores.best(&features, count, |query, id| same_word(pieces, id, places[query].text)))
    }

    /// `[CLS] masked [SEP]` and perhaps `original [SEP]`, as much around the word as the model has positions for; where `[MASK]`
    /// stands and where the second segment begins.
    fn sequence(&self, place: &MaskTarget<'_>, pieces: &WordPieces, ids: &mut Vec<u32>) -> (usize, usize) {
        let (cls, sep) = (pieces.encoder().cls_id(), pieces.encoder().sep_id());
        let (all, word) = (&place.sentence.ids, &place.pieces);
        let room = self.encoder.max_length() - FRAME;
        let room = if self.sees_original { room / 2 } else { room };
        // The word counts as one token; what is before and after it is cut to the room.
        let window = window(all.len() - word.len() + 1, word.start, room);
        let after = word.end + (window.end - word.start - 1);
        ids.clear();
        ids.push(cls);
        ids.extend_from_slice(&all[window.start..word.start]);
        let at = ids.len();
        ids.push(self.mask);
        ids.extend_from_slice(&all[word.end..after]);
        ids.push(sep);
        let first = ids.len();
        if self.sees_original {
            ids.extend_from_slice(&all[self::window(all.len(), word.start, room)]);
            ids.push(sep);
        }
        (at, first)
    }

    /// Encodes the batch and keeps the hidden states at the masks.
    fn run(&mut self, batch: &mut Ragged, masks: &mut Vec<usize>, states: &mut Vec<f32>) -> Result<()> {
        let width = self.encoder.hidden();
        let output =
            self.session.run(&self.encoder, &batch.as_batch(), Outputs::default()).map_err(bert_core::Error::from)?;
        for at in masks.drain(..) {
            let state = &output.hidden[at * width..][..width];
            if !state.iter().all(|v| v.is_finite()) {
                let message = "the model's hidden states are not finite; its weights have diverged";
                return Err(Error::Mismatch(message.into()));
            }
            states.extend_from_slice(state);
        }
        batch.clear();
        Ok(())
    }

    /// `Norm(act(W h + b))` of every row.
    fn features(&self, states: &[f32]) -> Vec<f32> {
        let Transform { dense, activation, norm } = &self.transform;
        let (hidden, width) = (self.encoder.hidden(), dense.outputs());
        let rows = states.len() / hidden;
        let mut out = vec![0.0; rows * width];
        if rows == 0 {
            return out;
        }
        let weight = MatRef::row_major(&dense.weight.data, width, hidden).t();
        let epilogue = Epilogue {
            bias: dense.bias.as_ref().map(|bias| &bias.data[..]),
            activation: Some((*activation).into()),
            ..Epilogue::default()
        };
        let (states, target) = (MatRef::row_major(states, rows, hidden), MatMut::row_major(&mut out, rows, width));
        matmul(states, weight, target, Precision::F32, &epilogue);
        let zeros = vec![0.0; width];
        let (scale, shift) = (&norm.weight.data[..], norm.bias.as_ref().map_or(&zeros[..], |bias| &bias.data));
        match norm.kind {
            Normalization::LayerNorm { eps } => layer_norm_in_place(&mut out, scale, shift, eps as f32, None),
            Normalization::NoNorm => out.chunks_exact_mut(width).for_each(|row| {
                row.iter_mut().zip(scale.iter().zip(shift.iter())).for_each(|(v, (a, b))| *v = *v * a + b);
            }),
        }
        out
    }
}

/// At most `room` of `length` tokens around the one at `at`.
fn window(length: usize, at: usize, room: usize) -> Range<usize> {
    let start = at.saturating_sub(room / 2).min(length.saturating_sub(room));
    start..length.min(start + room)
}

#[cfg(test)]
mod tests {
    use super::window;

    #[test]
    fn a_window_is_as_large_as_it_can_be_and_holds_its_place() {
        for length in 1..20 {
            for room in 1..25 {
                for at in 0..length {
                    let window = window(length, at, room);
                    assert!(window.contains(&at) && window.end <= length, "{length} {room} {at}: {window:?}");
                    assert_eq!(window.len(), room.min(length));
                }
            }
        }
    }
}
