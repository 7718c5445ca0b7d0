//! One conformance suite for every study store, and what only a file can get wrong.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use nas::Error;
use nas::budget::{Cost, Rejection};
use nas::driver::Fitness;
use nas::study::{MemoryStudy, NewTrial, RejectedDraw, SqliteStudy, StudyIdentity, StudyStore, TrialState};
use support::identity;

fn new_trial(stage: u32, number: u64) -> NewTrial {
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

fn draw(number: u64, reason: Rejection) -> RejectedDraw {
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

/// Runs every check on fresh stores of one kind.
fn conforms(fresh: &mut dyn FnMut() -> Box<dyn StudyStore>) {
    rows_come_back_as_they_were_written(&mut *fresh());
    the_best_is_the_highest_and_of_equals_the_smallest_then_the_fastest(&mut *fresh());
    numbers_that_are_not_finite_fail_the_trial(&mut *fresh());
    only_a_running_trial_can_end(&mut *fresh());
    a_number_is_given_once_per_stage(&mut *fresh());
    rejected_draws_are_counted_by_reason(&mut *fresh());
    an_exhausted_stage_is_known_with_the_draws_that_showed_it(&mut *fresh());
}

fn rows_come_back_as_they_were_written(store: &mut dyn StudyStore) {
    assert_eq!(store.identity(), &identity(7));
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

fn the_best_is_the_highest_and_of_equals_the_smallest_then_the_fastest(store: &mut dyn StudyStore) {
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

fn numbers_that_are_not_finite_fail_the_trial(store: &mut dyn StudyStore) {
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

fn only_a_running_trial_can_end(store: &mut dyn StudyStore) {
    let id = store.begin_trial(&new_trial(1, 0), &[]).unwrap();
    store.finish(id, &fitness(0.5), 1).unwrap();
    assert!(matches!(store.finish(id, &fitness(0.9), 2), Err(Error::Inconsistent { .. })));
    assert!(matches!(store.fail(id, "late", 2), Err(Error::Inconsistent { .. })));
    assert!(matches!(store.restart(id, 2), Err(Error::Inconsistent { .. })));
    assert_eq!(store.trials(1).unwrap()[0].fitness, Some(0.5));
}

fn a_number_is_given_once_per_stage(store: &mut dyn StudyStore) {
    store.begin_trial(&new_trial(1, 0), &[]).unwrap();
    let again = store.begin_trial(&new_trial(1, 0), &[draw(0, Rejection::TooSlow)]);
    assert!(matches!(again, Err(Error::Inconsistent { .. })), "{again:?}");
    assert_eq!(store.rejected(1).unwrap(), [], "a refused trial left rejected draws behind");
    assert!(store.begin_trial(&new_trial(2, 0), &[]).is_ok());
}

fn rejected_draws_are_counted_by_reason(store: &mut dyn StudyStore) {
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

fn an_exhausted_stage_is_known_with_the_draws_that_showed_it(store: &mut dyn StudyStore) {
    assert!(!store.is_exhausted(2).unwrap());
    let draws: Vec<_> =
        [Rejection::TooSlow, Rejection::Duplicate].map(|reason| RejectedDraw { stage: 2, ..draw(0, reason) }).into();
    store.exhaust(2, &draws).unwrap();
    assert_eq!((store.is_exhausted(1).unwrap(), store.is_exhausted(2).unwrap()), (false, true));
    assert_eq!(store.rejected(2).unwrap(), draws);
}

#[test]
fn the_memory_study_conforms() {
    conforms(&mut || Box::new(MemoryStudy::new(identity(7))));
}

#[test]
fn the_sqlite_study_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let mut next = 0;
    conforms(&mut || {
        next += 1;
        let path = dir.path().join(format!("{next}.sqlite"));
        Box::new(SqliteStudy::create(&path, &identity(7)).unwrap())
    });
}

/// A study with two trials, and its path.
fn written(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("study.sqlite");
    let mut store = SqliteStudy::create(&path, &identity(7)).unwrap();
    let id = store.begin_trial(&new_trial(1, 0), &[draw(0, Rejection::TooSlow)]).unwrap();
    store.finish(id, &fitness(0.5), 9).unwrap();
    store.begin_trial(&new_trial(1, 1), &[]).unwrap();
    path
}

#[test]
fn a_study_is_read_again_by_another_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path());
    for store in [SqliteStudy::resume(&path, &identity(7)).unwrap(), SqliteStudy::open_read_only(&path).unwrap()] {
        let trials = store.trials(1).unwrap();
        assert_eq!(trials[0].fitness, Some(0.5));
        assert_eq!(trials[1].state, TrialState::Running);
        assert_eq!(store.rejection_counts(1).unwrap(), [(Rejection::TooSlow, 1)].into());
    }
    let mut reader = SqliteStudy::open_read_only(&path).unwrap();
    assert!(reader.begin_trial(&new_trial(1, 2), &[]).is_err(), "a reader wrote");
}

#[test]
fn a_study_that_was_closed_is_one_file_also_after_it_was_read() {
    let dir = tempfile::tempdir().unwrap();
    let files = || fs::read_dir(dir.path()).unwrap().count();
    let path = written(dir.path());
    assert_eq!(files(), 1, "closed by its writer");
    let read = |path: &Path| SqliteStudy::open_read_only(path).unwrap().trials(1).unwrap().len();
    assert_eq!((read(&path), files()), (2, 1), "read");
    let mut again = SqliteStudy::resume(&path, &identity(7)).unwrap();
    again.begin_trial(&new_trial(1, 2), &[]).unwrap();
    assert_eq!((read(&path), files()), (3, 3), "read while it is written: the log belongs to it");
    let reader = SqliteStudy::open_read_only(&path).unwrap();
    drop(again);
    assert_eq!(reader.trials(1).unwrap().len(), 3);
    drop(reader);
    assert_eq!(files(), 1, "whoever closes it last removes the log");
    assert_eq!((read(&path), files()), (3, 1));
}

#[test]
fn two_processes_on_one_study_cannot_both_begin_a_trial() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path());
    let [mut a, mut b] = [0, 0].map(|_| SqliteStudy::resume(&path, &identity(7)).unwrap());
    a.begin_trial(&new_trial(1, 2), &[]).unwrap();
    let message = b.begin_trial(&new_trial(1, 2), &[]).unwrap_err().to_string();
    assert!(message.contains("another process"), "{message}");
}

#[test]
fn another_study_is_refused_and_the_difference_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path());
    let cases = [
        (StudyIdentity { seed: 8, ..identity(7) }, "seed is `7`, this run has `8`"),
        (StudyIdentity { config_hash: "xyz".into(), ..identity(7) }, "config hash is `abc`, this run has `xyz`"),
        (StudyIdentity { name: "other".into(), ..identity(7) }, "name is `test`, this run has `other`"),
    ];
    for (other, expected) in cases {
        let message = SqliteStudy::resume(&path, &other).unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains("study.sqlite"), "{message}");
    }
}

