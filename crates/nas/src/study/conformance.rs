//! What every [`StudyStore`] must do, as checks that a test of a new store calls.
//!
//! ```
//! use nas::study::{MemoryStudy, conformance};
//!
//! conformance::check(|identity| MemoryStudy::new(identity.clone()));
//! ```

use std::collections::BTreeMap;

use crate::budget::{Cost, Rejection};
use crate::error::{Error, Result};
use crate::study::{Fitness, NewTrial, RejectedDraw, StudyIdentity, StudyStore, TrialState};

/// Checks a kind of store; `fresh` makes a new, empty one with the given identity.
///
/// # Panics
/// A store that does not conform; the message says how.
pub fn check<S: StudyStore>(mut fresh: impl FnMut(&StudyIdentity) -> S) {
    let checks = [
        rows_come_back_as_they_were_written,
        the_best_is_the_highest_and_of_equals_the_smallest_then_the_fastest,
        numbers_that_are_not_finite_fail_the_trial,
        only_a_running_trial_can_end,
        a_number_is_given_once_per_stage,
        rejected_draws_are_counted_by_reason,
        an_exhausted_stage_is_known_with_the_draws_that_showed_it,
    ];
    for check in checks {
        check(&mut fresh(&identity()));
    }
}

/// Checks a store that outlives its process: `open` opens the study in always the same place, which
/// is empty at first, or refuses it.
///
/// # Panics
/// A store that does not conform; the message says how.
pub fn check_reopening<S: StudyStore>(mut open: impl FnMut(&StudyIdentity) -> Result<S>) {
    let mut store = open(&identity()).expect("a new study is opened");
    let id = store.begin_trial(&new_trial(1, 0), &[draw(0, Rejection::TooSlow)]).unwrap();
    store.finish(id, &fitness(0.75), 200).unwrap();
    let running = store.begin_trial(&new_trial(1, 1), &[]).unwrap();
    store.exhaust(2, &[RejectedDraw { stage: 2, ..draw(0, Rejection::Duplicate) }]).unwrap();
    let written = (store.trials(1).unwrap(), store.rejected(1).unwrap(), store.rejected(2).unwrap());
    drop(store);
    let mut again = open(&identity()).expect("a study is opened again");
    assert_eq!(again.identity(), &identity());
    assert_eq!((again.trials(1).unwrap(), again.rejected(1).unwrap(), again.rejected(2).unwrap()), written);
    assert!(again.is_exhausted(2).unwrap(), "a stage was exhausted");
    again.restart(running, 300).unwrap();
    let ended = again.fail(running, "diverged", 400).unwrap();
    assert_eq!((ended.started_at, ended.finished_at), (300, Some(400)), "a trial that was left running is ended");
    assert!(again.begin_trial(&new_trial(1, 2), &[]).is_ok());
    drop(again);
    let others = [
        StudyIdentity { name: "another".to_owned(), ..identity() },
        StudyIdentity { seed: 8, ..identity() },
        StudyIdentity { config_hash: "xyz".to_owned(), ..identity() },
    ];
    for other in others {
        let refused = open(&other).err();
        assert!(matches!(refused, Some(Error::Foreign { .. })), "a study was opened as {other:?}: {refused:?}");
    }
}

fn identity() -> StudyIdentity {
    StudyIdentity { name: "conformance".to_owned(), config_hash: "abc".to_owned(), seed: 7 }
}

/// The trial that the suite begins: its numbers, cost and latency follow from `number`.
pub fn new_trial(stage: u32, number: u64) -> NewTrial {
    NewTrial {
        stage,
        number,
        genome: format!("genome {number}"),
        fingerprint: format!("print {number}"),
        cost: Cost { params: 10 + number, macs: 20 },
        latency_ms: number.is_multiple_of(2).then_some(1.5),
        seed: (1 << 62) + number,
        started_at: 100,
    }
}

