//! The loss of a step of pre-training.

use bert_core::weights::Tensors;
use bert_core::{PoolBy, Pooled, RaggedBatch, TaskModel};
use burn::tensor::{Device, Tensor};
use glue_squad::batch::EncodedBatch;

use super::TokenDropping;
use crate::engine::{Evaluated, Evaluation, Job, LossTerms, MicroBatch, Watch};
use crate::mlm::{HELD_OUT_LOSS, HeldOutWords, MaskedBatch, WordMask};
use crate::text::TextSource;
use crate::{Error, Result};

/// Masked language modeling on texts without padding: `-log softmax(scores)[word]`, the mean over the hidden words of a step. Only hidden
/// words are multiplied with the vocabulary.
pub struct MaskedLanguageModeling<'a> {
    /// Packed text.
    pub text: &'a dyn TextSource,
    /// Hides words of the text.
    pub mask: &'a WordMask,
    /// Held-out text, to be evaluated on.
    pub held_out: Option<&'a HeldOutWords>,
    /// What the middle layers keep; `None` for everything. It goes on learning where texts are pooled, and drops nothing there.
    pub dropping: Option<&'a TokenDropping>,
    /// What all layers see in the place of tokens, beside the hidden ones; `None` for the tokens.
    pub pool: Option<Pool>,
    /// Tokens of the longest text; longer ones are cut, their last token stays.
    pub max_len: Option<usize>,
}

/// Pooled tokens ([`Pooled`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// How neighbors become one.
    pub by: PoolBy,
    /// How many of them.
    pub window: usize,
}

impl<'a> MaskedLanguageModeling<'a> {
    /// Of whole texts and all of their tokens; nothing is held out.
    pub fn of(text: &'a dyn TextSource, mask: &'a WordMask) -> Self {
        Self { text, mask, held_out: None, dropping: None, pool: None, max_len: None }
    }

    fn batch(&self, step: u64) -> Result<MaskedBatch> {
        Ok(self.mask.hide(self.cut_batch(step)?, step / self.text.batches_per_epoch()))
    }

    fn cut_batch(&self, step: u64) -> Result<EncodedBatch> {
        let batch = self.text.batch(step)?;
        Ok(match self.max_len {
            Some(longest) if longest < batch.seq => cut(batch, longest),
            _ => batch,
        })
    }

    /// The mean loss of the hidden words of a part of a step; `None` where nothing is hidden. `first_row` is the part's first among the rows of
    /// the step.
    ///
    /// # Errors
    /// A model without a masked-language-model head.
    pub fn loss_of(
        &self,
        model: &TaskModel,
        hidden: &MaskedBatch,
        (part, first_row): (MicroBatch, usize),
        device: &Device,
    ) -> Result<Option<Tensor<1>>> {
        let padded = self.dropping.filter(|dropping| self.pool.is_none() && dropping.predicts_padding());
        let mut predictions = Predictions::of(hidden, padded, self.mask.max_predictions());
        if predictions.count == 0 {
            return Ok(None);
        }
        let batch = &hidden.batch;
        let tokens = RaggedBatch::from_host([batch.batch, batch.seq], &batch.ids, &batch.type_ids, &batch.mask, device);
        let last = match (self.pool, self.dropping) {
            (Some(pool), _) => {
                let pooled = pooled(hidden, &tokens, pool);
                predictions.rows = pooled.asked().to_vec();
                model.encode_pooled(&tokens, &pooled)
            }
            (None, Some(dropping)) => {
                let kept = dropping.select(batch, (part.step, first_row), self.max_len);
                model.encode_ragged(&tokens, Some(&kept))
            }
            (None, None) => model.encode_ragged(&tokens, None),
        };
        let places = Tensor::from_data(predictions.rows.as_slice(), device);
        let missing = || Error::Mismatch("the model has no masked-language-model head".into());
        let scores = model.words(last, places).ok_or_else(missing)?;
        let losses = fused_ops::cross_entropy_rows(scores, &predictions.ids);
        if let Some(dropping) = self.dropping {
            let values = losses.clone().inner().try_into_vec_as::<f32>().expect("float tensors convert to f32");
            dropping.note((part.step, part.index), predictions.ids.iter().copied().zip(values).collect());
        }
        Ok(Some(losses.narrow(0, 0, predictions.count).mean()))
    }
}

