//! Several devices share the steps of a training.

#[allow(dead_code)]
mod tiny;

use bert_core::weights::{Tensors, collect_internal};
use burn::tensor::Device;
use run_store::checkpoint::CheckpointStore;
use tiny::{Fault, Trace, Watch, run_on};
use train::engine::{Devices, NotFinite, TrainConfig, train};
use train::fine_tune::FineTune;

fn config(accumulate: u32) -> TrainConfig {
    TrainConfig { accumulate, log_every: 1, eval_every: 4, checkpoint_every: 3, ..TrainConfig::new(11, 5e-3) }
}

fn on_cpu(count: usize) -> Devices {
    Devices::new(Device::flex(), vec![Device::flex(); count - 1], 1).unwrap()
}

fn largest_difference(a: &Tensors, b: &Tensors) -> f32 {
    assert_eq!(a.0.len(), b.0.len());
    // The loss does not depend on the bias of the keys: its gradient is rounding alone, which Adam scales up to full steps.
    let moved = a.0.iter().filter(|(name, _)| !name.ends_with("key.bias"));
    let pairs = moved.flat_map(|(name, a)| a.data.iter().zip(&b.0[name].data));
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn devices_take_to_the_bit_the_step_that_one_takes_in_as_many_parts() {
    for (devices, accumulate) in [(2, 1), (3, 1), (2, 2)] {
        let mut traces = [Trace::default(), Trace::default()];
        let shared = run_on(on_cpu(devices), &config(accumulate), None, &[], &mut Watch::default(), &mut traces[0]);
        let parts = config(accumulate * devices as u32);
        let alone = run_on(on_cpu(1), &parts, None, &[], &mut Watch::default(), &mut traces[1]);
        assert_eq!(traces[0], traces[1], "examples, losses and evaluations of {devices} devices");
        assert!(traces[0].asked.keys().any(|&(_, part)| part + 1 == accumulate * devices as u32));
        let (shared, alone) = (shared.unwrap(), alone.unwrap());
        assert_eq!(collect_internal(&shared.model), collect_internal(&alone.model));
        assert_eq!(shared.evaluation, alone.evaluation);
    }
}

#[test]
fn two_devices_with_half_of_a_batch_each_learn_what_one_learns_from_all_of_it() {
    let weights = |devices: usize| {
        let (data, device) = (tiny::data(), Device::flex());
        // Dropout draws masks by part; without it, only the order of the sums differs.
        let model = tiny::model_with(0.0, &device);
        let job = FineTune { data: &data, heads: vec![0], eval: &[] };
        let trained = train(model, on_cpu(devices), &job, &config(1), None, &mut Watch::default()).unwrap();
        collect_internal(&trained.model)
    };
    let (one, two) = (weights(1), weights(2));
    let start = collect_internal(&tiny::model(&Device::flex()));
    let (moved, off) = (largest_difference(&one, &start), largest_difference(&one, &two));
    assert!(moved > 1e-2, "it learns something: {moved:e}");
    assert!(off <= 1e-4, "largest difference {off:e}");
}

#[test]
fn a_training_on_two_devices_goes_on_to_the_bit_after_a_stop_or_a_cut() {
    let mut expected = Trace::default();
    let straight = run_on(on_cpu(2), &config(1), None, &[], &mut Watch::default(), &mut expected).unwrap();
    let cuts = [Some((5, 0)), Some((5, 1)), None];
    for cut in cuts {
        let folder = tempfile::tempdir().unwrap();
        let store = CheckpointStore::new(folder.path().join("run"), "hash");
        let faults: Vec<_> = cut.map(|part| (part, Fault::Power)).into_iter().collect();
        let mut watch = Watch { stop_after: cut.is_none().then_some(5), ..Watch::default() };
        let mut trace = Trace::default();
        run_on(on_cpu(2), &config(1), Some(&store), &faults, &mut watch, &mut trace).unwrap_err();
        let resumed = run_on(on_cpu(2), &config(1), Some(&store), &[], &mut Watch::default(), &mut trace).unwrap();
        assert_eq!(trace, expected, "cut at {cut:?}");
        assert_eq!(collect_internal(&resumed.model), collect_internal(&straight.model));
    }
}

#[test]
fn a_loss_that_is_not_finite_on_one_device_skips_or_ends_the_step_of_all() {
    let faults = [((4, 1), Fault::NotANumber)];
    let skipping = TrainConfig { on_not_finite: NotFinite::Skip, ..config(1) };
    let mut watch = Watch::default();
    run_on(on_cpu(2), &skipping, None, &faults, &mut watch, &mut Trace::default()).unwrap();
    assert!(!watch.said.is_empty() && watch.said[0].contains("step: 4"), "{:?}", watch.said);
    let error = run_on(on_cpu(2), &config(1), None, &faults, &mut Watch::default(), &mut Trace::default());
    let message = error.unwrap_err().to_string();
    assert!(message.contains("step 4"), "{message}");
}
