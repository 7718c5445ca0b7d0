//! A teacher that counts how often it is asked.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use bert_core::{BertConfig, EncodeOptions, Encoder, EncoderOutput, StackedFfn, TaskModel, TokenBatch};
use burn::tensor::Tensor;
use kd::job::Teacher;

pub struct Counted {
    pub config: BertConfig,
    pub model: TaskModel<StackedFfn>,
    pub asked: AtomicU64,
}

impl Counted {
    pub fn of(config: BertConfig, model: TaskModel<StackedFfn>) -> Self {
        Self { config, model, asked: AtomicU64::new(0) }
    }

    fn count(&self) {
        self.asked.fetch_add(1, Relaxed);
    }
}

impl Teacher for Counted {
    fn states(&self, batch: &TokenBatch, options: EncodeOptions) -> EncoderOutput {
        self.count();
        self.model.encode(batch, options)
    }
    fn answers(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> (EncoderOutput, Tensor<2>) {
        self.count();
        self.model.forward(batch, head, options)
    }
    fn spans(&self, _: &TokenBatch, _: usize, _: EncodeOptions) -> (EncoderOutput, Tensor<3>) {
        unreachable!("no task of spans")
    }
}
