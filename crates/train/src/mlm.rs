//! Masked language modeling: words of a text are hidden, and a model learns to find them.

use std::ops::Range;

use bert_core::{EncodeOptions, TaskModel};
use burn::tensor::{Device, Int, Tensor};
use corpus::{MaskSettings, Masked, Masker, Vocabulary};
use glue_squad::batch::EncodedBatch;
use tokenizer::TextEncoder;

use crate::data::to_device;
use crate::engine::{Evaluation, Watch};
use crate::text::TextSource;
use crate::{Error, Result};
use predict::evaluate::passes;

/// The epoch whose words are hidden in held-out text: a number that no training reaches.
const HELD_OUT: u64 = u64::MAX;
/// The name of the share of hidden words that is found, as `TASK/METRIC` of tasks.
const ACCURACY: &str = "words/accuracy";
/// The name of the loss of held-out words.
pub const HELD_OUT_LOSS: &str = "words/loss";

/// Hides words of text batches, other ones in every epoch. What is hidden follows from seed, epoch and the number of the sequence, so
/// that a resumed training hides the same words.
#[derive(Debug)]
pub struct WordMask {
    masker: Masker,
    seed: u64,
}

impl WordMask {
    /// Hides words of texts that `encoder` made.
    ///
    /// # Errors
    /// Settings out of range, a tokenizer without `[MASK]`, or whole words of one that does not mark them.
    pub fn new(settings: &MaskSettings, encoder: &TextEncoder, seed: u64) -> Result<Self> {
        let failed = |e: corpus::Error| Error::Other(Box::new(e));
        let vocabulary = Vocabulary::of(encoder).map_err(failed)?;
        Ok(Self { masker: Masker::new(settings.clone(), vocabulary).map_err(failed)?, seed })
    }

    /// The most predictions of one text, where there is a limit.
    pub fn max_predictions(&self) -> Option<usize> {
        self.masker.settings().max_predictions
    }

    /// `batch` as epoch `epoch` has it.
    pub fn hide(&self, mut batch: EncodedBatch, epoch: u64) -> MaskedBatch {
        let seq = batch.seq;
        let hidden = |row: usize, ids: &mut [i32]| {
            let real = batch.mask[row * seq..][..seq].iter().take_while(|&&m| m != 0).count();
            // Ids come from a table of natural numbers and go back into one.
            let mut sequence: Vec<u32> = ids[..real].iter().map(|&id| id as u32).collect();
            let hidden = self.masker.mask_dynamic(&mut sequence, self.seed, epoch, batch.indices[row] as u64);
            ids.iter_mut().zip(sequence).for_each(|(to, id)| *to = id as i32);
            hidden
        };
        let mut ids = std::mem::take(&mut batch.ids);
        let words = ids.chunks_mut(seq.max(1)).enumerate().map(|(row, ids)| hidden(row, ids)).collect();
        batch.ids = ids;
        MaskedBatch { batch, words }
    }
}

/// A batch some of whose words are hidden.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskedBatch {
    /// What the models see.
    pub batch: EncodedBatch,
    /// What stood there, row by row.
    words: Vec<Vec<Masked>>,
}

impl MaskedBatch {
    /// A batch of which these words are hidden, row by row; they are in its ids no more.
    ///
    /// # Panics
    /// Another number of rows.
    pub fn new(batch: EncodedBatch, words: Vec<Vec<Masked>>) -> Self {
        assert_eq!(batch.batch, words.len(), "words of each row");
        Self { batch, words }
    }

    /// A batch of which nothing is hidden.
    pub fn none(batch: EncodedBatch) -> Self {
        let words = vec![Vec::new(); batch.batch];
        Self { batch, words }
    }

    /// Some of the rows, at the width of all.
    ///
    /// # Panics
    /// When there are not that many.
    pub fn rows(&self, rows: Range<usize>) -> Self {
        Self { batch: self.batch.rows(rows.clone()), words: self.words[rows].to_vec() }
    }

    /// Number of hidden words.
    pub fn count(&self) -> usize {
        self.words.iter().map(Vec::len).sum()
    }

    /// The hidden words of a row, by position.
    ///
    /// # Panics
    /// There is no such row.
    pub fn words(&self, row: usize) -> &[Masked] {
        &self.words[row]
    }

    /// Where they are (`row * seq + column`), and what stood there.
    pub fn places(&self) -> (Vec<i32>, Vec<i32>) {
        let row = |(row, words): (usize, &Vec<Masked>)| {
            let at = move |word: &Masked| (row * self.batch.seq + usize::from(word.position)) as i32;
            words.iter().map(move |word| (at(word), word.id as i32)).collect::<Vec<_>>()
        };
        self.words.iter().enumerate().flat_map(row).unzip()
    }

