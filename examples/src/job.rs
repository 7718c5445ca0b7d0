//! A training of one's own: sentence vectors that are close where those of another model are.
//!
//! A [`Job`] gives the loss of a step; the engine does the rest: optimizer, schedule, clipping, several devices, checkpoints,
//! evaluation, early stop. The loss of a step may be asked for in parts, on several devices or one after the other; a
//! [`MicroBatch`] says which rows of the batch it has, and weighs its share.

use bert_core::{EncodeOptions, TaskModel, TokenBatch};
use burn::tensor::{Device, Tensor};
use train::data::to_device;
use train::engine::{Evaluated, Evaluation, Job, LossTerms, MicroBatch, Watch};
use train::text::TextSource;

/// Trains the mean of a model's last hidden states to be that of `teacher`.
pub struct SentenceVectors<'a> {
    /// Whose vectors are learned.
    pub teacher: &'a TaskModel,
    /// What is read.
    pub text: &'a dyn TextSource,
    /// A step of the text that is not trained on.
    pub held_out: u64,
}

/// The mean over the real tokens: `[batch, seq, hidden]` to `[batch, hidden]`.
fn vectors(model: &TaskModel, batch: &TokenBatch) -> Tensor<2> {
    let hidden = model.encode(batch, EncodeOptions::LAST).last_hidden;
    let mask = batch.mask.clone().unsqueeze_dim::<3>(2);
    (hidden * mask.clone()).sum_dim(1).squeeze_dim::<2>(1) / mask.sum_dim(1).squeeze_dim::<2>(1)
}

impl SentenceVectors<'_> {
    /// The mean squared distance.
    fn distance(&self, model: &TaskModel, batch: &TokenBatch) -> Tensor<1> {
        (vectors(model, batch) - vectors(self.teacher, batch).detach()).powf_scalar(2.0).mean()
    }
}

impl Job<TaskModel> for SentenceVectors<'_> {
    fn loss(&self, model: &TaskModel, part: MicroBatch, device: &Device) -> train::Result<LossTerms> {
        let batch = self.text.batch(part.step)?;
        // A part without rows has no terms.
        let Some(cut) = part.cut(batch.batch) else { return Ok(LossTerms(Vec::new())) };
        let rows = to_device(&batch, device).rows(cut.rows());
        Ok(cut.weigh(LossTerms(vec![("vectors", self.distance(model, &rows))])))
    }

    fn tokens(&self, step: u64) -> train::Result<u64> {
        Ok(self.text.batch(step)?.tokens() as u64)
    }

    fn evaluate(&self, model: &TaskModel, _: u64, device: &Device, _: &mut Watch<'_>) -> Evaluated {
        let batch = to_device(&self.text.batch(self.held_out)?, device);
        let distance = f64::from(self.distance(model, &batch).into_scalar::<f32>());
        let metrics = [("distance".to_owned(), distance)].into();
        Ok(Some(Evaluation { score: -distance, metrics, ..Evaluation::default() }))
    }
}

#[cfg(test)]
mod tests {
    use run_store::checkpoint::CheckpointStore;
    use train::Error;
    use train::engine::{Monitor, Silent, TrainConfig, TrainEvent, train};

    use super::*;
    use crate::text_source::Walks;
    use crate::tiny::bert;

    const WALKS: Walks = Walks { pieces: 64, batch: 8, seq: 12, seed: 3 };

    /// Stops a training after so many steps.
    struct StopAfter(u64, u64);

    impl Monitor for StopAfter {
        fn event(&mut self, event: &TrainEvent<'_>) {
            if let TrainEvent::Step(report) = event {
                self.1 = report.step;
            }
        }

        fn interrupted(&self) -> bool {
            self.1 >= self.0
        }
    }

    #[test]
    fn vectors_come_closer_and_a_training_in_two_parts_gives_the_same_weights() {
        let ((_, teacher), (_, student)) = (bert(4, 1), bert(2, 2));
        let job = SentenceVectors { teacher: &teacher, text: &WALKS, held_out: 999 };
        let config = TrainConfig { log_every: 1, accumulate: 2, ..TrainConfig::new(60, 5e-3) };
        let before = job.evaluate(&student, 0, &Device::flex(), &mut |_, _| std::ops::ControlFlow::Continue(()));
        let whole = train(student.clone(), Device::flex(), &job, &config, None, &mut Silent).unwrap();
        let (before, after) = (before.unwrap().unwrap().score, whole.evaluation.as_ref().unwrap().score);
        assert!(after > 0.5 * before, "{before} before, {after} after");

        let folder = tempfile::tempdir().unwrap();
        let store = CheckpointStore::new(folder.path().join("checkpoints"), "settings");
        let stopped = train(student.clone(), Device::flex(), &job, &config, Some(&store), &mut StopAfter(23, 0)).err();
        assert!(matches!(stopped, Some(Error::Interrupted { step: 23 })), "{stopped:?}");
        let resumed = train(student, Device::flex(), &job, &config, Some(&store), &mut Silent).unwrap();
        assert!(resumed.model.collect_internal() == whole.model.collect_internal(), "the weights differ");
    }
}
