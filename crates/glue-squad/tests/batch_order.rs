//! The order of data.

use glue_squad::batch::{BatchPlan, EvalPlan};
use proptest::prelude::*;

fn plan(lengths: &[usize], batch_size: usize, window: usize, seed: u64) -> BatchPlan {
    BatchPlan::new(lengths.to_vec(), batch_size, seed).unwrap().with_window(window).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_epoch_holds_every_example_exactly_once(
        lengths in proptest::collection::vec(1..128_usize, 1..300), batch_size in 1..20_usize, window in 1..8_usize, seed: u64, epoch: u64,
    ) {
        let plan = plan(&lengths, batch_size, window, seed);
        let order = plan.epoch(epoch);
        prop_assert_eq!(order.len(), plan.batches_per_epoch());
        prop_assert!(order.iter().all(|batch| (1..=batch_size).contains(&batch.len())));
        let mut seen: Vec<usize> = order.concat();
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
    }

    #[test]
    fn a_run_resumed_at_any_step_sees_the_same_batches(
        lengths in proptest::collection::vec(1..64_usize, 1..100), batch_size in 1..9_usize, seed: u64, resume in 0..60_u64,
    ) {
        let whole = plan(&lengths, batch_size, 3, seed);
        let straight: Vec<Vec<usize>> = (0..60).map(|step| whole.batch_at_step(step)).collect();
        let resumed = plan(&lengths, batch_size, 3, seed);
        for step in resume..60 {
            let (epoch, index) = resumed.position(step);
            prop_assert_eq!(epoch * resumed.batches_per_epoch() as u64 + index as u64, step);
            let order = resumed.epoch(epoch);
            prop_assert_eq!(&order[index], &straight[step as usize]);
        }
    }

    #[test]
    fn evaluation_outputs_come_back_in_the_order_of_the_examples(lengths in proptest::collection::vec(1..64_usize, 1..100), batch_size in 1..9_usize) {
        let plan = EvalPlan::new(&lengths, batch_size).unwrap();
        let outputs: Vec<usize> = plan.batches().iter().flatten().map(|index| index * 10).collect();
        prop_assert_eq!(plan.restore(outputs).unwrap(), (0..lengths.len()).map(|i| i * 10).collect::<Vec<_>>());
    }
}

#[test]
fn seeds_and_epochs_give_different_orders() {
    let lengths: Vec<usize> = (0..500).map(|i| 5 + (i * 7) % 60).collect();
    let order = |seed, epoch| plan(&lengths, 8, 50, seed).epoch(epoch);
    assert_eq!(order(1, 0), order(1, 0));
    assert_ne!(order(1, 0), order(1, 1));
    assert_ne!(order(1, 0), order(2, 0));
}

#[test]
fn buckets_pad_less_than_random_batches() {
    let lengths: Vec<usize> = (0..4_000).map(|i| 4 + (i * 37) % 100).collect();
    let padded = |plan: &BatchPlan| -> usize {
        plan.epoch(3).iter().map(|batch| batch.len() * batch.iter().map(|i| lengths[*i]).max().unwrap_or(0)).sum()
    };
    let real: usize = lengths.iter().sum();
    let (bucketed, random) = (padded(&plan(&lengths, 32, 50, 1)), padded(&plan(&lengths, 32, 1, 1)));
    assert!(
        bucketed < real * 105 / 100 && random > real * 150 / 100,
        "{real} real, {bucketed} bucketed, {random} random"
    );
}

#[test]
fn the_order_of_a_seed_never_changes() {
    // Written down once: a change here breaks the resumption of runs that are on disk.
    let plan = plan(&[5, 3, 8, 1, 9, 2, 7], 2, 2, 42);
    assert_eq!(*plan.epoch(0), FIRST_EPOCH.map(<[usize]>::to_vec));
}

const FIRST_EPOCH: [&[usize]; 4] = [&[3, 5], &[1, 2], &[0, 6], &[4]];

#[test]
fn plans_without_examples_or_batches_are_errors() {
    assert!(BatchPlan::new(vec![], 2, 0).unwrap_err().to_string().contains("0 examples"));
    assert!(BatchPlan::new(vec![1], 0, 0).is_err());
    assert!(BatchPlan::new(vec![1], 1, 0).unwrap().with_window(0).is_err());
    assert!(EvalPlan::new(&[], 2).is_err());
    assert!(EvalPlan::new(&[1, 2], 2).unwrap().restore(vec![1]).is_err());
}
