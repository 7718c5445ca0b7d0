//! Fine-tuning on gold labels.

use bert_core::{EncodeOptions, RaggedBatch, TaskModel, to_unit_length};
use burn::tensor::Device;
use predict::evaluate;

use crate::Result;
use crate::data::{EvalSet, TaskMix, to_device};
use crate::engine::{Evaluated, Job, LossTerms, MicroBatch, Watch};
use crate::losses::{at_tokens, label_loss, tag_loss};
use crate::pair_losses::{check_parts, halves, pair_loss};

/// Trains a model's heads and encoder on labels: cross-entropy for classes and tags, MSE for scores,
/// [`pair_loss`] for vectors. Nothing is computed for padding where [`TaskModel::needs_no_padding`] holds.
pub struct FineTune<'a> {
    /// Training data.
    pub data: &'a TaskMix,
    /// Head of each task of `data`.
    pub heads: Vec<usize>,
    /// Evaluation sets with their heads; empty for none.
    pub eval: &'a [(usize, EvalSet)],
}

impl Job<TaskModel> for FineTune<'_> {
    fn loss(&self, model: &TaskModel, part: MicroBatch, device: &Device) -> Result<LossTerms> {
        let (task, batch) = self.data.batch(part.step)?;
        let Some(cut) = part.cut(batch.batch) else { return Ok(LossTerms(Vec::new())) };
        let whole = batch;
        let batch = whole.rows(cut.rows());
        if batch.second.is_some() {
            check_parts(self.data.sets()[task].batch_size(), part)?;
            let (_, vectors) =
                model.forward(&to_device(&batch.stacked(), device), self.heads[task], EncodeOptions::LAST);
            let [first, second] = halves(to_unit_length(vectors));
            return Ok(cut.weigh(LossTerms(vec![("label", pair_loss(first, second, &batch.labels)?)])));
        }
        if let Some((places, tags)) = batch.tagged() {
            let tokens = to_device(&batch, device);
            if tags.is_empty() {
                // No word in this part has a token.
                return Ok(LossTerms(Vec::new()));
            }
            let (_, logits) = model.forward_tokens(&tokens, self.heads[task], EncodeOptions::LAST);
            let loss = tag_loss(at_tokens(logits, places), tags.clone());
            let density = cut.density(tags.len(), whole.tagged().map_or(0, |(_, tags)| tags.len()));
            let loss = if density == 1.0 { loss } else { loss * density };
            return Ok(cut.weigh(LossTerms(vec![("label", loss)])));
        }
        let head = self.heads[task];
        // Without padding the padded form is as fast.
        let is_padded = batch.tokens() < batch.batch * batch.seq;
        let logits = match is_padded && model.needs_no_padding(head, device) {
            true => {
                let texts =
                    RaggedBatch::from_host([batch.batch, batch.seq], &batch.ids, &batch.type_ids, &batch.mask, device);
                model.of_ragged_texts(head, &texts)
            }
            false => model.forward(&to_device(&batch, device), head, EncodeOptions::LAST).1,
        };
        let tasks = self.data.tasks();
        let weights = tasks[task].class_weights();
        Ok(cut.weigh(LossTerms(vec![("label", label_loss(logits, &batch.labels, weights, device)?)])))
    }

    fn tokens(&self, step: u64) -> Result<u64> {
        Ok(self.data.batch(step)?.1.tokens() as u64)
    }

    fn evaluate(&self, model: &TaskModel, _: u64, device: &Device, watch: &mut Watch<'_>) -> Evaluated {
        if self.eval.is_empty() {
            return Ok(None);
        }
        Ok(Some(evaluate::evaluate(model, self.eval, device, watch)?))
    }
}
