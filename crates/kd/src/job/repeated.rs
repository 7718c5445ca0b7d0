//! One batch again and again, for measuring.

use bert_core::{TaskModel, TokenBatch};
use burn::tensor::Device;
use train::Result;
use train::engine::{Evaluated, Job, LossTerms, MicroBatch, Watch};

use crate::objective::Plan;

/// General distillation on the same batch in every step: what a step costs, without text.
///
/// The loss is that of [`GeneralDistillation`](super::GeneralDistillation).
pub struct RepeatedBatch<'a> {
    /// The teacher.
    pub teacher: &'a TaskModel,
    /// What is compared.
    pub plan: &'a Plan,
    /// The batch, on the one device that is measured.
    pub tokens: &'a TokenBatch,
}

impl Job<TaskModel> for RepeatedBatch<'_> {
    fn loss(&self, model: &TaskModel, part: MicroBatch, _: &Device) -> Result<LossTerms> {
        let [batch, _] = self.tokens.dims();
        let Some(cut) = part.cut(batch) else { return Ok(LossTerms(Vec::new())) };
        let tokens = self.tokens.rows(cut.rows());
        let now = self.plan.at(0);
        let teacher = self.teacher.encode(&tokens, now.options());
        let student = model.encode(&tokens, now.options());
        // As many real tokens in each row: this measures time.
        Ok(cut.weigh(now.layer_terms(&student, &teacher, &tokens.mask, 1.0)))
    }

    fn evaluate(&self, _: &TaskModel, _: u64, _: &Device, _: &mut Watch<'_>) -> Evaluated {
        Ok(None)
    }
}
