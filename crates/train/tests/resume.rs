//! A training that is stopped after any step, or loses its power in any part of one, ends like one that was not: the same
//! batches, losses, evaluations, and every byte of the last checkpoint.

#[allow(dead_code)]
mod tiny;

use std::path::Path;

use bert_core::weights::collect_internal;
use run_store::checkpoint::CheckpointStore;
use tiny::{Fault, Trace, Watch, run};
use train::Error;
use train::engine::{NotFinite, TrainConfig, reached};
use train::optim::{OptimizerConfig, OptimizerKind};

/// Two parts a step, dropout, and an early stop after step 15 of 16: no evaluation is better than the first by more than 1.
fn config(kind: OptimizerKind) -> TrainConfig {
    TrainConfig {
        accumulate: 2,
        optimizer: OptimizerConfig::of(kind),
        eval_every: 5,
        patience: 2,
        min_delta: 1.0,
        checkpoint_every: 4,
        log_every: 1,
        on_not_finite: NotFinite::Skip,
        ..TrainConfig::new(16, 5e-3)
    }
}

fn store(folder: &Path) -> CheckpointStore {
    CheckpointStore::new(folder.join("run"), "hash")
}

/// Hashes of all files of the newest checkpoint, and its state.
fn newest(store: &CheckpointStore) -> String {
    let step = store.steps().unwrap().pop().unwrap();
    std::fs::read_to_string(store.dir().join(format!("step-{step:06}/manifest.json"))).unwrap()
}

/// Stops or cuts the power as `interrupt` says, goes on, and compares with the uninterrupted training.
fn interrupted_anywhere(kind: OptimizerKind, faults: &[((u64, u32), Fault)]) {
    let config = config(kind);
    let folder = tempfile::tempdir().unwrap();
    let whole = store(folder.path());
    let mut expected = Trace::default();
    let mut watch = Watch::default();
    let straight = run(&config, Some(&whole), faults, &mut watch, &mut expected).unwrap();
    assert_eq!(straight.steps, 15, "it stops early");
    assert!(watch.said.iter().any(|e| e.contains("StoppedEarly { step: 15, waited: 2 }")), "{:?}", watch.said);
    // A step that is skipped in its first part is not asked for its second.
    assert_eq!(expected.asked.len(), 30 - faults.len(), "15 steps in two parts");
    let weights = collect_internal(&straight.model);

    let stops = (1..15).map(|after| (Some(after), None));
    let cuts = (0..15).flat_map(|step| [0, 1].map(|part| (None, Some((step, part)))));
    for (stop_after, cut) in stops.chain(cuts) {
        let at = format!("{kind}, stopped after {stop_after:?}, cut in {cut:?}");
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let mut trace = Trace::default();
        let mut faults = faults.to_vec();
        if let Some(part) = cut {
            // A step that is skipped in its first part is never asked for the second.
            if faults.iter().any(|((step, _), _)| *step == part.0) {
                continue;
            }
            faults.push((part, Fault::Power));
        }
        let mut watch = Watch { stop_after, ..Watch::default() };
        let first = run(&config, Some(&store), &faults, &mut watch, &mut trace);
        match (stop_after, first) {
            (Some(after), Err(Error::Interrupted { step })) => assert_eq!(step, after, "{at}"),
            (None, Err(Error::Mismatch(_))) => {}
            (_, other) => panic!("{at}: {other:?}"),
        }
        faults.retain(|(_, fault)| *fault != Fault::Power);
        let resumed = run(&config, Some(&store), &faults, &mut Watch::default(), &mut trace).expect(&at);
        assert_eq!(trace, expected, "{at}");
        assert_eq!((resumed.step, resumed.steps), (straight.step, straight.steps), "{at}");
        assert_eq!(resumed.evaluation, straight.evaluation, "{at}");
        assert!(collect_internal(&resumed.model) == weights, "{at}: weights differ");
        assert_eq!(newest(&store), newest(&whole), "{at}");
    }

    // What has stopped early is finished.
    assert!(reached(&whole).unwrap().finished);
    let mut watch = Watch::default();
    let again = run(&config, Some(&whole), faults, &mut watch, &mut Trace::default()).unwrap();
    assert_eq!((watch.done, again.steps), (0, 15), "no step is taken");
    assert!(collect_internal(&again.model) == weights, "weights differ");
}

