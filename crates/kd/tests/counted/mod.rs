//! A teacher that counts what it is asked for.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use bert_core::{BertConfig, EncodeOptions, EncoderOutput, TaskModel, TokenBatch};
use burn::tensor::{Int, Tensor};
use kd::job::{Scored, Teacher};

pub struct Counted {
    pub config: BertConfig,
    pub model: TaskModel,
    states: AtomicU64,
    answers: AtomicU64,
    words: AtomicU64,
}

impl Counted {
    pub fn of(config: BertConfig, model: TaskModel) -> Self {
        let none = AtomicU64::default;
        Self { config, model, states: none(), answers: none(), words: none() }
    }

    /// How often it was asked for layers alone, for answers and for words.
    pub fn asked(&self) -> [u64; 3] {
        [&self.states, &self.answers, &self.words].map(|count| count.load(Relaxed))
    }

    /// How often it was asked for anything.
    pub fn passes(&self) -> u64 {
        self.asked().iter().sum()
    }
}

impl Teacher for Counted {
    fn states(&self, batch: &TokenBatch, _: Option<usize>, options: EncodeOptions) -> EncoderOutput {
        self.states.fetch_add(1, Relaxed);
        self.model.encode(batch, options)
    }
    fn logits(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> Scored<2> {
        self.answers.fetch_add(1, Relaxed);
        self.model.forward(batch, head, options)
    }
    fn span_logits(&self, _: &TokenBatch, _: usize, _: EncodeOptions) -> Scored<3> {
        unreachable!("no task of spans")
    }
    fn word_logits(&self, batch: &TokenBatch, at: Tensor<1, Int>, options: EncodeOptions) -> Option<Scored<2>> {
        self.words.fetch_add(1, Relaxed);
        Teacher::word_logits(&self.model, batch, at, options)
    }
}
