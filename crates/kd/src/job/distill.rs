//! General and task distillation.

use bert_core::{EncodeOptions, Encoder, EncoderOutput, FeedForward, TaskModel, TokenBatch};
use burn::tensor::{Device, Tensor};
use glue_squad::batch::Labels;
use glue_squad::task::Head;

use super::fine_tune::label_loss;
use crate::data::{EvalSet, TaskMix, to_device};
use crate::engine::{Evaluation, Job, Part};
use crate::objective::{LossTerms, Plan};
use crate::text::TextSource;
use crate::{Result, evaluate, losses};

/// A frozen teacher: hidden states and scores, and the logits of a head.
///
/// Of an output, a job looks at what `options` ask for and its objective compares; [`EncoderOutput::last_hidden`] need not be there.
///
/// It answers on the device of the batch, from several threads at a time.
pub trait Teacher: Sync {
    /// Encodes a batch of text and keeps what `options` ask for.
    fn states(&self, batch: &TokenBatch, options: EncodeOptions) -> EncoderOutput;

    /// Encodes a batch of the task that head `head` is for, as [`Teacher::answers`] and [`Teacher::spans`] do, without its scores.
    ///
    /// One model encodes every task alike; where each task has a model of its own, it is that one's to say.
    fn task_states(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> EncoderOutput {
        let _ = head;
        self.states(batch, options)
    }

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

impl<T: Teacher + ?Sized> Teacher for &T {
    fn states(&self, batch: &TokenBatch, options: EncodeOptions) -> EncoderOutput {
        (**self).states(batch, options)
    }

    fn task_states(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> EncoderOutput {
        (**self).task_states(batch, head, options)
    }

    fn answers(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> (EncoderOutput, Tensor<2>) {
        (**self).answers(batch, head, options)
    }

    fn spans(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> (EncoderOutput, Tensor<3>) {
        (**self).spans(batch, head, options)
    }
}

impl<T: Teacher + ?Sized> Teacher for Box<T> {
    fn states(&self, batch: &TokenBatch, options: EncodeOptions) -> EncoderOutput {
        (**self).states(batch, options)
    }

    fn answers(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> (EncoderOutput, Tensor<2>) {
        (**self).answers(batch, head, options)
    }

    fn spans(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> (EncoderOutput, Tensor<3>) {
        (**self).spans(batch, head, options)
    }
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
pub type Prepare<'a, M> = Box<dyn Fn(&M, u64) -> M + Sync + 'a>;

/// Trains the whole model in every step.
pub fn as_is<'a, M: Clone>() -> Prepare<'a, M> {
    Box::new(|model, _| model.clone())
}

/// Distillation on unlabelled text: the terms between layers (warm-up and pre-training stages of EfficientBERT, general
/// distillation of TinyBERT).
pub struct GeneralDistillation<'a, F: FeedForward> {
    /// The teacher, without autodiff.
    pub teacher: &'a dyn Teacher,
    /// What is learnt in which step.
    pub plan: &'a Plan,
    /// Packed text.
    pub text: &'a dyn TextSource,
    /// Which part of the student a step trains.
    pub prepare: Prepare<'a, TaskModel<F>>,
}

impl<F: FeedForward> Job<TaskModel<F>> for GeneralDistillation<'_, F> {
    fn loss(&self, model: &TaskModel<F>, part: Part, device: &Device) -> Result<LossTerms> {
        let whole = self.text.batch(part.step)?;
        let Some(cut) = part.cut(whole.batch) else { return Ok(LossTerms(Vec::new())) };
        let batch = whole.rows(cut.rows());
        let tokens = to_device(&batch, device);
        let now = self.plan.at(part.step);
        let teacher = self.teacher.states(&tokens, now.options());
        let student = (self.prepare)(model, part.step).encode(&tokens, now.options());
        let density = cut.density(batch.tokens(), whole.tokens());
        Ok(cut.weigh(now.layer_terms(&student, &teacher, &tokens.mask, density)))
    }

    fn tokens(&self, step: u64) -> Result<u64> {
        Ok(self.text.batch(step)?.tokens() as u64)
    }

    fn evaluate(&self, _: &TaskModel<F>, _: u64, _: &Device) -> Result<Option<Evaluation>> {
        Ok(None)
    }
}

/// Distillation on task data: the terms between layers and the prediction term, as the objective has them.
///
/// Scores without gold ones are learnt from the teacher's.
pub struct TaskDistillation<'a, F: FeedForward> {
    /// The fine-tuned teacher, or one for each task ([`TaskTeachers`](super::TaskTeachers)), without autodiff.
    pub teacher: &'a dyn Teacher,
    /// Teacher head of each task of `data`.
    pub teacher_heads: Vec<usize>,
    /// Student head of each task of `data`.
    pub student_heads: Vec<usize>,
    /// What is learnt in which step.
    pub plan: &'a Plan,
    /// Training data.
    pub data: &'a TaskMix,
    /// Evaluation sets with the student's heads; empty for none.
    pub eval: &'a [(usize, EvalSet)],
    /// Which part of the student a step trains.
    pub prepare: Prepare<'a, TaskModel<F>>,
}

impl<F: FeedForward> Job<TaskModel<F>> for TaskDistillation<'_, F> {
    fn loss(&self, model: &TaskModel<F>, part: Part, device: &Device) -> Result<LossTerms> {
        let (task, whole) = self.data.batch(part.step)?;
        let Some(cut) = part.cut(whole.batch) else { return Ok(LossTerms(Vec::new())) };
        let batch = whole.rows(cut.rows());
        let density = cut.density(batch.tokens(), whole.tokens());
        let tokens = to_device(&batch, device);
        let now = self.plan.at(part.step);
        let options = now.options();
        let regression = self.data.tasks()[task].head() == Head::Regression;
        let head = self.teacher_heads[task];
        let (states, answers) = now.taught(
            || self.teacher.task_states(&tokens, head, options),
            || self.teacher.answers(&tokens, head, options),
        );
        let student = (self.prepare)(model, part.step);
        let (output, logits) = student.forward(&tokens, self.student_heads[task], options);
        let mut terms = match &states {
            Some(states) => now.layer_terms(&output, states, &tokens.mask, density),
            None => LossTerms(Vec::new()),
        };
        let Some(prediction) = now.prediction else { return Ok(cut.weigh(terms)) };
        let hard = || label_loss(logits.clone(), &batch.labels, device);
        // Where labels are not enough, the teacher was asked.
        let answers = || answers.clone().expect("the teacher was asked");
        let term = match (regression, &batch.labels) {
            (true, Labels::Scores(_)) if prediction.regression_on_labels() => prediction.weighted(hard()?),
            (true, Labels::Scores(_)) => prediction.mixed(|| losses::mse(logits.clone(), answers()), hard)?,
            (true, _) if prediction.asks_teacher() => prediction.weighted(losses::mse(logits, answers())),
            _ => prediction.mixed(|| prediction.soft(logits.clone(), answers()), hard)?,
        };
        terms.0.push(("prediction", term));
        Ok(cut.weigh(terms))
    }

    fn tokens(&self, step: u64) -> Result<u64> {
        Ok(self.data.batch(step)?.1.tokens() as u64)
    }

    /// Nothing before the heads have been taught anything.
    fn evaluate(&self, model: &TaskModel<F>, steps: u64, device: &Device) -> Result<Option<Evaluation>> {
        let taught = steps > 0 && self.plan.heads_taught_by(steps - 1);
        if self.eval.is_empty() || !taught {
            return Ok(None);
        }
        evaluate::evaluate(model, self.eval, device).map(Some)
    }
}
