//! Accumulation, groups, kept checkpoints, early stop, skipped steps.

#[allow(dead_code)]
mod tiny;

use bert_core::weights::{Tensors, collect_internal};
use run_store::checkpoint::CheckpointStore;
use tiny::{Fault, Model, Trace, Watch, run};
use train::Error;
use train::engine::{NotFinite, TrainConfig, Trained, keep_result, reached};
use train::optim::{Group, Schedule};

fn config(steps: u64) -> TrainConfig {
    TrainConfig { log_every: 1, ..TrainConfig::new(steps, 5e-3) }
}

fn trained(config: &TrainConfig) -> Trained<Model> {
    run(config, None, &[], &mut Watch::default(), &mut Trace::default()).unwrap()
}

fn weights(config: &TrainConfig) -> Tensors {
    collect_internal(&trained(config).model)
}

#[test]
fn parts_of_a_step_have_the_examples_of_the_whole_and_parts_without_any_do_no_harm() {
    let asked = |accumulate: u32| {
        let mut trace = Trace::default();
        let config = TrainConfig { accumulate, ..config(7) };
        run(&config, None, &[], &mut Watch::default(), &mut trace).unwrap();
        let mut steps = vec![Vec::new(); 7];
        for ((step, _), mut rows) in trace.asked {
            steps[step as usize].append(&mut rows);
        }
        steps
    };
    // Batches of 4, and of 2 at the end of an epoch: with 3 parts, one is empty there.
    let whole = asked(1);
    assert!(whole.iter().any(|step| step.len() == 2) && whole.iter().all(|step| step.len() >= 2));
    assert_eq!(asked(2), whole);
    assert_eq!(asked(3), whole);
}

#[test]
fn a_frozen_group_stays_and_another_factor_moves_otherwise() {
    let device = burn::tensor::Device::flex();
    let start = collect_internal(&tiny::model(&device));
    let plain = weights(&config(3));
    let frozen = Group { frozen: true, ..Group::new("encoder.embeddings.*") };
    let slow = Group { factor: 0.1, ..Group::new("encoder.layers.0.*") };
    let grouped = weights(&TrainConfig { groups: vec![frozen, slow], ..config(3) });
    let moved = |tensors: &Tensors, name: &str| -> f64 {
        let pairs = tensors.0[name].data.iter().zip(&start.0[name].data);
        pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
    };
    let (mut embeddings, mut slowed) = (0, 0);
    for name in start.0.keys() {
        let (without, with) = (moved(&plain, name), moved(&grouped, name));
        if name.starts_with("encoder.embeddings.") {
            assert_eq!(with, 0.0, "{name}");
            embeddings += 1;
        } else if name.starts_with("encoder.layers.0.") && without > 1e-4 {
            assert!(with < 0.2 * without, "{name}: {with} of {without}");
            slowed += 1;
        } else if without > 1e-4 {
            assert!(with > 0.5 * without, "{name}: {with} of {without}");
        }
    }
    assert!(embeddings > 2 && slowed > 5, "{embeddings} {slowed}");
}

#[test]
fn a_group_that_has_no_parameter_is_refused_with_the_name_of_one() {
    let groups = vec![Group { frozen: true, ..Group::new("embeddings.*") }];
    let settings = TrainConfig { groups, ..config(3) };
    let message = run(&settings, None, &[], &mut Watch::default(), &mut Trace::default()).unwrap_err().to_string();
    assert!(message.contains("`embeddings.*`") && message.contains("encoder."), "{message}");
}

#[test]
fn the_schedule_decides_the_learning_rate_of_every_step() {
    let at = |schedule, warmup_steps| {
        let settings = TrainConfig { schedule, warmup_steps: Some(warmup_steps), ..config(6) };
        weights(&settings)
    };
    let steps = |at: u64| Schedule::Steps { at: vec![at], factors: vec![0.0] };
    let constant = Schedule::Constant {};
    let stopped = TrainConfig { schedule: constant.clone(), warmup_ratio: 0.0, ..config(4) };
    assert!(at(steps(4), 0) == weights(&stopped), "at a rate of 0 weights stay as they are");
    assert!(at(constant.clone(), 3) != at(constant, 0), "the warm-up counts");
}