/// The draw of stage 1 that the suite rejects.
pub fn draw(number: u64, reason: Rejection) -> RejectedDraw {
    RejectedDraw {
        stage: 1,
        number,
        genome: "too big".to_owned(),
        fingerprint: "p".to_owned(),
        cost: Cost { params: 99, macs: 1 },
        latency_ms: None,
        reason,
        at: 90,
    }
}

fn fitness(score: f64) -> Fitness {
    Fitness { score, metrics: [("loss".to_owned(), 0.1 + 0.2)].into() }
}

fn rows_come_back_as_they_were_written(store: &mut impl StudyStore) {
    assert_eq!(store.identity(), &identity());
    let id = store.begin_trial(&new_trial(1, 0), &[]).unwrap();
    let running = store.trials(1).unwrap().remove(0);
    assert_eq!((running.state, running.fitness, running.finished_at), (TrialState::Running, None, None));
    store.restart(id, 150).unwrap();
    let finished = store.finish(id, &fitness(0.75), 200).unwrap();
    assert_eq!(store.trials(1).unwrap(), std::slice::from_ref(&finished));
    let sent = new_trial(1, 0);
    assert_eq!(
        (finished.genome, finished.fingerprint, finished.cost, finished.latency_ms, finished.seed),
        (sent.genome, sent.fingerprint, sent.cost, sent.latency_ms, sent.seed)
    );
    assert_eq!((finished.started_at, finished.finished_at), (150, Some(200)));
    assert_eq!(finished.fitness, Some(0.75));
    assert_eq!(finished.metrics, BTreeMap::from([("loss".to_owned(), 0.1 + 0.2)]));
    let other = store.begin_trial(&new_trial(1, 1), &[]).unwrap();
    let failed = store.fail(other, "the loss is NaN at step 3", 300).unwrap();
    assert_eq!((failed.state, failed.fitness), (TrialState::Failed, None));
    assert_eq!(failed.reason.as_deref(), Some("the loss is NaN at step 3"));
    assert_eq!(store.trials(1).unwrap()[1], failed);
    assert!(store.trials(2).unwrap().is_empty());
}

fn the_best_is_the_highest_and_of_equals_the_smallest_then_the_fastest(store: &mut impl StudyStore) {
    assert_eq!(store.best(1).unwrap(), None);
    let (big, small) = (6_790_000, 6_590_000);
    let trials = [
        (0.2, 1, 1, Some(0.1), None),
        (0.65289, big, 10, Some(1.0), Some(1)),
        (0.65289, small, 90, Some(9.0), Some(2)),
        (0.65289, small, 80, None, Some(3)),
        (0.65289, small, 80, Some(9.0), Some(4)),
        (0.65289, small, 80, Some(8.0), Some(5)),
        (0.65289, small, 80, Some(8.0), Some(5)),
        (0.65289, big, 1, Some(0.5), Some(5)),
        (0.7, big, 99, None, Some(8)),
        (-4.0, 1, 1, None, Some(8)),
    ];
    for ((number, (score, params, macs, latency_ms, best)), sign) in (0..).zip(trials).zip([1.0, -1.0].iter().cycle()) {
        let trial = NewTrial { cost: Cost { params, macs }, latency_ms, ..new_trial(1, number) };
        let id = store.begin_trial(&trial, &[]).unwrap();
        store.finish(id, &fitness(score), 1).unwrap();
        let expected = best.or(Some(0));
        assert_eq!(store.best(1).unwrap().map(|trial| trial.number), expected, "after trial {number}");
        // Zero has two signs and one rank.
        let trial = NewTrial { cost: Cost { params: 9 - number, macs: 1 }, ..new_trial(4, number) };
        let id = store.begin_trial(&trial, &[]).unwrap();
        store.finish(id, &fitness(sign * 0.0), 1).unwrap();
        assert_eq!(store.best(4).unwrap().map(|trial| trial.number), Some(number), "of equals the smallest");
    }
    let id = store.begin_trial(&new_trial(2, 0), &[]).unwrap();
    store.finish(id, &fitness(5.0), 1).unwrap();
    store.begin_trial(&new_trial(1, 10), &[]).unwrap();
    let id = store.begin_trial(&new_trial(5, 0), &[]).unwrap();
    store.fail(id, "diverged", 1).unwrap();
    assert_eq!(store.best(1).unwrap().unwrap().number, 8);
    assert_eq!(store.best(5).unwrap(), None, "a failed trial is never the best");
    assert_eq!(store.best(2).unwrap().unwrap().number, 0);
    assert_eq!(store.best(3).unwrap(), None);
}

