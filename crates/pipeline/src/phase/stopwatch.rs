//! How long one step of a training takes here: a few steps of it, from everywhere in its order of batches, at random weights.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bert_core::{EncodeOptions, EncoderOutput, TaskModel, TokenBatch};
use burn::tensor::{Device, Int, Tensor};
use kd::job::Teacher;
use train::engine::{Evaluation, Job, LossTerms, MicroBatch, Monitor, TrainConfig, TrainEvent, Watch, train};

use super::Context;

/// Steps that are taken, the first of which is not counted: it makes what the others use again.
const STEPS: u64 = 4;
/// After this time no further step is taken, once one was counted.
const ENOUGH: Duration = Duration::from_secs(2);

/// What a step takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct StepTime {
    /// Seconds of a step.
    pub seconds: f64,
    /// Seconds of these that the teacher took.
    pub teacher: f64,
}

/// Takes a few of the `steps` steps of a training of `model` on `job` by `settings`, whose teacher tells `spent` how long it took; `None`
/// where they cannot be taken, such as a loss that is not finite at random weights. Nothing of it stays.
pub(super) fn step_time(
    run: &Context<'_>,
    model: TaskModel,
    job: &dyn Job<TaskModel>,
    settings: TrainConfig,
    spent: &AtomicU64,
    memory: &mut Option<f64>,
) -> Option<StepTime> {
    let spread = Spread { job, steps: settings.steps };
    // What decides how long a step takes; a schedule of another length means nothing here.
    let config = TrainConfig {
        optimizer: settings.optimizer,
        groups: settings.groups,
        clip_norm: settings.clip_norm,
        accumulate: settings.accumulate,
        seed: settings.seed,
        precision: settings.precision,
        log_every: 1,
        ..TrainConfig::new(STEPS, settings.learning_rate)
    };
    let mut clock = Clock { run, spent, ends: Vec::new(), memory };
    // One that was long enough ends as if it had been interrupted.
    let _ = train(model, &run.devices, &spread, &config, None, &mut clock);
    let (first, last) = (clock.ends.first()?, clock.ends.last()?);
    let counted = clock.ends.len() - 1;
    let mean = |from: Duration, to: Duration| to.saturating_sub(from).as_secs_f64() / counted as f64;
    (counted > 0).then(|| StepTime {
        seconds: last.0.duration_since(first.0).as_secs_f64() / counted as f64,
        teacher: mean(first.1, last.1),
    })
}

/// Notes when steps end, and stops after the last one that is needed.
struct Clock<'a, 'c> {
    run: &'a Context<'c>,
    spent: &'a AtomicU64,
    /// When each step ended, and how long the teacher had worked by then.
    ends: Vec<(Instant, Duration)>,
    memory: &'a mut Option<f64>,
}

impl Monitor for Clock<'_, '_> {
    fn event(&mut self, event: &TrainEvent<'_>) {
        if matches!(event, TrainEvent::Step(_)) {
            self.ends.push((Instant::now(), Duration::from_nanos(self.spent.load(Ordering::Relaxed))));
            let now = self.run.host.memory_mib();
            *self.memory = [*self.memory, now].into_iter().flatten().reduce(f64::max);
        }
    }

    fn interrupted(&self) -> bool {
        let long = |first: &(Instant, Duration)| self.ends.len() > 1 && first.0.elapsed() > ENOUGH;
        self.run.host.stop().load(Ordering::SeqCst) || self.ends.first().is_some_and(long)
    }
}

/// A training whose few steps are those of another from its first to its last.
struct Spread<'a> {
    job: &'a dyn Job<TaskModel>,
    steps: u64,
}

impl Spread<'_> {
    fn step(&self, step: u64) -> u64 {
        step * self.steps / STEPS
    }
}

impl Job<TaskModel> for Spread<'_> {
    fn loss(&self, model: &TaskModel, part: MicroBatch, device: &Device) -> train::Result<LossTerms> {
        self.job.loss(model, MicroBatch { step: self.step(part.step), ..part }, device)
    }

    fn tokens(&self, step: u64) -> train::Result<u64> {
        self.job.tokens(self.step(step))
    }

    fn evaluate(&self, _: &TaskModel, _: u64, _: &Device, _: &mut Watch<'_>) -> train::Result<Option<Evaluation>> {
        Ok(None)
    }
}

/// A teacher that tells how long it works.
pub(super) struct Timed<'a> {
    pub(super) teacher: Box<dyn Teacher + 'a>,
    /// Nanoseconds.
    pub(super) spent: &'a AtomicU64,
}

impl Timed<'_> {
    fn timed<R>(&self, work: impl FnOnce(&dyn Teacher) -> R) -> R {
        let start = Instant::now();
        let result = work(self.teacher.as_ref());
        let spent = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.spent.fetch_add(spent, Ordering::Relaxed);
        result
    }
}

impl Teacher for Timed<'_> {
    fn states(&self, batch: &TokenBatch, head: Option<usize>, options: EncodeOptions) -> EncoderOutput {
        self.timed(|teacher| teacher.states(batch, head, options))
    }

    fn logits(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> (EncoderOutput, Tensor<2>) {
        self.timed(|teacher| teacher.logits(batch, head, options))
    }

    fn span_logits(&self, batch: &TokenBatch, head: usize, options: EncodeOptions) -> (EncoderOutput, Tensor<3>) {
        self.timed(|teacher| teacher.span_logits(batch, head, options))
    }

    fn word_logits(
        &self,
        batch: &TokenBatch,
        positions: Tensor<1, Int>,
        options: EncodeOptions,
    ) -> Option<(EncoderOutput, Tensor<2>)> {
        self.timed(|teacher| teacher.word_logits(batch, positions, options))
    }
}
