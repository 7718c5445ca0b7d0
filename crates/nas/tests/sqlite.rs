//! A study in a SQLite file: it conforms, and what only a file can get wrong.

mod support;

use std::fs;
use std::path::Path;

use nas::Error;
use nas::budget::Rejection;
use nas::study::conformance::{draw, new_trial};
use nas::study::{Fitness, SqliteStudy, StudyIdentity, StudyStore, TrialState, conformance};
use support::identity;

fn fitness(score: f64) -> Fitness {
    Fitness { score, ..Fitness::default() }
}

#[test]
fn the_sqlite_study_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let mut next = 0;
    conformance::check(|identity| {
        next += 1;
        SqliteStudy::create(&dir.path().join(format!("{next}.sqlite")), identity).unwrap()
    });
    conformance::check_reopening(|identity| SqliteStudy::open_or_create(&dir.path().join("same.sqlite"), identity));
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
    assert!(
        matches!(SqliteStudy::create(&path, &identity(7)), Err(Error::Exists(store)) if store.ends_with("study.sqlite"))
    );
    let nowhere = dir.path().join("nowhere.sqlite");
    assert!(
        matches!(SqliteStudy::resume(&nowhere, &identity(7)), Err(Error::Missing(store)) if store.ends_with("nowhere.sqlite"))
    );
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
        assert!(matches!(&error, Error::Corrupt { store, .. } if store.ends_with("study.sqlite")), "{error:?}");
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
    assert!(matches!(&error, Error::Corrupt { store, .. } if store.ends_with("study.sqlite")), "{error:?}");
}

#[test]
fn databases_of_other_programs_and_newer_versions_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let foreign = dir.path().join("foreign.sqlite");
    let connection = rusqlite::Connection::open(&foreign).unwrap();
    connection.execute_batch("CREATE TABLE cats (name TEXT); PRAGMA application_id = 5;").unwrap();
    drop(connection);
    let error = SqliteStudy::resume(&foreign, &identity(7)).unwrap_err();
    assert!(matches!(&error, Error::NotAStudy { detail, .. } if detail.contains("0x5")), "{error:?}");

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
