//! Distillation on questions.

use bert_core::TaskModel;
use burn::tensor::Device;
use predict::span::SpanEval;
use train::Result;
use train::data::to_device;
use train::engine::{Evaluated, Job, LossTerms, MicroBatch, Watch};
use train::losses::span_sides;
use train::span::{SpanTrainSet, gold_loss};

use super::Teacher;
use crate::losses::{ClsPosition, span_sum};
use crate::objective::Plan;

/// Distillation on questions: the terms between layers, and the prediction term between start and end scores ([`span_sum`]) as the
/// objective has it. The `[CLS]` takes part in SQuAD v2.0 only.
pub struct SpanDistillation<'a> {
    /// The fine-tuned teacher, without autodiff.
    pub teacher: &'a dyn Teacher,
    /// The teacher's span head.
    pub teacher_head: usize,
    /// The student's span head.
    pub student_head: usize,
    /// What is learned in which step.
    pub plan: &'a Plan,
    /// Training windows.
    pub data: &'a SpanTrainSet,
    /// The evaluation; `None` for none.
    pub eval: Option<&'a SpanEval>,
}

impl Job<TaskModel> for SpanDistillation<'_> {
    fn loss(&self, model: &TaskModel, part: MicroBatch, device: &Device) -> Result<LossTerms> {
        let whole = self.data.batch(part.step)?;
        let Some(cut) = part.cut(whole.tokens.batch) else { return Ok(LossTerms(Vec::new())) };
        let batch = whole.rows(cut.rows());
        let density = cut.density(batch.tokens.tokens(), whole.tokens.tokens());
        let tokens = to_device(&batch.tokens, device);
        let now = self.plan.at(part.step);
        let options = now.options();
        let (states, taught) = now.taught(
            true,
            || self.teacher.states(&tokens, Some(self.teacher_head), options),
            || self.teacher.span_logits(&tokens, self.teacher_head, options),
        );
        let (output, logits) = model.forward_tokens(&tokens, self.student_head, options);
        let mut terms = match &states {
            Some(states) => now.layer_terms(&output, states, &tokens.mask, density),
            None => LossTerms(Vec::new()),
        };
        let Some(prediction) = now.prediction else { return Ok(cut.weigh(terms)) };
        let sides = span_sides(logits);
        let soft = || {
            let [start, end] = sides.clone();
            let [start_taught, end_taught] = span_sides(taught.expect("the teacher was asked"));
            let cls = match self.data.version().has_unanswerable() {
                true => ClsPosition::Kept,
                false => ClsPosition::Blocked,
            };
            let pairs = ((start, start_taught), (end, end_taught));
            span_sum(pairs.0, pairs.1, tokens.mask.clone(), cls, |s, t| prediction.soft(s, t))
        };
        let term = prediction.mixed(soft, || gold_loss(sides.clone(), &batch, tokens.mask.clone()))?;
        terms.0.push(("prediction", term));
        Ok(cut.weigh(terms))
    }

    fn tokens(&self, step: u64) -> Result<u64> {
        Ok(self.data.batch(step)?.tokens.tokens() as u64)
    }

    /// `None` before the head has been trained.
    fn evaluate(&self, model: &TaskModel, steps: u64, device: &Device, watch: &mut Watch<'_>) -> Evaluated {
        let taught = steps > 0 && self.plan.heads_taught_by(steps - 1);
        let eval = self.eval.filter(|_| taught);
        Ok(eval.map(|eval| eval.evaluate(model, self.student_head, device, watch)).transpose()?)
    }
}
