//! Fine-tuning on gold labels.

use bert_core::{EncodeOptions, TaskModel};
use burn::tensor::Device;
use predict::evaluate;

use crate::Result;
use crate::data::{EvalSet, TaskMix, to_device};
use crate::engine::{Evaluated, Job, LossTerms, MicroBatch, Watch};
use crate::losses::label_loss;

/// Trains a model's heads and encoder on labels: cross-entropy for classes, MSE for scores.
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
        let batch = batch.rows(cut.rows());
        let tokens = to_device(&batch, device);
        let (_, logits) = model.forward(&tokens, self.heads[task], EncodeOptions::LAST);
        Ok(cut.weigh(LossTerms(vec![("label", label_loss(logits, &batch.labels, device)?)])))
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
