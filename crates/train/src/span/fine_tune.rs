//! Fine-tuning of span models.

use bert_core::{EncodeOptions, TaskModel};
use burn::tensor::{Device, Int, Tensor, TensorData};
use glue_squad::squad::{SpanBatch, SpanTargets};
use predict::span::SpanEval;

use super::SpanTrainSet;
use crate::data::to_device;
use crate::engine::{Evaluated, Job, LossTerms, MicroBatch, Watch};
use crate::losses::{span_cross_entropy, span_sides};
use crate::{Error, Result};

/// Trains a span head and the encoder on gold answers, see [`span_cross_entropy`].
pub struct SpanFineTune<'a> {
    /// Training windows.
    pub data: &'a SpanTrainSet,
    /// The span head.
    pub head: usize,
    /// The evaluation; `None` for none.
    pub eval: Option<&'a SpanEval>,
}

impl Job<TaskModel> for SpanFineTune<'_> {
    fn loss(&self, model: &TaskModel, part: MicroBatch, device: &Device) -> Result<LossTerms> {
        let batch = self.data.batch(part.step)?;
        let Some(cut) = part.cut(batch.tokens.batch) else { return Ok(LossTerms(Vec::new())) };
        let batch = batch.rows(cut.rows());
        let tokens = to_device(&batch.tokens, device);
        let (_, logits) = model.forward_tokens(&tokens, self.head, EncodeOptions::LAST);
        let loss = gold_loss(span_sides(logits), &batch, tokens.mask)?;
        Ok(cut.weigh(LossTerms(vec![("label", loss)])))
    }

    fn tokens(&self, step: u64) -> Result<u64> {
        Ok(self.data.batch(step)?.tokens.tokens() as u64)
    }

    fn evaluate(&self, model: &TaskModel, _: u64, device: &Device, watch: &mut Watch<'_>) -> Evaluated {
        Ok(self.eval.map(|eval| eval.evaluate(model, self.head, device, watch)).transpose()?)
    }
}

/// Loss of start and end scores against the gold answers of `batch`, see [`span_cross_entropy`].
///
/// # Errors
/// Windows without targets.
pub fn gold_loss([start, end]: [Tensor<2>; 2], batch: &SpanBatch, mask: Tensor<2>) -> Result<Tensor<1>> {
    let Some(SpanTargets { starts, ends }) = &batch.targets else {
        return Err(Error::Mismatch("the training windows have no targets".into()));
    };
    let gold = |positions: &[i32]| {
        Tensor::<1, Int>::from_data(TensorData::new(positions.to_vec(), [positions.len()]), &mask.device())
    };
    let (starts, ends) = (gold(starts), gold(ends));
    Ok(span_cross_entropy((start, starts), (end, ends), mask))
}
