//! Several models as one teacher: their mean.
//!
//! A [`Teacher`] is asked for what a student is compared with: the states of its layers, the logits of a head. It is handed to
//! distillation in place of a model.

use bert_core::{EncodeOptions, EncoderOutput, TokenBatch};
use burn::tensor::Tensor;
use kd::job::{Scored, Teacher};

/// The mean of what its members say; all of them have the same layers and heads.
pub struct Ensemble<T> {
    first: T,
    others: Vec<T>,
}

impl<T: Teacher> Ensemble<T> {
    /// `first` and `others`.
    pub fn new(first: T, others: Vec<T>) -> Self {
        Self { first, others }
    }

    /// The mean of what `ask` gives for each member.
    fn mean<const D: usize>(&self, ask: impl Fn(&T) -> Scored<D>) -> Scored<D> {
        let (mut states, mut logits) = ask(&self.first);
        for other in &self.others {
            let (more, answer) = ask(other);
            add(&mut states.hidden_states, more.hidden_states);
            add(&mut states.attention_scores, more.attention_scores);
            add(&mut states.values, more.values);
            states.last_hidden = states.last_hidden + more.last_hidden;
            logits = logits + answer;
        }
        let share = 1.0 / (1 + self.others.len()) as f64;
        scale(&mut states.hidden_states, share);
        scale(&mut states.attention_scores, share);
        scale(&mut states.values, share);
        states.last_hidden = states.last_hidden * share;
        (states, logits * share)
    }
}

fn add<const D: usize>(sums: &mut [Tensor<D>], more: Vec<Tensor<D>>) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum = sum.clone() + more;
    }
}

fn scale<const D: usize>(sums: &mut [Tensor<D>], share: f64) {
    for sum in sums {
        *sum = sum.clone() * share;
    }
}

impl<T: Teacher> Teacher for Ensemble<T> {
    fn states(&self, batch: &TokenBatch, head: Option<usize>, options: EncodeOptions) -> EncoderOutput {
        let states_alone = |member: &T| {
            let states = member.states(batch, head, options);
            let last = states.last_hidden.clone();
            (states, last)
        };
        self.mean(states_alone).0
    }

    fn logits(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> Scored<2> {
        self.mean(|member| member.logits(batch, head, options))
    }

    fn span_logits(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> Scored<3> {
        self.mean(|member| member.span_logits(batch, head, options))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use kd::job::{GeneralDistillation, as_is};
    use kd::objective::{Objective, Shape, Source};
    use train::data::to_device;
    use train::engine::{Job, MicroBatch, Silent, TrainConfig, train};
    use train::text::TextSource;

    use super::*;
    use crate::text_source::Walks;
    use crate::tiny::bert;

    const WALKS: Walks = Walks { pieces: 64, batch: 8, seq: 12, seed: 3 };

    fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn it_says_the_mean_of_what_its_members_say() {
        let [(_, a), (_, b)] = [bert(2, 1), bert(2, 2)];
        let batch = to_device(&WALKS.batch(0).unwrap(), &Device::flex());
        let of =
            |teacher: &dyn Teacher| numbers(teacher.states(&batch, None, EncodeOptions::ALL).hidden_states.remove(2));
        let together = of(&Ensemble::new(&a, vec![&b]));
        for ((one, other), mean) in of(&a).into_iter().zip(of(&b)).zip(together) {
            assert!(((one + other) / 2.0 - mean).abs() < 1e-6);
        }
    }

    #[test]
    fn a_student_learns_from_it() {
        let [(large, a), (_, b)] = [bert(4, 1), bert(4, 2)];
        let (small, student) = bert(2, 3);
        let teacher = Ensemble::new(&a, vec![&b]);
        let plan = Objective::default().plan(Shape::of(&small), Shape::of(&large), Source::Text, 60).unwrap();
        let job = GeneralDistillation { teacher: &teacher, plan: &plan, text: &WALKS, words: None, prepare: as_is() };
        let loss = |model: &_| -> f32 {
            job.loss(model, MicroBatch::whole(999), &Device::flex()).unwrap().total().into_scalar()
        };
        let before = loss(&student);
        let trained = train(student, Device::flex(), &job, &TrainConfig::new(60, 5e-3), None, &mut Silent).unwrap();
        let after = loss(&trained.model);
        assert!(after < 0.7 * before, "{before} before, {after} after");
    }
}