impl Job<TaskModel> for MaskedLanguageModeling<'_> {
    fn loss(&self, model: &TaskModel, part: MicroBatch, device: &Device) -> Result<LossTerms> {
        let whole = self.batch(part.step)?;
        let Some(cut) = part.cut(whole.batch.batch) else { return Ok(LossTerms(Vec::new())) };
        let hidden = whole.rows(cut.rows());
        let Some(loss) = self.loss_of(model, &hidden, (part, cut.rows().start), device)? else {
            return Ok(LossTerms(Vec::new()));
        };
        let density = cut.density(hidden.count(), whole.count());
        let loss = if density == 1.0 { loss } else { loss * density };
        Ok(cut.weigh(LossTerms(vec![("mlm", loss)])))
    }

    fn tokens(&self, step: u64) -> Result<u64> {
        Ok(self.cut_batch(step)?.tokens() as u64)
    }

    fn evaluate(&self, model: &TaskModel, _: u64, device: &Device, watch: &mut Watch<'_>) -> Evaluated {
        let Some(text) = self.held_out else { return Ok(None) };
        let found = text.evaluate(model, device, watch)?;
        // The geometric mean of the probabilities of what is hidden: the best weights have the least loss, and accuracy has many ties.
        let score = found.metrics.get(HELD_OUT_LOSS).map_or(found.score, |loss| (-loss).exp());
        Ok(Some(Evaluation { score, ..found }))
    }

    fn finished(&self, step: u64) {
        if let Some(dropping) = self.dropping {
            dropping.update(step);
        }
    }

    fn memory(&self) -> Option<Tensors> {
        self.dropping.map(TokenDropping::memory)
    }

    fn recall(&self, memory: &Tensors) -> Result<()> {
        self.dropping.map_or(Ok(()), |dropping| dropping.recall(memory))
    }
}

/// The windows of a batch, its hidden words asked for.
fn pooled(hidden: &MaskedBatch, tokens: &RaggedBatch, pool: Pool) -> Pooled {
    let lengths: Vec<usize> = tokens.texts.texts().iter().map(|text| text.keys).collect();
    let places = |row| hidden.words(row).iter().map(|word| usize::from(word.position)).collect();
    let asked: Vec<Vec<usize>> = (0..lengths.len()).map(places).collect();
    Pooled::new(pool.by, pool.window, &lengths, &asked)
}

/// A batch whose longer texts are cut to `longest` tokens, of which the last is the text's last.
fn cut(batch: EncodedBatch, longest: usize) -> EncodedBatch {
    let (mut ids, mut type_ids, mut mask) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..batch.batch {
        let at = row * batch.seq..(row + 1) * batch.seq;
        let n = bert_core::length(&batch.mask[at.clone()]);
        ids.extend_from_slice(&batch.ids[at.start..at.start + longest]);
        if n > longest {
            ids[(row + 1) * longest - 1] = batch.ids[at.start + n - 1];
        }
        type_ids.extend_from_slice(&batch.type_ids[at.start..at.start + longest]);
        mask.extend_from_slice(&batch.mask[at.start..at.start + longest]);
    }
    EncodedBatch { seq: longest, ids, type_ids, mask, ..batch }
}

/// What is predicted in a part of a step.
struct Predictions {
    /// Rows of the texts without padding.
    rows: Vec<i32>,
    /// What stood there.
    ids: Vec<u32>,
    /// How many of them are hidden words; what follows is for the importance of padding alone.
    count: usize,
}

impl Predictions {
    /// With `padded`, as the released code fills up predictions.
    fn of(hidden: &MaskedBatch, padded: Option<&TokenDropping>, most: Option<usize>) -> Self {
        let (batch, mut first) = (&hidden.batch, 0);
        let (mut rows, mut ids, mut short) = (Vec::new(), Vec::new(), None);
        for row in 0..batch.batch {
            let words = hidden.words(row);
            rows.extend(words.iter().map(|word| first + i32::from(word.position)));
            ids.extend(words.iter().map(|word| word.id));
            if most.is_some_and(|most| words.len() < most) {
                // The last one counts.
                short = Some(first);
            }
            first += bert_core::length(&batch.mask[row * batch.seq..][..batch.seq]) as i32;
        }
        let count = ids.len();
        if let (Some(dropping), Some(row)) = (padded, short) {
            rows.push(row);
            ids.push(dropping.pad());
        }
        Self { rows, ids, count }
    }
}
