//! Text without end that is made when it is asked for.
//!
//! A [`TextSource`] answers with the batch of a step, always the same one. So a training that was stopped goes on in the middle
//! of the text, and there is no place in it to be saved.

use glue_squad::batch::{EncodedBatch, Labels};
use rand::Rng;
use train::text::TextSource;

/// Random walks through word pieces: each is followed by one of three others.
#[derive(Clone, Copy, Debug)]
pub struct Walks {
    /// Word pieces that there are.
    pub pieces: i32,
    /// Sequences of a batch.
    pub batch: usize,
    /// Pieces of a sequence.
    pub seq: usize,
    /// What all walks derive from.
    pub seed: u64,
}

impl TextSource for Walks {
    /// There is no end, so an epoch is as long as one likes.
    fn batches_per_epoch(&self) -> u64 {
        1000
    }

    fn batch(&self, step: u64) -> train::Result<EncodedBatch> {
        let mut rng = run_store::rng::keyed(self.seed, "example.walks", &[step]);
        let mut ids = Vec::with_capacity(self.batch * self.seq);
        for _ in 0..self.batch {
            let mut piece = rng.random_range(0..self.pieces);
            for _ in 0..self.seq {
                ids.push(piece);
                piece = (3 * piece + rng.random_range(0..3)) % self.pieces;
            }
        }
        let places = self.batch * self.seq;
        let first = step as usize * self.batch;
        Ok(EncodedBatch {
            batch: self.batch,
            seq: self.seq,
            ids,
            type_ids: vec![0; places],
            mask: vec![1; places],
            labels: Labels::None,
            indices: (first..first + self.batch).collect(),
            second: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use kd::job::{GeneralDistillation, as_is};
    use kd::objective::{Objective, Shape, Source};
    use train::engine::{Job, MicroBatch, TrainConfig, train};

    use super::*;
    use crate::tiny::bert;

    const WALKS: Walks = Walks { pieces: 64, batch: 8, seq: 12, seed: 3 };

    #[test]
    fn the_batch_of_a_step_is_always_the_same() {
        assert_eq!(WALKS.batch(7).unwrap(), WALKS.batch(7).unwrap());
        assert_ne!(WALKS.batch(7).unwrap().ids, WALKS.batch(8).unwrap().ids);
        assert_eq!(WALKS.batch(0).unwrap().tokens(), 8 * 12);
    }

    #[test]
    fn a_student_learns_from_its_teacher_on_it() {
        let ((large, teacher), (small, student)) = (bert(4, 1), bert(2, 2));
        let plan = Objective::default().plan(Shape::of(&small), Shape::of(&large), Source::Text, 60).unwrap();
        let job = GeneralDistillation { teacher: &teacher, plan: &plan, text: &WALKS, words: None, prepare: as_is() };
        let loss = |model: &_| -> f32 {
            job.loss(model, MicroBatch::whole(999), &Device::flex()).unwrap().total().into_scalar()
        };
        let before = loss(&student);
        let config = TrainConfig::new(60, 5e-3);
        let trained = train(student, Device::flex(), &job, &config, None, &mut train::engine::Silent).unwrap();
        let after = loss(&trained.model);
        assert!(after < 0.7 * before, "{before} before, {after} after");
    }
}
