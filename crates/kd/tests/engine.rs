//! The step loop: resume, divergence, interruption, best weights.

use std::cell::Cell;

use bert_core::weights::{Tensors, collect_internal};
use bert_core::{BertConfig, StackedFfn, TaskModel, init};
use burn::tensor::Device;
use durable::checkpoint::CheckpointStore;
use glue_squad::features::Features;
use glue_squad::task::{Label, TaskKind};
use kd::Error;
use kd::data::{BatchSettings, EvalSet, TaskMix, TrainSet, task_head};
use kd::engine::{Evaluation, Job, Monitor, Part, Precision, Silent, TrainConfig, TrainEvent, Trained, train};
use kd::job::FineTune;
use kd::objective::LossTerms;

type Model = TaskModel<StackedFfn>;

const SETTINGS: BatchSettings = BatchSettings { batch_size: 4, max_len: 8, seed: 5 };

/// Sequences of token 5 or 6; the label is which of the two stands first.
fn examples(n: usize) -> Vec<Features> {
    let row = |i: usize| {
        let class = i % 2;
        let ids = vec![1, 5 + class as u32, 7 + (i % 3) as u32, 2];
        Features { type_ids: vec![0; ids.len()], ids, label: Some(Label::Class(class)) }
    };
    (0..n).map(row).collect()
}

fn model(device: &Device) -> Model {
    let mut config = BertConfig::bert(12, 8, 2, 2, 16);
    config.max_position_embeddings = 8;
    // Dropout on: a resumed training must draw the same masks.
    config.hidden_dropout_prob = 0.2;
    config.attention_probs_dropout_prob = 0.1;
    config.task_heads = vec![task_head(TaskKind::Sst2)];
    let model = TaskModel::new(&config, true, false, device, |_| StackedFfn::new(&config, device)).unwrap();
    init::normal(model, 3, 0.1)
}

fn config(steps: u64) -> TrainConfig {
    TrainConfig { checkpoint_every: 4, eval_every: 5, log_every: 1, ..TrainConfig::new(steps, 5e-3) }
}

struct Stop {
    after: u64,
    seen: Cell<u64>,
}

impl Monitor for Stop {
    fn event(&mut self, event: &TrainEvent<'_>) {
        if let TrainEvent::Step(report) = event {
            self.seen.set(report.step);
        }
    }
    fn interrupted(&self) -> bool {
        self.seen.get() >= self.after
    }
}

fn run(store: Option<&CheckpointStore>, monitor: &mut dyn Monitor) -> kd::Result<Trained<Model>> {
    run_for(30, store, monitor)
}

fn run_for(steps: u64, store: Option<&CheckpointStore>, monitor: &mut dyn Monitor) -> kd::Result<Trained<Model>> {
    run_with(&config(steps), store, monitor)
}

fn run_with(
    config: &TrainConfig,
    store: Option<&CheckpointStore>,
    monitor: &mut dyn Monitor,
) -> kd::Result<Trained<Model>> {
    let device = Device::flex();
    let set = TrainSet::new(TaskKind::Sst2, examples(22), 0, SETTINGS)?;
    let data = TaskMix::new(vec![set], 9)?;
    let eval = [(0, EvalSet::new(TaskKind::Sst2, examples(10), 0, SETTINGS)?)];
    let job = FineTune { data: &data, heads: vec![0], eval: &eval };
    train(model(&device), &device, &job, config, store, monitor)
}

#[test]
fn a_training_stopped_twice_and_resumed_gives_the_same_weights_bit_for_bit() {
    let straight = run(None, &mut Silent).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = CheckpointStore::new(folder.path().join("run"), "hash");
    for after in [7, 18] {
        let stopped = run(Some(&store), &mut Stop { after, seen: Cell::new(0) });
        assert!(matches!(stopped, Err(Error::Interrupted { step }) if step == after), "{stopped:?}");
    }
    let resumed = run(Some(&store), &mut Silent).unwrap();
    assert!(collect_internal(&straight.model) == collect_internal(&resumed.model), "weights differ");
    assert_eq!((straight.evaluation, straight.step), (resumed.evaluation, resumed.step));
    // A finished training is not trained again.
    let mut monitor = Stop { after: u64::MAX, seen: Cell::new(0) };
    let again = run(Some(&store), &mut monitor).unwrap();
    assert_eq!(monitor.seen.get(), 0, "no step was taken");
    assert!(collect_internal(&again.model) == collect_internal(&resumed.model), "weights differ");
}

#[test]
fn weights_do_not_depend_on_the_number_of_threads() {
    let [one, two] = [1, 2].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| collect_internal(&run(None, &mut Silent).unwrap().model))
    });
    assert!(one == two, "weights differ");
}