    /// [`MaskedBatch::places`] on a device, `[count]` each.
    pub fn to_device(&self, device: &Device) -> (Tensor<1, Int>, Tensor<1, Int>) {
        let (places, words) = self.places();
        (Tensor::from_data(places.as_slice(), device), Tensor::from_data(words.as_slice(), device))
    }
}

/// Text that is not trained on, always with the same words hidden.
#[derive(Debug)]
pub struct HeldOutWords {
    batches: Vec<MaskedBatch>,
}

impl HeldOutWords {
    /// One epoch of `text`.
    ///
    /// # Errors
    /// Text that cannot be read, or in which there is no word to hide.
    pub fn new(text: &dyn TextSource, mask: &WordMask) -> Result<Self> {
        let hidden = |step| Ok(mask.hide(text.batch(step)?, HELD_OUT));
        let batches = (0..text.batches_per_epoch()).map(hidden).collect::<Result<Vec<_>>>()?;
        if batches.iter().all(|batch| batch.count() == 0) {
            return Err(Error::Mismatch("the held-out text has no word that could be hidden".into()));
        }
        Ok(Self { batches })
    }

    /// Number of hidden words.
    pub fn count(&self) -> usize {
        self.batches.iter().map(MaskedBatch::count).sum()
    }

    /// The share of hidden words that `model` scores highest, `words/accuracy`, and the mean of `-log softmax(scores)[word]`, `words/loss`. `watch` is called with the number of sequences done.
    ///
    /// # Errors
    /// A model without a masked-language-model head, or whose scores are not finite; or `watch` ended it.
    pub fn evaluate(&self, model: &TaskModel, device: &Device, watch: &mut Watch<'_>) -> Result<Evaluation> {
        let mut found = Found::default();
        let with_words = || self.batches.iter().filter(|hidden| hidden.count() > 0);
        let total = with_words().map(|hidden| hidden.batch.batch).sum();
        let mut done = 0;
        for hidden in with_words() {
            for pass in passes(hidden.batch.batch, hidden.batch.seq, device) {
                let hidden = hidden.rows(pass);
                found.add(&hidden, model, device)?;
                done += hidden.batch.batch;
                if watch(done, total).is_break() {
                    return Err(predict::Error::Stopped.into());
                }
            }
        }
        let seen = found.seen.max(1) as f64;
        let (score, loss) = (found.right as f64 / seen, found.loss / seen);
        let metrics = [(ACCURACY.to_owned(), score), (HELD_OUT_LOSS.to_owned(), loss)].into();
        Ok(Evaluation { score, metrics, ..Evaluation::default() })
    }
}

/// What a model says of hidden words.
#[derive(Default)]
struct Found {
    /// Words.
    seen: usize,
    /// Words that are scored highest.
    right: usize,
    /// Sum of the losses.
    loss: f64,
}

impl Found {
    fn add(&mut self, hidden: &MaskedBatch, model: &TaskModel, device: &Device) -> Result<()> {
        let (places, words) = hidden.places();
        if words.is_empty() {
            return Ok(());
        }
        let output = model.encode(&to_device(&hidden.batch, device), EncodeOptions::LAST);
        let missing = || Error::Mismatch("the model has no masked-language-model head".into());
        let places = Tensor::from_data(places.as_slice(), device);
        let scores = model.words(output.last_hidden, places).ok_or_else(missing)?;
        let vocab = scores.dims()[1];
        let ids: Vec<u32> = words.iter().map(|id| *id as u32).collect();
        let losses = fused_ops::cross_entropy_rows(scores.clone(), &ids);
        let values = |t: Vec<f32>| t.into_iter().map(f64::from);
        self.loss +=
            values(losses.inner().try_into_vec_as::<f32>().expect("float tensors convert to f32")).sum::<f64>();
        let scores = scores.inner().try_into_vec_as::<f32>().expect("float tensors convert to f32");
        for (row, word) in scores.chunks(vocab).zip(words) {
            self.seen += 1;
            if row.iter().any(|v| !v.is_finite()) {
                return Err(predict::Error::NotFiniteAnswer { task: "words".to_owned(), example: self.seen }.into());
            }
            let best = (0..vocab).max_by(|&a, &b| row[a].total_cmp(&row[b]));
            self.right += usize::from(best == usize::try_from(word).ok());
        }
        Ok(())
    }
}