#[test]
fn a_training_stopped_between_the_batches_of_an_evaluation_does_it_again_and_ends_the_same() {
    let config = TrainConfig { checkpoint_every: 0, ..config(OptimizerKind::AdamW) };
    let folder = tempfile::tempdir().unwrap();
    let whole = store(folder.path());
    let mut expected = Trace::default();
    let straight = run(&config, Some(&whole), &[], &mut Watch::default(), &mut expected).unwrap();
    assert_eq!(expected.evaluations.len(), 3);
    let weights = collect_internal(&straight.model);
    // Ten examples in batches of four; the evaluation after step 15 is the last thing that the training does.
    for stop_in in [5, 10, 15].into_iter().flat_map(|step| [4, 8, 10].map(|done| (step, done))) {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let mut trace = Trace::default();
        let mut watch = Watch { stop_in: Some(stop_in), ..Watch::default() };
        let stopped = run(&config, Some(&store), &[], &mut watch, &mut trace).unwrap_err();
        assert!(matches!(stopped, Error::Interrupted { step } if step == stop_in.0), "{stop_in:?}: {stopped}");
        assert!(!trace.evaluations.contains_key(&stop_in.0), "{stop_in:?}: it was cut off");
        let far = reached(&store).unwrap();
        assert_eq!((far.step, far.finished), (stop_in.0, false), "{stop_in:?}");
        // Once more, at another batch: the checkpoint stays as it is.
        let kept = newest(&store);
        let mut watch = Watch { stop_in: Some((stop_in.0, 8)), ..Watch::default() };
        let stopped = run(&config, Some(&store), &[], &mut watch, &mut trace).unwrap_err();
        assert!(matches!(stopped, Error::Interrupted { step } if step == stop_in.0), "{stop_in:?}: {stopped}");
        assert_eq!(newest(&store), kept, "{stop_in:?}");
        let resumed = run(&config, Some(&store), &[], &mut Watch::default(), &mut trace).unwrap();
        assert_eq!(trace, expected, "{stop_in:?}");
        assert_eq!((resumed.step, resumed.steps), (straight.step, straight.steps), "{stop_in:?}");
        assert!(collect_internal(&resumed.model) == weights, "{stop_in:?}: weights differ");
        assert_eq!(newest(&store), newest(&whole), "{stop_in:?}");
        assert!(reached(&store).unwrap().finished, "{stop_in:?}: and is finished");
    }
}

#[test]
fn with_adamw_a_training_stopped_anywhere_ends_bit_for_bit_like_the_uninterrupted_one() {
    interrupted_anywhere(OptimizerKind::AdamW, &[]);
}

#[test]
fn with_lamb_too() {
    interrupted_anywhere(OptimizerKind::Lamb, &[]);
}

#[test]
fn with_skipped_steps_too() {
    let faults = [((6, 0), Fault::NotANumber), ((7, 0), Fault::NotANumber), ((12, 0), Fault::NotANumber)];
    interrupted_anywhere(OptimizerKind::AdamW, &faults);
}

#[test]
fn another_optimizer_than_the_checkpoint_s_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let mut stop = Watch { stop_after: Some(3), ..Watch::default() };
    let go = |kind, watch: &mut Watch| run(&config(kind), Some(&store), &[], watch, &mut Trace::default());
    assert!(matches!(go(OptimizerKind::Lamb, &mut stop), Err(Error::Interrupted { step: 3 })));
    let message = go(OptimizerKind::AdamW, &mut Watch::default()).unwrap_err().to_string();
    assert!(message.contains("step 3") && message.contains("`lamb`") && message.contains("`adamw`"), "{message}");
}
