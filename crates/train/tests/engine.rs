//! The step loop: resume, divergence, interruption, best weights.

#[allow(dead_code)]
mod tiny;

use std::ops::ControlFlow;

use bert_core::weights::collect_internal;
use burn::tensor::Device;
use glue_squad::task::TaskKind;
use predict::evaluate::evaluate;
use run_store::checkpoint::CheckpointStore;
use tiny::{Fault, Model, SETTINGS, Trace, Watch, examples, model};
use train::Error;
use train::data::{EvalSet, TaskMix, TrainSet};
use train::engine::{Precision, TrainConfig, Trained};

fn config(steps: u64) -> TrainConfig {
    TrainConfig { checkpoint_every: 4, eval_every: 5, log_every: 1, ..TrainConfig::new(steps, 5e-3) }
}

fn run(
    config: &TrainConfig,
    store: Option<&CheckpointStore>,
    stop_after: Option<u64>,
) -> train::Result<Trained<Model>> {
    tiny::run(config, store, &[], &mut Watch { stop_after, ..Watch::default() }, &mut Trace::default())
}

#[test]
fn a_training_stopped_twice_and_resumed_gives_the_same_weights_bit_for_bit() {
    let config = config(30);
    let straight = run(&config, None, None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = CheckpointStore::new(folder.path().join("run"), "hash");
    for after in [7, 18] {
        let stopped = run(&config, Some(&store), Some(after));
        assert!(matches!(stopped, Err(Error::Interrupted { step }) if step == after), "{stopped:?}");
    }
    let resumed = run(&config, Some(&store), None).unwrap();
    assert!(collect_internal(&straight.model) == collect_internal(&resumed.model), "weights differ");
    assert_eq!((straight.evaluation, straight.step), (resumed.evaluation, resumed.step));
    // A finished training is not trained again.
    let mut trace = Trace::default();
    let again = tiny::run(&config, Some(&store), &[], &mut Watch::default(), &mut trace).unwrap();
    assert_eq!(trace, Trace::default(), "no step was taken");
    assert!(collect_internal(&again.model) == collect_internal(&resumed.model), "weights differ");
}

#[test]
fn weights_do_not_depend_on_the_number_of_threads() {
    let [one, two] = [1, 2].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| collect_internal(&run(&config(30), None, None).unwrap().model))
    });
    assert!(one == two, "weights differ");
}

#[test]
fn in_short_floats_a_training_learns_and_resumes_bit_for_bit() {
    let short = TrainConfig { precision: Precision::Bf16, ..config(200) };
    let straight = run(&short, None, None).unwrap();
    let score = straight.evaluation.as_ref().unwrap().score;
    assert!(score > 0.9, "accuracy {score}");
    let folder = tempfile::tempdir().unwrap();
    let store = CheckpointStore::new(folder.path().join("run"), "hash");
    let stopped = run(&short, Some(&store), Some(33));
    assert!(matches!(stopped, Err(Error::Interrupted { step: 33 })), "{stopped:?}");
    let resumed = run(&short, Some(&store), None).unwrap();
    let weights = collect_internal(&straight.model);
    assert!(weights == collect_internal(&resumed.model), "weights differ");
    let exact = run(&config(200), None, None).unwrap();
    assert!(exact.evaluation.unwrap().score > 0.9, "it learns in f32 too");
    assert!(weights != collect_internal(&exact.model), "products are in short floats");
}

#[test]
fn the_processor_refuses_f16_and_names_what_it_has() {
    let half = TrainConfig { precision: Precision::F16, ..config(2) };
    let message = run(&half, None, None).unwrap_err().to_string();
    assert!(message.contains("f16 is not available") && message.contains("f32 or bf16"), "{message}");
}

#[test]
fn a_loss_that_is_not_finite_stops_the_training_and_names_the_step() {
    let folder = tempfile::tempdir().unwrap();
    let store = CheckpointStore::new(folder.path().join("run"), "hash");
    let (faults, mut trace) = ([((6, 0), Fault::NotANumber)], Trace::default());
    let settings = TrainConfig { eval_every: 0, ..config(30) };
    let result = tiny::run(&settings, Some(&store), &faults, &mut Watch::default(), &mut trace);
    let message = result.unwrap_err().to_string();
    assert!(message.contains("step 6") && message.contains("label"), "{message}");
    assert_eq!(store.latest().unwrap().checkpoint.unwrap().step(), 4, "the last good checkpoint stays");
}

#[test]
fn a_score_that_is_not_finite_is_asked_for_again_when_the_training_is_resumed() {
    for last in [6, 10] {
        let settings = TrainConfig { eval_every: 3, checkpoint_every: 0, ..config(last) };
        let straight = run(&settings, None, None).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = CheckpointStore::new(folder.path().join("run"), "hash");
        let faults = [((5, 0), Fault::Evaluation)];
        let mut trace = Trace::default();
        for _ in 0..2 {
            let result = tiny::run(&settings, Some(&store), &faults, &mut Watch::default(), &mut trace);
            let message = result.unwrap_err().to_string();
            assert!(message.contains("step 6") && message.contains("evaluation score"), "{message}");
            assert_eq!(store.latest().unwrap().checkpoint.unwrap().step(), 6, "the better weights of step 3 are saved");
        }
        assert_eq!(trace.asked.keys().map(|(step, _)| *step).max(), Some(5));
        let resumed = run(&settings, Some(&store), None).unwrap();
        assert_eq!((resumed.evaluation, resumed.step), (straight.evaluation, straight.step));
        assert!(collect_internal(&resumed.model) == collect_internal(&straight.model), "weights differ");
    }
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
fn an_answer_of_nan_is_an_error_and_not_a_score() {
    let device = Device::flex();
    let mut broken = model(&device);
    let head = broken.heads[0].dense.as_mut().unwrap();
    head.bias = head.bias.take().map(|b| b.map(|t| t * f32::NAN));
    let set = EvalSet::new(TaskKind::Sst2, examples(10), 0, SETTINGS).unwrap();
    let evaluated = evaluate(&broken, &[(0, set)], &device, &mut |_, _| ControlFlow::Continue(()));
    let message = evaluated.unwrap_err().to_string();
    assert!(message.contains("sst-2") && message.contains("not finite"), "{message}");
}

#[test]
fn a_hold_out_of_nothing_is_refused_with_the_key_to_change() {
    let set = TrainSet::new(TaskKind::Sst2, examples(22), 0, SETTINGS).unwrap();
    let message = set.hold_out(0.01, SETTINGS.seed, SETTINGS).unwrap_err().to_string();
    assert!(message.contains("sst-2") && message.contains("data.hold_out"), "{message}");
}
