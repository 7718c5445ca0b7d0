//! A teacher on several devices.

use bert_core::{EncodeOptions, EncoderOutput, TaskModel, TokenBatch};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use train::engine::Devices;

use super::{Scored, Teacher};

/// A teacher with its weights on every device of a training; the one on the device of the batch answers.
#[derive(Debug)]
pub struct ReplicatedTeacher {
    /// A device once, the main one first.
    copies: Vec<(Device, TaskModel)>,
}

impl ReplicatedTeacher {
    /// Copies `teacher`, without autodiff and on the main device, to the others. On a device that is there already it shares
    /// the weights.
    pub fn new(teacher: &TaskModel, devices: &Devices) -> Self {
        let mut copies: Vec<(Device, TaskModel)> = Vec::new();
        for device in devices.all() {
            if copies.iter().all(|(known, _)| known != device) {
                let copy = if copies.is_empty() { teacher.clone() } else { teacher.clone().to_device(device) };
                copies.push((device.clone(), copy));
            }
        }
        Self { copies }
    }

    /// Returns the copy of the teacher on the batch's device.
    ///
    /// # Panics
    /// The batch is on a device that the teacher was not made for.
    fn near(&self, batch: &TokenBatch) -> &TaskModel {
        let device = batch.mask.device();
        let found = self.copies.iter().find(|(known, _)| *known == device);
        &found.expect("a batch on a device of the training").1
    }
}

impl Teacher for ReplicatedTeacher {
    fn states(&self, batch: &TokenBatch, head: Option<usize>, options: EncodeOptions) -> EncoderOutput {
        self.near(batch).states(batch, head, options)
    }

    fn logits(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> Scored<2> {
        self.near(batch).logits(batch, head, options)
    }

    fn span_logits(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> Scored<3> {
        self.near(batch).span_logits(batch, head, options)
    }

    fn word_logits(&self, batch: &TokenBatch, at: Tensor<1, Int>, options: EncodeOptions) -> Option<Scored<2>> {
        Teacher::word_logits(self.near(batch), batch, at, options)
    }
}