#[test]
fn creating_twice_and_resuming_nothing_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path());
    assert!(matches!(SqliteStudy::create(&path, &identity(7)), Err(Error::Exists(p)) if p == path));
    let nowhere = dir.path().join("nowhere.sqlite");
    assert!(matches!(SqliteStudy::resume(&nowhere, &identity(7)), Err(Error::Missing(p)) if p == nowhere));
    assert!(!nowhere.exists(), "a failed resume left a file behind");
    assert!(SqliteStudy::open_or_create(&path, &identity(7)).is_ok());
}

#[test]
fn a_file_that_is_no_database_is_called_damaged_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("study.sqlite");
    fs::write(&path, "this is not a database, whatever its name says ".repeat(100)).unwrap();
    for error in
        [SqliteStudy::resume(&path, &identity(7)).unwrap_err(), SqliteStudy::open_read_only(&path).unwrap_err()]
    {
        assert!(matches!(&error, Error::Corrupt { path: p, .. } if *p == path), "{error:?}");
        assert!(error.to_string().contains("study.sqlite"));
    }
}

#[test]
fn a_damaged_page_is_found_when_the_study_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path());
    let size = fs::metadata(&path).unwrap().len() as usize;
    let mut bytes = fs::read(&path).unwrap();
    // Everything after the first page (header and schema).
    bytes[4096..size].fill(0xA5);
    fs::write(&path, bytes).unwrap();
    let error = SqliteStudy::resume(&path, &identity(7)).unwrap_err();
    assert!(matches!(&error, Error::Corrupt { path: p, .. } if *p == path), "{error:?}");
}

#[test]
fn databases_of_other_programs_and_newer_versions_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let foreign = dir.path().join("foreign.sqlite");
    let connection = rusqlite::Connection::open(&foreign).unwrap();
    connection.execute_batch("CREATE TABLE cats (name TEXT); PRAGMA application_id = 5;").unwrap();
    drop(connection);
    let error = SqliteStudy::resume(&foreign, &identity(7)).unwrap_err();
    assert!(matches!(error, Error::NotAStudy { application_id: 5, .. }), "{error:?}");

    let newer = written(dir.path());
    let connection = rusqlite::Connection::open(&newer).unwrap();
    connection.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(connection);
    let error = SqliteStudy::resume(&newer, &identity(7)).unwrap_err();
    assert!(matches!(error, Error::NewerSchema { found: 99, .. }), "{error:?}");
}

#[test]
fn rows_that_make_no_sense_are_errors_that_name_the_row() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path());
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("UPDATE trial SET metrics = '[1' WHERE number = 0 AND state = 'complete'").unwrap();
    drop(connection);
    let error = SqliteStudy::resume(&path, &identity(7)).unwrap().trials(1).unwrap_err();
    assert!(error.to_string().contains("metrics of row 2"), "{error}");
}

#[test]
fn an_empty_file_left_by_a_kill_before_the_first_write_is_started_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("study.sqlite");
    fs::write(&path, "").unwrap();
    let store = SqliteStudy::resume(&path, &identity(7)).unwrap();
    assert!(store.trials(1).unwrap().is_empty());
}
