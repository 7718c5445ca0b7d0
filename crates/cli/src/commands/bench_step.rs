//! `bench --teacher`: how long one step of distillation takes.

use std::time::Instant;

use bert_core::{BertConfig, Parts, TaskModel, TokenBatch};
use burn::tensor::Device;
use kd::job::RepeatedBatch;
use kd::objective::Plan;
use train::engine::{Monitor, Precision, TrainConfig, TrainEvent, train};

use crate::error::CliError;
use crate::interrupt;

/// Only a step's time matters, and a small rate keeps random weights finite.
const LEARNING_RATE: f64 = 1e-4;

/// What to time.
pub struct Distillation<'a> {
    /// Learns; as it is in memory, its projection to the teacher's width is made here.
    pub student: &'a BertConfig,
    pub teacher: (&'a BertConfig, &'a TaskModel),
    pub tokens: TokenBatch,
    pub device: &'a Device,
    pub precision: Precision,
    pub seed: u64,
}

impl Distillation<'_> {
    /// Milliseconds of `runs` steps after `warm_up` others: forward passes of both, attention scores and hidden states of all
    /// layers compared, backward pass, clipping and update; without dropout.
    ///
    /// # Errors
    /// The models do not match (layers, heads), the loss is not finite, or the user interrupts.
    pub fn times(&self, warm_up: u32, runs: u32) -> Result<Vec<f64>, CliError> {
        let (teacher_config, teacher) = self.teacher;
        let config = BertConfig {
            fit_size: Some(teacher_config.state_width()),
            hidden_dropout_prob: 0.0,
            attention_probs_dropout_prob: 0.0,
            ..self.student.clone()
        };
        let plan = Plan::between(&config, teacher_config)?;
        let student = TaskModel::new(&config, Parts::default(), self.device)?.initialized(&config, self.seed);
        let steps = u64::from(warm_up + runs);
        let settings =
            TrainConfig { log_every: 1, precision: self.precision, ..TrainConfig::new(steps, LEARNING_RATE) };
        let mut clock = Clock { last: Instant::now(), times: Vec::new() };
        let job = RepeatedBatch { teacher, plan: &plan, tokens: &self.tokens };
        train(student, self.device, &job, &settings, None, &mut clock)?;
        Ok(clock.times.split_off(warm_up as usize))
    }
}

struct Clock {
    last: Instant,
    times: Vec<f64>,
}

impl Monitor for Clock {
    fn event(&mut self, event: &TrainEvent<'_>) {
        if matches!(event, TrainEvent::Step(_)) {
            self.times.push(self.last.elapsed().as_secs_f64() * 1e3);
            self.last = Instant::now();
        }
    }

    fn interrupted(&self) -> bool {
        interrupt::requested()
    }
}