#[test]
fn in_short_floats_a_training_learns_and_resumes_bit_for_bit() {
    let config = TrainConfig { precision: Precision::Bf16, ..config(200) };
    let straight = run_with(&config, None, &mut Silent).unwrap();
    let score = straight.evaluation.as_ref().unwrap().score;
    assert!(score > 0.9, "accuracy {score}");
    let folder = tempfile::tempdir().unwrap();
    let store = CheckpointStore::new(folder.path().join("run"), "hash");
    let stopped = run_with(&config, Some(&store), &mut Stop { after: 33, seen: Cell::new(0) });
    assert!(matches!(stopped, Err(Error::Interrupted { step: 33 })), "{stopped:?}");
    let resumed = run_with(&config, Some(&store), &mut Silent).unwrap();
    let weights = collect_internal(&straight.model);
    assert!(weights == collect_internal(&resumed.model), "weights differ");
    let exact = run_for(200, None, &mut Silent).unwrap();
    assert!(weights != collect_internal(&exact.model), "products are in short floats");
}

#[test]
fn a_model_learns_what_one_token_decides() {
    let trained = run_for(200, None, &mut Silent).unwrap();
    let evaluation = trained.evaluation.unwrap();
    assert!(evaluation.score > 0.9, "accuracy {}", evaluation.score);
}

/// A loss that becomes NaN at a step.
struct Diverging<'a> {
    inner: FineTune<'a>,
    at: u64,
}

impl Job<Model> for Diverging<'_> {
    fn loss(&self, model: &Model, part: Part, device: &Device) -> kd::Result<LossTerms> {
        let mut terms = self.inner.loss(model, part, device)?;
        if part.step == self.at {
            terms.0[0].1 = terms.0[0].1.clone() * f32::NAN;
        }
        Ok(terms)
    }
    fn evaluate(&self, model: &Model, steps: u64, device: &Device) -> kd::Result<Option<Evaluation>> {
        self.inner.evaluate(model, steps, device)
    }
}

#[test]
fn a_loss_that_is_not_finite_stops_the_training_and_names_the_step() {
    let device = Device::flex();
    let set = TrainSet::new(TaskKind::Sst2, examples(22), 0, SETTINGS).unwrap();
    let data = TaskMix::new(vec![set], 9).unwrap();
    let inner = FineTune { data: &data, heads: vec![0], eval: &[] };
    let job = Diverging { inner, at: 6 };
    let folder = tempfile::tempdir().unwrap();
    let store = CheckpointStore::new(folder.path().join("run"), "hash");
    let result = train(model(&device), &device, &job, &config(30), Some(&store), &mut Silent);
    let message = result.unwrap_err().to_string();
    assert!(message.contains("step 6") && message.contains("label"), "{message}");
    assert_eq!(store.latest().unwrap().checkpoint.unwrap().step(), 4, "the last good checkpoint stays");
}

#[test]
fn tasks_are_mixed_in_proportion_and_every_batch_holds_one_task() {
    let set = |n| TrainSet::new(TaskKind::Sst2, examples(n), 0, SETTINGS).unwrap();
    let mix = TaskMix::new(vec![set(40), set(20)], 1).unwrap();
    assert_eq!(mix.batches_per_epoch(), 15);
    let mut counts = [0; 2];
    for step in 0..15 {
        counts[mix.batch(step).unwrap().0] += 1;
    }
    assert_eq!(counts, [10, 5]);
    assert_eq!(mix.batch(21).unwrap(), mix.batch(21).unwrap(), "a step is a function of its number");
}

#[test]
fn optimiser_state_survives_a_file() {
    let trained = run(None, &mut Silent).unwrap();
    let tensors = collect_internal(&trained.model);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    tensors.write_safetensors(&path).unwrap();
    assert_eq!(Tensors::read_safetensors(&path).unwrap(), tensors);
}

#[test]
fn an_answer_of_nan_is_an_error_and_not_a_score() {
    let device = Device::flex();
    let mut broken = model(&device);
    let head = &mut broken.heads[0].dense;
    head.bias = head.bias.take().map(|b| b.map(|t| t * f32::NAN));
    let set = EvalSet::new(TaskKind::Sst2, examples(10), 0, SETTINGS).unwrap();
    let message = kd::evaluate::score(&broken, 0, &set, &device).unwrap_err().to_string();
    assert!(message.contains("sst-2") && message.contains("not finite"), "{message}");
}

#[test]
fn a_hold_out_of_nothing_is_refused_with_the_key_to_change() {
    let set = TrainSet::new(TaskKind::Sst2, examples(22), 0, SETTINGS).unwrap();
    let message = set.hold_out(0.01, SETTINGS).unwrap_err().to_string();
    assert!(message.contains("sst-2") && message.contains("data.hold_out"), "{message}");
}
