//! A training so small that hundreds of them take seconds, and a job that keeps what it was asked.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bert_core::{BertConfig, Parts, TaskModel, init};
use burn::tensor::Device;
use glue_squad::features::Features;
use glue_squad::task::{Label, TaskKind};
use predict::heads::task_head;
use run_store::checkpoint::CheckpointStore;
use train::data::{BatchSettings, EvalSet, TaskMix, TrainSet};
use train::engine::{
    Devices, Evaluation, Job, LossTerms, MicroBatch, Monitor, TrainConfig, TrainEvent, Trained, train,
};
use train::fine_tune::FineTune;

pub type Model = TaskModel;

pub const SETTINGS: BatchSettings = BatchSettings::new(4, 8, 5);

/// Sequences of token 5 or 6; the label is which of the two stands first.
pub fn examples(n: usize) -> Vec<Features> {
    let row = |i: usize| {
        let class = i % 2;
        let ids = vec![1, 5 + class as u32, 7 + (i % 3) as u32, 2];
        Features { type_ids: vec![0; ids.len()], ids, label: Some(Label::Class(class)), words: None, second: None }
    };
    (0..n).map(row).collect()
}

/// A model with dropout: a resumed training must draw the same masks.
pub fn model(device: &Device) -> Model {
    model_with(0.2, device)
}

/// The same with this dropout, half of it in attention.
pub fn model_with(dropout: f64, device: &Device) -> Model {
    let mut config = BertConfig::bert(12, 8, 2, 2, 16);
    config.max_position_embeddings = 8;
    config.hidden_dropout_prob = dropout;
    config.attention_probs_dropout_prob = dropout / 2.0;
    config.task_heads = vec![task_head(TaskKind::Sst2.task())];
    let model = TaskModel::new(&config, Parts::POOLER, device).unwrap();
    init::normal(model, 3, 0.1)
}

/// Data of 22 examples: five and a half batches in an epoch.
pub fn data() -> TaskMix {
    TaskMix::new(vec![TrainSet::new(TaskKind::Sst2, examples(22), 0, SETTINGS).unwrap()], 9).unwrap()
}

pub fn eval() -> Vec<(usize, EvalSet)> {
    vec![(0, EvalSet::new(TaskKind::Sst2, examples(10), 0, SETTINGS).unwrap())]
}

/// What goes wrong at a part of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// The loss becomes NaN.
    NotANumber,
    /// The loss is finite, the scores after the step are not.
    Evaluation,
    /// The power goes: an error that is no divergence, after which nothing is written.
    Power,
}

/// Fine-tuning that keeps the examples of every part, and fails where it is told to.
pub struct Recording<'a> {
    pub inner: FineTune<'a>,
    pub faults: BTreeMap<(u64, u32), Fault>,
    pub asked: Mutex<BTreeMap<(u64, u32), Vec<usize>>>,
}

impl Job<Model> for Recording<'_> {
    fn loss(&self, model: &Model, part: MicroBatch, device: &Device) -> train::Result<LossTerms> {
        let fault = self.faults.get(&(part.step, part.index));
        if fault == Some(&Fault::Power) {
            return Err(train::Error::Mismatch("the power is gone".into()));
        }
        let (_, batch) = self.inner.data.batch(part.step)?;
        let rows = part.cut(batch.batch).map_or(0..0, |cut| cut.rows());
        self.asked.lock().unwrap().insert((part.step, part.index), batch.indices[rows].to_vec());
        let mut terms = self.inner.loss(model, part, device)?;
        if fault == Some(&Fault::NotANumber) {
            terms.0[0].1 = terms.0[0].1.clone() * f32::NAN;
        }
        Ok(terms)
    }

    fn tokens(&self, step: u64) -> train::Result<u64> {
        Job::<Model>::tokens(&self.inner, step)
    }

    fn evaluate(
        &self,
        model: &Model,
        steps: u64,
        device: &Device,
        watch: &mut train::engine::Watch<'_>,
    ) -> train::Result<Option<Evaluation>> {
        let mut evaluation = self.inner.evaluate(model, steps, device, watch)?;
        if let (Some(evaluation), Some(Fault::Evaluation)) = (&mut evaluation, self.faults.get(&(steps - 1, 0))) {
            evaluation.score = f64::NAN;
        }
        Ok(evaluation)
    }
}

/// Keeps what happens, and asks to stop after a step.
#[derive(Default)]
pub struct Watch {
    pub stop_after: Option<u64>,
    /// Asks to stop in the evaluation after this step, once so many examples are scored.
    pub stop_in: Option<(u64, usize)>,
    pub scored: Option<(u64, usize)>,
    pub done: u64,
    /// Bits of loss and gradient norm by step.
    pub losses: BTreeMap<u64, (u64, u64)>,
    pub evaluations: BTreeMap<u64, u64>,
    /// Tokens by the step that reported them.
    pub tokens: BTreeMap<u64, u64>,
    /// Everything else, in words.
    pub said: Vec<String>,
}

impl Monitor for Watch {
    fn event(&mut self, event: &TrainEvent<'_>) {
        match event {
            TrainEvent::Step(r) => {
                self.done = r.step;
                self.tokens.insert(r.step, r.tokens);
                self.losses.insert(r.step, (r.loss.to_bits(), r.grad_norm.to_bits()));
            }
            TrainEvent::Evaluating { step, done, total } => {
                assert_eq!(*total, 10);
                self.scored = Some((*step, *done));
            }
            TrainEvent::Evaluated { step, evaluation, .. } => {
                self.scored = None;
                self.evaluations.insert(*step, evaluation.score.to_bits());
            }
            TrainEvent::NotFinite { step, .. } => {
                self.done = step + 1;
                self.said.push(format!("{event:?}"));
            }
            other => self.said.push(format!("{other:?}")),
        }
    }

    fn interrupted(&self) -> bool {
        self.stop_after.is_some_and(|after| self.done >= after)
            || self.stop_in.is_some_and(|at| self.scored == Some(at))
    }
}

/// What a training was asked and what it said, whether in one process or in several.
#[derive(Debug, Default, PartialEq)]
pub struct Trace {
    pub asked: BTreeMap<(u64, u32), Vec<usize>>,
    pub losses: BTreeMap<u64, (u64, u64)>,
    pub evaluations: BTreeMap<u64, u64>,
}

/// Trains with these faults; the trace is added to `trace`.
pub fn run(
    config: &TrainConfig,
    store: Option<&CheckpointStore>,
    faults: &[((u64, u32), Fault)],
    watch: &mut Watch,
    trace: &mut Trace,
) -> train::Result<Trained<Model>> {
    run_on(Device::flex(), config, store, faults, watch, trace)
}

/// [`run`] on these devices.
pub fn run_on(
    devices: impl Into<Devices>,
    config: &TrainConfig,
    store: Option<&CheckpointStore>,
    faults: &[((u64, u32), Fault)],
    watch: &mut Watch,
    trace: &mut Trace,
) -> train::Result<Trained<Model>> {
    let device = Device::flex();
    let (data, eval) = (data(), eval());
    let inner = FineTune { data: &data, heads: vec![0], eval: &eval };
    let job = Recording { inner, faults: faults.iter().copied().collect(), asked: Mutex::default() };
    let result = train(model(&device), devices, &job, config, store, watch);
    trace.asked.append(&mut job.asked.lock().unwrap());
    trace.losses.append(&mut watch.losses);
    trace.evaluations.append(&mut watch.evaluations);
    result
}
