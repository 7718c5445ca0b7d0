//! A student of logits that another program computed: any model may teach, whatever it is and however it reads texts.

use bert_core::{EncodeOptions, TaskModel};
use burn::tensor::{Device, Tensor, TensorData};
use glue_squad::task::Head;
use train::data::{EvalSet, TaskMix, to_device};
use train::engine::{Evaluated, Job, LossTerms, MicroBatch, Watch};
use train::losses::{at_tokens, label_loss};
use train::{Error, Result};

use super::distill::heads_evaluated;
use super::tags::term_of_words;
use crate::losses;
use crate::objective::Plan;

/// The logits of each training example of a task, in the order of its training set; of tags those of each of its words.
#[derive(Debug, Clone, PartialEq)]
pub struct GivenLogits {
    width: usize,
    values: Vec<f32>,
    /// Where the rows of each example begin, and the end, in rows.
    starts: Vec<usize>,
}

impl GivenLogits {
    /// `values` are rows of `width` logits.
    ///
    /// # Errors
    /// No whole rows, or a value that is not finite.
    pub fn new(width: usize, values: Vec<f32>) -> Result<Self> {
        if width == 0 || !values.len().is_multiple_of(width) {
            return Err(Error::Mismatch(format!("{} logits are no rows of {width}", values.len())));
        }
        match values.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(Error::Mismatch(format!("logit {} of example {} is not finite", at % width, at / width))),
            None => Ok(Self { width, starts: (0..=values.len() / width).collect(), values }),
        }
    }

    /// `examples` are the rows of `width` logits of the words of each text that have a token.
    ///
    /// # Errors
    /// No whole rows, or a value that is not finite.
    pub fn of_words(width: usize, examples: Vec<Vec<f32>>) -> Result<Self> {
        let mut starts = vec![0];
        for example in &examples {
            starts.push(starts[starts.len() - 1] + Self::new(width, example.clone())?.rows());
        }
        Ok(Self { width, values: examples.concat(), starts })
    }

    /// How many examples have logits.
    pub fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// Those of some examples.
    ///
    /// # Shapes
    /// - output: `[indices, width]`, of tags `[words, width]`
    fn batch(&self, indices: &[usize], device: &Device) -> Result<Tensor<2>> {
        let mut rows: Vec<f32> = Vec::with_capacity(indices.len() * self.width);
        for index in indices {
            let [start, end] =
                self.starts.get(*index..=index + 1).and_then(|row| row.try_into().ok()).ok_or_else(|| {
                    Error::Mismatch(format!("example {index} has no logits; there are {}", self.rows()))
                })?;
            rows.extend(&self.values[start * self.width..end * self.width]);
        }
        let count = rows.len() / self.width;
        Ok(Tensor::from_data(TensorData::new(rows, [count, self.width]), device))
    }
}

/// Task distillation by logits that are there already. Layers are not compared, since nothing is known of the teacher's.
pub struct LogitDistillation<'a> {
    /// The logits of each task of `data`.
    pub given: &'a [GivenLogits],
    /// Student head of each task of `data`.
    pub student_heads: Vec<usize>,
    /// What is learned in which step; its layer terms are passed over.
    pub plan: &'a Plan,
    /// Training data.
    pub data: &'a TaskMix,
    /// Evaluation sets with the student's heads; empty for none.
    pub eval: &'a [(usize, EvalSet)],
}

impl Job<TaskModel> for LogitDistillation<'_> {
    fn loss(&self, model: &TaskModel, part: MicroBatch, device: &Device) -> Result<LossTerms> {
        let (task, whole) = self.data.batch(part.step)?;
        let Some(cut) = part.cut(whole.batch) else { return Ok(LossTerms(Vec::new())) };
        let batch = whole.rows(cut.rows());
        let Some(prediction) = self.plan.at(part.step).prediction else { return Ok(LossTerms(Vec::new())) };
        if let (Some((places, tags)), Some((_, all))) = (batch.tagged(), whole.tagged()) {
            if tags.is_empty() {
                return Ok(LossTerms(Vec::new()));
            }
            let tokens = to_device(&batch, device);
            let (_, logits) = model.forward_tokens(&tokens, self.student_heads[task], EncodeOptions::LAST);
            let (ours, theirs) = (at_tokens(logits, places), self.given[task].batch(&batch.indices, device)?);
            if ours.dims() != theirs.dims() {
                let [found, wanted] = [theirs.dims()[0], ours.dims()[0]];
                return Err(Error::Mismatch(format!("logits of {found} words for the {wanted} words of a batch")));
            }
            let density = cut.density(tags.len(), all.len());
            let term = term_of_words(prediction, ours, || theirs, tags, density)?;
            return Ok(cut.weigh(LossTerms(vec![("prediction", term)])));
        }
        let (_, logits) = model.forward(&to_device(&batch, device), self.student_heads[task], EncodeOptions::LAST);
        let taught = self.given[task].batch(&batch.indices, device)?;
        let tasks = self.data.tasks();
        let weights = tasks[task].class_weights();
        let hard = || label_loss(logits.clone(), &batch.labels, weights, device);
        let soft = || match tasks[task].head() {
            Head::Regression => losses::mse(logits.clone(), taught.clone()),
            Head::MultiLabel { .. } => prediction.soft_labels(logits.clone(), taught.clone()),
            _ => prediction.soft(logits.clone(), taught.clone()),
        };
        let term = prediction.mixed(soft, hard)?;
        Ok(cut.weigh(LossTerms(vec![("prediction", term)])))
    }

    fn tokens(&self, step: u64) -> Result<u64> {
        Ok(self.data.batch(step)?.1.tokens() as u64)
    }

    fn evaluate(&self, model: &TaskModel, steps: u64, device: &Device, watch: &mut Watch<'_>) -> Evaluated {
        heads_evaluated((model, self.plan), self.eval, steps, device, watch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_taken_by_the_numbers_of_their_examples() {
        let given = GivenLogits::new(2, vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        let batch = given.batch(&[2, 0, 2], &Device::flex()).unwrap();
        assert_eq!(
            (batch.dims(), batch.try_into_vec_as::<f32>().unwrap()),
            ([3, 2], vec![4.0, 5.0, 0.0, 1.0, 4.0, 5.0])
        );
        assert!(
            given
                .batch(&[3], &Device::flex())
                .unwrap_err()
                .to_string()
                .contains("example 3 has no logits; there are 3")
        );
    }

    #[test]
    fn logits_that_are_no_numbers_are_refused() {
        assert!(GivenLogits::new(2, vec![0.0; 3]).is_err());
        let message = GivenLogits::new(2, vec![0.0, 1.0, f32::NAN, 0.0]).unwrap_err().to_string();
        assert!(message.contains("logit 0 of example 1 is not finite"), "{message}");
    }
}