#[test]
fn the_last_checkpoints_stay_and_each_holds_the_best_weights() {
    let folder = tempfile::tempdir().unwrap();
    for (keep_last, expected) in [(1, vec![12]), (3, vec![8, 10, 12])] {
        let store = CheckpointStore::new(folder.path().join(keep_last.to_string()), "hash");
        let settings = TrainConfig { keep_last, checkpoint_every: 2, eval_every: 4, ..config(12) };
        run(&settings, Some(&store), &[], &mut Watch::default(), &mut Trace::default()).unwrap();
        assert_eq!(store.steps().unwrap(), expected);
        for step in expected {
            assert!(store.load(step).unwrap().file("best.safetensors").unwrap().is_file());
        }
    }
}

#[test]
fn of_a_finished_training_the_result_is_enough_and_one_that_goes_on_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let files = |store: &CheckpointStore, step: u64| -> Vec<String> {
        store.load(step).unwrap().files().iter().map(|file| file.name.clone()).collect()
    };
    for (name, eval_every, kept) in [("evaluated", 4, "best.safetensors"), ("last", 0, "model.safetensors")] {
        let store = CheckpointStore::new(folder.path().join(name), "hash");
        let settings = TrainConfig { checkpoint_every: 3, eval_every, keep_best: eval_every > 0, ..config(12) };
        let go = |watch: &mut Watch| run(&settings, Some(&store), &[], watch, &mut Trace::default());
        let mut stop = Watch { stop_after: Some(7), ..Watch::default() };
        assert!(go(&mut stop).is_err());
        keep_result(&store).unwrap();
        assert_eq!(store.steps().unwrap(), [6, 7], "{name}: it is not finished");
        assert!(files(&store, 7).contains(&"optimizer.safetensors".to_string()));

        let whole = go(&mut Watch::default()).unwrap();
        assert_eq!(store.steps().unwrap(), [9, 12]);
        for round in 1..=2 {
            keep_result(&store).unwrap();
            assert_eq!(
                (store.steps().unwrap(), files(&store, 12)),
                (vec![12], vec![kept.to_string()]),
                "round {round}"
            );
            assert!(reached(&store).unwrap().finished);
            let again = go(&mut Watch::default()).unwrap();
            assert!(collect_internal(&again.model) == collect_internal(&whole.model), "{name}");
            assert_eq!(
                (again.evaluation, again.step, again.steps),
                (whole.evaluation.clone(), whole.step, whole.steps)
            );
        }
    }
}

#[test]
fn early_stop_keeps_the_best_and_ends_no_training_that_gets_better() {
    let settings = TrainConfig { eval_every: 20, patience: 3, ..config(400) };
    let found = trained(&settings);
    assert!(found.steps < 400 && found.steps == found.step + 60, "{} {}", found.steps, found.step);
    assert!(found.evaluation.unwrap().score > 0.9, "not before it has learned");
}

#[test]
fn skipped_steps_leave_the_weights_alone_and_are_reported_with_their_number() {
    let settings = TrainConfig { on_not_finite: NotFinite::Skip, max_skips: 2, ..config(8) };
    let bad = |steps: &[u64]| steps.iter().map(|s| ((*s, 0), Fault::NotANumber)).collect::<Vec<_>>();
    let mut watch = Watch::default();
    let mut trace = Trace::default();
    let found = run(&settings, None, &bad(&[2, 3, 5]), &mut watch, &mut trace).unwrap();
    assert_eq!(found.steps, 8);
    assert_eq!(trace.losses.keys().copied().collect::<Vec<_>>(), [1, 2, 5, 7, 8], "the others were not taken");
    for (said, parts) in watch.said.iter().zip([("step: 2", "Some(1)"), ("step: 3", "Some(2)"), ("step: 5", "Some(1)")])
    {
        assert!(said.contains(parts.0) && said.contains(parts.1) && said.contains("label"), "{said}");
    }
    assert_eq!(watch.said.len(), 3);
    assert!(collect_internal(&found.model).0.values().all(|t| t.data.iter().all(|x| x.is_finite())));
    let result = run(&settings, None, &bad(&[2, 3, 4]), &mut Watch::default(), &mut Trace::default());
    let message = result.unwrap_err().to_string();
    assert!(message.contains("step 4") && message.contains("after 2 skipped steps in a row"), "{message}");
}

