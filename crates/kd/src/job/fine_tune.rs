//! Fine-tuning on gold labels.

use bert_core::{EncodeOptions, TaskModel};
use burn::tensor::{Device, Int, Tensor, TensorData};
use glue_squad::batch::Labels;

use crate::data::{EvalSet, TaskMix, to_device};
use crate::engine::{Evaluation, Job, Part, Watch};
use crate::objective::LossTerms;
use crate::{Error, Result, evaluate, losses};

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
    fn loss(&self, model: &TaskModel, part: Part, device: &Device) -> Result<LossTerms> {
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

    fn evaluate(
        &self,
        model: &TaskModel,
        _: u64,
        device: &Device,
        watch: &mut Watch<'_>,
    ) -> Result<Option<Evaluation>> {
        if self.eval.is_empty() {
            return Ok(None);
        }
        evaluate::evaluate(model, self.eval, device, watch).map(Some)
    }
}

/// Loss against gold labels.
///
/// # Shapes
/// - `logits`: `[batch, classes]`, or `[batch, 1]` for scores
pub(super) fn label_loss(logits: Tensor<2>, labels: &Labels, device: &Device) -> Result<Tensor<1>> {
    match labels {
        Labels::Classes(classes) => {
            let data = TensorData::new(classes.clone(), [classes.len()]);
            Ok(losses::cross_entropy(logits, Tensor::<1, Int>::from_data(data, device)))
        }
        Labels::Scores(scores) => {
            let data = TensorData::new(scores.clone(), [scores.len(), 1]);
            Ok(losses::mse(logits, Tensor::from_data(data, device)))
        }
        Labels::None => Err(Error::Mismatch("the training data has no labels".into())),
    }
}
