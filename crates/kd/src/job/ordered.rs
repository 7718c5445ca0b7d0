//! A teacher whose classes stand in another order than the data's.

use std::collections::BTreeMap;

use bert_core::{EncodeOptions, EncoderOutput, TokenBatch};
use burn::tensor::{Int, Tensor};
use glue_squad::task::ClassOrder;
use predict::heads::AnsweringHead;

use super::{Scored, Teacher};

/// A teacher that gives the scores of each class in the place that the data give it: `logits[class] = scores[order[class]]`. A number is brought
/// into the units of the task.
///
/// A cache belongs between it and the model: it keeps the model's answers as they are.
pub struct OrderedTeacher<'a> {
    teacher: Box<dyn Teacher + 'a>,
    /// By the head that is asked; heads that are not here are in order.
    orders: BTreeMap<usize, ClassOrder>,
}

impl std::fmt::Debug for OrderedTeacher<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OrderedTeacher").field("orders", &self.orders).finish_non_exhaustive()
    }
}

impl<'a> OrderedTeacher<'a> {
    /// `teacher` with the orders of `heads`, by [`AnsweringHead::index`]; `teacher` itself where all are in order.
    pub fn before(
        teacher: Box<dyn Teacher + 'a>,
        heads: impl IntoIterator<Item = AnsweringHead>,
    ) -> Box<dyn Teacher + 'a> {
        let moved = heads.into_iter().filter(|head| !head.order.is_identity());
        let orders: BTreeMap<_, _> = moved.map(|head| (head.index, head.order)).collect();
        match orders.is_empty() {
            true => teacher,
            false => Box::new(Self { teacher, orders }),
        }
    }
}

impl Teacher for OrderedTeacher<'_> {
    fn states(&self, batch: &TokenBatch, head: Option<usize>, options: EncodeOptions) -> EncoderOutput {
        self.teacher.states(batch, head, options)
    }

    fn logits(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> Scored<2> {
        let (output, scores) = self.teacher.logits(batch, head, options);
        let Some(order) = self.orders.get(&head) else { return (output, scores) };
        if let Some([factor, shift]) = order.units() {
            return (output, scores * factor + shift);
        }
        let columns = order.outputs().iter().map(|&output| scores.clone().narrow(1, output, 1)).collect();
        (output, Tensor::cat(columns, 1))
    }

    fn span_logits(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> Scored<3> {
        self.teacher.span_logits(batch, head, options)
    }

    fn word_logits(&self, batch: &TokenBatch, at: Tensor<1, Int>, options: EncodeOptions) -> Option<Scored<2>> {
        self.teacher.word_logits(batch, at, options)
    }
}