#[test]
fn a_training_that_diverges_keeps_its_best_weights_even_if_they_were_never_saved() {
    let folder = tempfile::tempdir().unwrap();
    let store = CheckpointStore::new(folder.path().join("run"), "hash");
    let settings = TrainConfig { eval_every: 3, ..config(12) };
    let mut watch = Watch::default();
    let result = run(&settings, Some(&store), &[((5, 0), Fault::NotANumber)], &mut watch, &mut Trace::default());
    assert!(matches!(result, Err(Error::NotFinite { step: 5, .. })), "{result:?}");
    assert!(watch.said.iter().any(|e| e.contains("NotFinite") && e.contains("step: 5")), "{:?}", watch.said);
    let checkpoint = store.latest().unwrap().checkpoint.unwrap();
    assert_eq!((checkpoint.step(), reached(&store).unwrap().finished), (5, false));
    let best = Tensors::read_safetensors(&checkpoint.file("best.safetensors").unwrap()).unwrap();
    let at_three = TrainConfig { keep_best: false, ..config(12) };
    let mut stop = Watch { stop_after: Some(3), ..Watch::default() };
    let other = CheckpointStore::new(folder.path().join("other"), "hash");
    let _ = run(&at_three, Some(&other), &[], &mut stop, &mut Trace::default());
    let model = other.load(3).unwrap().file("model.safetensors").unwrap();
    assert!(best == Tensors::read_safetensors(&model).unwrap(), "the weights of step 3");
}

#[test]
fn settings_that_have_no_effect_or_no_meaning_are_refused_by_name() {
    let base = config(10);
    for (settings, word) in [
        (TrainConfig { accumulate: 0, ..base.clone() }, "accumulate"),
        (TrainConfig { accumulate: 1 << 20, ..base.clone() }, "accumulate"),
        (TrainConfig { keep_last: 0, ..base.clone() }, "keep_last"),
        (TrainConfig { patience: 2, ..base.clone() }, "eval_every"),
        (TrainConfig { min_delta: 0.1, ..base.clone() }, "patience"),
        (TrainConfig { schedule: Schedule::Phases { length: 5 }, ..base.clone() }, "warmup_ratio"),
        (TrainConfig { warmup_ratio: 2.0, ..base }, "warmup_ratio"),
    ] {
        let message = settings.validate().unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn reports_count_the_real_tokens_since_the_one_before_whatever_the_parts() {
    let dir = tempfile::tempdir().unwrap();
    let store = CheckpointStore::new(dir.path(), "hash");
    let tokens = |accumulate: u32, store: Option<&CheckpointStore>, stop_after: Option<u64>| {
        let config = TrainConfig { accumulate, log_every: 3, ..config(11) };
        let mut watch = Watch { stop_after, ..Watch::default() };
        let ended = run(&config, store, &[], &mut watch, &mut Trace::default());
        assert_eq!(ended.is_err(), stop_after.is_some());
        watch.tokens
    };
    let sizes = |steps: std::ops::Range<u64>| steps.map(|s| tiny::data().batch(s).unwrap().1.tokens() as u64).sum();
    let expected = [(3, sizes(0..3)), (6, sizes(3..6)), (9, sizes(6..9)), (11, sizes(9..11))];
    assert!(
        expected[..3].iter().any(|e| e.1 == 40) && expected[0].1 % 4 == 0,
        "one batch in six is short: {expected:?}"
    );
    assert_eq!(tokens(1, None, None).into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(tokens(3, None, None).into_iter().collect::<Vec<_>>(), expected);
    // Another process counts what it does itself.
    assert_eq!(tokens(2, Some(&store), Some(6)).into_iter().collect::<Vec<_>>(), expected[..2]);
    assert_eq!(tokens(2, Some(&store), None).into_iter().collect::<Vec<_>>(), expected[2..]);
}
