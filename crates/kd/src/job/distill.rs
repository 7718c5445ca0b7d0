//! General and task distillation.

use bert_core::{EncodeOptions, Encoder, EncoderOutput, FeedForward, TaskModel, TokenBatch};
use burn::tensor::{Device, Tensor};
use glue_squad::batch::Labels;
use glue_squad::task::Head;

use super::fine_tune::label_loss;
use crate::data::{EvalSet, TaskMix, to_device};
use crate::engine::{Evaluation, Job, Part};
use crate::objective::{LayerMap, LossTerms, layer_terms};
use crate::text::TextSource;
use crate::{Result, evaluate, losses};

/// A frozen teacher: hidden states and scores, and the logits of a head.
pub trait Teacher {
    /// Encodes a batch and keeps what `options` ask for.
    fn states(&self, batch: &TokenBatch, options: EncodeOptions) -> EncoderOutput;

    /// Encodes a batch and scores it with head `head`.
    ///
    /// # Shapes
    /// - second output: `[batch, outputs]`
    fn answers(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> (EncoderOutput, Tensor<2>);

    /// Encodes a batch and scores every token with the span head `head`.
    ///
    /// # Shapes
    /// - second output: `[batch, seq, 2]`
    fn spans(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> (EncoderOutput, Tensor<3>);
}

impl<F: FeedForward> Teacher for TaskModel<F> {
    fn states(&self, batch: &TokenBatch, options: EncodeOptions) -> EncoderOutput {
        self.encode(batch, options)
    }

    fn answers(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> (EncoderOutput, Tensor<2>) {
        self.forward(batch, head, options)
    }

    fn spans(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> (EncoderOutput, Tensor<3>) {
        self.forward_tokens(batch, head, options)
    }
}

/// Makes the model that a step trains from the whole one; shares its weights.
pub type Prepare<'a, M> = Box<dyn Fn(&M, u64) -> M + 'a>;

/// Trains the whole model in every step.
pub fn as_is<'a, M: Clone>() -> Prepare<'a, M> {
    Box::new(|model, _| model.clone())
}

/// Distillation on unlabelled text: attention and hidden terms of the layer map (warm-up and
/// pre-training stages of EfficientBERT).
pub struct GeneralDistillation<'a, F: FeedForward> {
    /// The teacher, without autodiff.
    pub teacher: &'a dyn Teacher,
    /// Which layer teaches which; validated.
    pub map: &'a LayerMap,
    /// Packed text.
    pub text: &'a dyn TextSource,
    /// Which part of the student a step trains.
    pub prepare: Prepare<'a, TaskModel<F>>,
    /// Device of both models.
    pub device: Device,
}

impl<F: FeedForward> Job<TaskModel<F>> for GeneralDistillation<'_, F> {
    fn loss(&mut self, model: &TaskModel<F>, part: Part) -> Result<LossTerms> {
        let batch = self.text.batch(part.step)?;
        let Some(cut) = part.cut(batch.batch) else { return Ok(LossTerms(Vec::new())) };
        let batch = to_device(&batch.rows(cut.rows()), &self.device);
        let options = self.map.options();
        let teacher = self.teacher.states(&batch, options);
        let student = (self.prepare)(model, part.step).encode(&batch, options);
        Ok(cut.weigh(layer_terms(self.map, &student, &teacher)))
    }

    fn evaluate(&mut self, _model: &TaskModel<F>) -> Result<Option<Evaluation>> {
        Ok(None)
    }
}

/// Distillation on task data: the layer map's terms plus the prediction term (soft cross-entropy
/// at temperature 1 for classes; MSE to the gold score for regression, as the paper's code does).
pub struct TaskDistillation<'a, F: FeedForward> {
    /// The fine-tuned teacher, without autodiff.
    pub teacher: &'a dyn Teacher,
    /// Teacher head of each task of `data`.
    pub teacher_heads: Vec<usize>,
    /// Student head of each task of `data`.
    pub student_heads: Vec<usize>,
    /// Which layer teaches which; validated.
    pub map: &'a LayerMap,
    /// Training data.
    pub data: &'a TaskMix,
    /// Evaluation sets with the student's heads; empty for none.
    pub eval: &'a [(usize, EvalSet)],
    /// Which part of the student a step trains.
    pub prepare: Prepare<'a, TaskModel<F>>,
    /// Device of both models.
    pub device: Device,
}

impl<F: FeedForward> Job<TaskModel<F>> for TaskDistillation<'_, F> {
    fn loss(&mut self, model: &TaskModel<F>, part: Part) -> Result<LossTerms> {
        let (task, batch) = self.data.batch(part.step)?;
        let Some(cut) = part.cut(batch.batch) else { return Ok(LossTerms(Vec::new())) };
        let batch = batch.rows(cut.rows());
        let tokens = to_device(&batch, &self.device);
        let options = self.map.options();
        let (states, answers) = self.teacher.answers(&tokens, self.teacher_heads[task], options);
        let student = (self.prepare)(model, part.step);
        let (output, logits) = student.forward(&tokens, self.student_heads[task], options);
        let mut terms = layer_terms(self.map, &output, &states);
        let prediction = match (self.data.tasks()[task].head(), &batch.labels) {
            (Head::Regression, labels @ Labels::Scores(_)) => label_loss(logits, labels, &self.device)?,
            (Head::Regression, _) => losses::mse(logits, answers),
            (Head::Classification { .. }, _) => losses::soft_cross_entropy(logits, answers, 1.0),
        };
        terms.0.push(("prediction", prediction));
        Ok(cut.weigh(terms))
    }

    fn evaluate(&mut self, model: &TaskModel<F>) -> Result<Option<Evaluation>> {
        if self.eval.is_empty() {
            return Ok(None);
        }
        evaluate::evaluate(model, self.eval, &self.device).map(Some)
    }
}
