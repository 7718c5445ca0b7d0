//! Distillation of vectors of texts.

use bert_core::{TaskModel, to_unit_length};
use burn::tensor::{Device, Tensor};
use glue_squad::batch::EncodedBatch;
use train::Result;
use train::data::to_device;
use train::engine::{Cut, LossTerms};
use train::pair_losses::{halves, pair_loss, similarities};

use super::TaskDistillation;

impl TaskDistillation<'_> {
    /// The terms of a batch of pairs whose texts are read alone: those between layers, and the prediction term over vectors.
    ///
    /// The student learns how alike each two of the batch's texts are: the soft term between [`similarities`], which needs no equal widths (Park et al. 2019,
    /// relational distillation). Where its vectors are as wide as the teacher's, the mean of `|v_student - v_teacher|²` is added, so that both stand in one space.
    pub(super) fn vector_terms(
        &self,
        model: &TaskModel,
        (task, step): (usize, u64),
        (batch, whole): (&EncodedBatch, &EncodedBatch),
        cut: &Cut,
        device: &Device,
    ) -> Result<LossTerms> {
        let tokens = to_device(&batch.stacked(), device);
        let now = self.plan.at(step);
        let (options, head) = (now.options(), self.teacher_heads[task]);
        let (states, taught) = now.taught(
            true,
            || self.teacher.states(&tokens, Some(head), options),
            || self.teacher.logits(&tokens, head, options),
        );
        let student = (self.prepare)(model, step);
        let (output, vectors) = student.forward(&tokens, self.student_heads[task], options);
        let mut terms = match &states {
            Some(states) => now.layer_terms(&output, states, &tokens.mask, cut.density(batch.tokens(), whole.tokens())),
            None => LossTerms(Vec::new()),
        };
        let Some(prediction) = now.prediction else { return Ok(cut.weigh(terms)) };
        let ours = to_unit_length(vectors);
        let soft = || {
            let theirs = to_unit_length(taught.expect("the teacher was asked"));
            let relations = prediction.soft(similarities(ours.clone()), similarities(theirs.clone()));
            match ours.dims() == theirs.dims() {
                true => relations + squared_distance(ours.clone(), theirs),
                false => relations,
            }
        };
        let hard = || {
            let [first, second] = halves(ours.clone());
            pair_loss(first, second, &batch.labels)
        };
        terms.0.push(("prediction", prediction.mixed(soft, hard)?));
        Ok(cut.weigh(terms))
    }
}

/// The mean over rows of `|a - b|²`.
fn squared_distance(a: Tensor<2>, b: Tensor<2>) -> Tensor<1> {
    let difference = a - b;
    (difference.clone() * difference).sum_dim(1).mean()
}
