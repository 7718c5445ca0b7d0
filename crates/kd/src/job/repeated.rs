//! One batch again and again, for measuring.

use bert_core::{Encoder, FeedForward, TaskModel, TokenBatch};

use crate::Result;
use crate::engine::{Evaluation, Job};
use crate::objective::{LossTerms, Plan};

/// General distillation on the same batch in every step: what a step costs, without text.
///
/// The loss is that of [`GeneralDistillation`](super::GeneralDistillation).
pub struct RepeatedBatch<'a> {
    /// Teaches.
    pub teacher: &'a dyn Encoder,
    /// What is compared.
    pub plan: &'a Plan,
    /// The batch.
    pub tokens: &'a TokenBatch,
}

impl<F: FeedForward> Job<TaskModel<F>> for RepeatedBatch<'_> {
    fn loss(&mut self, model: &TaskModel<F>, _step: u64) -> Result<LossTerms> {
        let now = self.plan.at(0);
        let teacher = self.teacher.encode(self.tokens, now.options());
        let student = model.encode(self.tokens, now.options());
        Ok(now.layer_terms(&student, &teacher, &self.tokens.mask))
    }

    fn evaluate(&mut self, _model: &TaskModel<F>) -> Result<Option<Evaluation>> {
        Ok(None)
    }
}