fn numbers_that_are_not_finite_fail_the_trial(store: &mut impl StudyStore) {
    for (number, bad) in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY].into_iter().enumerate() {
        let id = store.begin_trial(&new_trial(1, number as u64), &[]).unwrap();
        let trial = store.finish(id, &fitness(bad), 1).unwrap();
        assert_eq!((trial.state, trial.fitness), (TrialState::Failed, None));
        assert!(trial.reason.unwrap().contains(&bad.to_string()));
    }
    let id = store.begin_trial(&new_trial(1, 3), &[]).unwrap();
    let metrics = [("loss".to_owned(), f64::NAN), ("steps".to_owned(), 4.0)].into();
    let trial = store.finish(id, &Fitness { score: 0.9, metrics }, 1).unwrap();
    assert_eq!(trial.reason.as_deref(), Some("the metric `loss` is NaN, not a finite number"));
    assert_eq!(trial.metrics, BTreeMap::from([("steps".to_owned(), 4.0)]));
    assert_eq!(store.best(1).unwrap(), None);
}

fn only_a_running_trial_can_end(store: &mut impl StudyStore) {
    let id = store.begin_trial(&new_trial(1, 0), &[]).unwrap();
    store.finish(id, &fitness(0.5), 1).unwrap();
    assert!(matches!(store.finish(id, &fitness(0.9), 2), Err(Error::Inconsistent { .. })));
    assert!(matches!(store.fail(id, "late", 2), Err(Error::Inconsistent { .. })));
    assert!(matches!(store.restart(id, 2), Err(Error::Inconsistent { .. })));
    assert_eq!(store.trials(1).unwrap()[0].fitness, Some(0.5));
}

fn a_number_is_given_once_per_stage(store: &mut impl StudyStore) {
    store.begin_trial(&new_trial(1, 0), &[]).unwrap();
    let again = store.begin_trial(&new_trial(1, 0), &[draw(0, Rejection::TooSlow)]);
    assert!(matches!(again, Err(Error::Inconsistent { .. })), "{again:?}");
    assert_eq!(store.rejected(1).unwrap(), [], "a refused trial left rejected draws behind");
    assert!(store.begin_trial(&new_trial(2, 0), &[]).is_ok());
}

fn rejected_draws_are_counted_by_reason(store: &mut impl StudyStore) {
    let first = [draw(0, Rejection::TooManyParams), draw(0, Rejection::Duplicate)];
    let second = [draw(1, Rejection::TooManyParams)];
    store.begin_trial(&new_trial(1, 0), &first).unwrap();
    store.begin_trial(&new_trial(1, 1), &second).unwrap();
    let counts = [(Rejection::TooManyParams, 2), (Rejection::Duplicate, 1)];
    assert_eq!(store.rejection_counts(1).unwrap(), counts.into());
    assert_eq!(store.rejected(1).unwrap(), [first.to_vec(), second.to_vec()].concat());
    assert_eq!(store.trials(1).unwrap().len(), 2);
    assert!(store.rejection_counts(2).unwrap().is_empty());
}

fn an_exhausted_stage_is_known_with_the_draws_that_showed_it(store: &mut impl StudyStore) {
    assert!(!store.is_exhausted(2).unwrap());
    let draws: Vec<_> =
        [Rejection::TooSlow, Rejection::Duplicate].map(|reason| RejectedDraw { stage: 2, ..draw(0, reason) }).into();
    store.exhaust(2, &draws).unwrap();
    assert_eq!((store.is_exhausted(1).unwrap(), store.is_exhausted(2).unwrap()), (false, true));
    assert_eq!(store.rejected(2).unwrap(), draws);
}
