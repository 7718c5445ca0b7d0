//! Trainings of span models.

use bert_core::{EncodeOptions, FeedForward, TaskModel};
use burn::tensor::{Device, Int, Tensor, TensorData};
use glue_squad::squad::SpanTargets;

use super::{SpanEval, SpanTrainSet};
use crate::data::to_device;
use crate::engine::{Evaluation, Job, Part};
use crate::job::Teacher;
use crate::losses::{ClsPosition, span_cross_entropy, span_sides, span_soft_cross_entropy};
use crate::objective::{LayerMap, LossTerms, layer_terms};
use crate::{Error, Result};

/// Trains a span head and the encoder on gold answers, see [`span_cross_entropy`].
pub struct SpanFineTune<'a> {
    /// Training windows.
    pub data: &'a SpanTrainSet,
    /// The span head.
    pub head: usize,
    /// The evaluation; `None` for none.
    pub eval: Option<&'a SpanEval>,
    /// Device of the model.
    pub device: Device,
}

impl<F: FeedForward> Job<TaskModel<F>> for SpanFineTune<'_> {
    fn loss(&mut self, model: &TaskModel<F>, part: Part) -> Result<LossTerms> {
        let batch = self.data.batch(part.step)?;
        let Some(cut) = part.cut(batch.tokens.batch) else { return Ok(LossTerms(Vec::new())) };
        let batch = batch.rows(cut.rows());
        let Some(SpanTargets { starts, ends }) = batch.targets else {
            return Err(Error::Mismatch("the training windows have no targets".into()));
        };
        let tokens = to_device(&batch.tokens, &self.device);
        let (_, logits) = model.forward_tokens(&tokens, self.head, EncodeOptions::LAST);
        let [start, end] = span_sides(logits);
        let gold = |positions: Vec<i32>| {
            let data = TensorData::new(positions, [batch.tokens.batch]);
            Tensor::<1, Int>::from_data(data, &self.device)
        };
        let loss = span_cross_entropy((start, gold(starts)), (end, gold(ends)), tokens.mask);
        Ok(cut.weigh(LossTerms(vec![("label", loss)])))
    }

    fn evaluate(&mut self, model: &TaskModel<F>) -> Result<Option<Evaluation>> {
        self.eval.map(|eval| eval.evaluate(model, self.head, &self.device)).transpose()
    }
}

/// Distillation on questions: the layer map's terms plus [`span_soft_cross_entropy`] at temperature 1 between start and end scores,
/// as in EfficientBERT; there is no term for gold answers, as for classes. The `[CLS]` takes part in SQuAD v2.0 only.
pub struct SpanDistillation<'a> {
    /// The fine-tuned teacher, without autodiff.
    pub teacher: &'a dyn Teacher,
    /// The teacher's span head.
    pub teacher_head: usize,
    /// The student's span head.
    pub student_head: usize,
    /// Which layer teaches which; validated.
    pub map: &'a LayerMap,
    /// Training windows.
    pub data: &'a SpanTrainSet,
    /// The evaluation; `None` for none.
    pub eval: Option<&'a SpanEval>,
    /// Device of both models.
    pub device: Device,
}

impl<F: FeedForward> Job<TaskModel<F>> for SpanDistillation<'_> {
    fn loss(&mut self, model: &TaskModel<F>, part: Part) -> Result<LossTerms> {
        let batch = self.data.batch(part.step)?.tokens;
        let Some(cut) = part.cut(batch.batch) else { return Ok(LossTerms(Vec::new())) };
        let tokens = to_device(&batch.rows(cut.rows()), &self.device);
        let options = self.map.options();
        let (states, answers) = self.teacher.spans(&tokens, self.teacher_head, options);
        let (output, logits) = model.forward_tokens(&tokens, self.student_head, options);
        let mut terms = layer_terms(self.map, &output, &states);
        let ([start, end], [start_taught, end_taught]) = (span_sides(logits), span_sides(answers));
        let cls = match self.data.version().has_unanswerable() {
            true => ClsPosition::Kept,
            false => ClsPosition::Blocked,
        };
        let prediction = span_soft_cross_entropy((start, start_taught), (end, end_taught), tokens.mask, cls);
        terms.0.push(("prediction", prediction));
        Ok(cut.weigh(terms))
    }

    fn evaluate(&mut self, model: &TaskModel<F>) -> Result<Option<Evaluation>> {
        self.eval.map(|eval| eval.evaluate(model, self.student_head, &self.device)).transpose()
    }
}
