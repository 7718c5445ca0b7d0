//! One batch again and again, for measuring.

use bert_core::{EncodeOptions, Encoder, FeedForward, TaskModel, TokenBatch};

use crate::Result;
use crate::engine::{Evaluation, Job, Part};
use crate::objective::{LayerMap, LossTerms, layer_terms};

/// General distillation on the same batch in every step: what a step costs, without text.
///
/// The loss is that of [`GeneralDistillation`](super::GeneralDistillation).
pub struct RepeatedBatch<'a> {
    /// Teaches.
    pub teacher: &'a dyn Encoder,
    /// Which layers are compared.
    pub map: &'a LayerMap,
    /// The batch.
    pub tokens: &'a TokenBatch,
}

impl<F: FeedForward> Job<TaskModel<F>> for RepeatedBatch<'_> {
    fn loss(&mut self, model: &TaskModel<F>, part: Part) -> Result<LossTerms> {
        let [batch, _] = self.tokens.dims();
        let Some(cut) = part.cut(batch) else { return Ok(LossTerms(Vec::new())) };
        let tokens = self.tokens.rows(cut.rows());
        let teacher = self.teacher.encode(&tokens, EncodeOptions::ALL);
        let student = model.encode(&tokens, EncodeOptions::ALL);
        Ok(cut.weigh(layer_terms(self.map, &student, &teacher)))
    }

    fn evaluate(&mut self, _model: &TaskModel<F>) -> Result<Option<Evaluation>> {
        Ok(None)
    }
}
