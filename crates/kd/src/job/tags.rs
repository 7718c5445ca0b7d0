//! Distillation of tags.

use bert_core::{TaskModel, TokenBatch};
use burn::tensor::Tensor;
use glue_squad::batch::EncodedBatch;
use train::engine::{Cut, LossTerms};
use train::losses::{at_tokens, tag_loss};
use train::{Error, Result};

use super::TaskDistillation;
use crate::objective::PredictionTerm;

impl TaskDistillation<'_> {
    /// The terms of a batch of tags: those between layers, and the prediction term over the first tokens of words. Both models answer
    /// there and nowhere else: on other tokens no label has ever trained the teacher's head, so its scores there are left out.
    pub(super) fn tag_terms(
        &self,
        model: &TaskModel,
        (task, step): (usize, u64),
        (batch, whole): (&EncodedBatch, &EncodedBatch),
        (cut, tokens): (&Cut, &TokenBatch),
    ) -> Result<LossTerms> {
        let (Some((places, tags)), Some((_, all))) = (batch.tagged(), whole.tagged()) else {
            return Err(Error::Mismatch("the training data has no tags".into()));
        };
        let now = self.plan.at(step);
        let options = now.options();
        let head = self.teacher_heads[task];
        let (states, taught) = now.taught(
            !tags.is_empty(),
            || self.teacher.states(tokens, Some(head), options),
            || self.teacher.span_logits(tokens, head, options),
        );
        let student = (self.prepare)(model, step);
        let (output, logits) = student.forward_tokens(tokens, self.student_heads[task], options);
        let mut terms = match &states {
            Some(states) => {
                let density = cut.density(batch.tokens(), whole.tokens());
                now.layer_terms(&output, states, &tokens.mask, density)
            }
            None => LossTerms(Vec::new()),
        };
        // Without a word that has a token there is nothing to predict.
        let Some(prediction) = now.prediction.filter(|_| !tags.is_empty()) else { return Ok(cut.weigh(terms)) };
        let ours = at_tokens(logits, places.clone());
        let theirs = || at_tokens(taught.expect("the teacher was asked"), places);
        let density = cut.density(tags.len(), all.len());
        terms.0.push(("prediction", term_of_words(prediction, ours, theirs, tags, density)?));
        Ok(cut.weigh(terms))
    }
}

/// The prediction term between scores of words, `[words, tags]`, of a part that has `density` times the words of an even share of its batch.
pub(super) fn term_of_words(
    prediction: PredictionTerm,
    ours: Tensor<2>,
    theirs: impl FnOnce() -> Tensor<2>,
    tags: Vec<i32>,
    density: f64,
) -> Result<Tensor<1>> {
    let term = prediction.mixed(|| prediction.soft(ours.clone(), theirs()), || Ok(tag_loss(ours.clone(), tags)))?;
    Ok(if density == 1.0 { term } else { term * density })
}
