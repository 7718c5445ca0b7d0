//! A study whose process is killed at any write, fsync or truncation of its database has every trial whose call had returned, nothing
//! half recorded, and goes on to the same rows.
//!
//! The child process stands between SQLite and the file system: a VFS of its own that passes everything on, and ends the process
//! at the chosen point. A write is two points and two halves, so that it may be torn.

#![allow(clippy::disallowed_methods, reason = "a copy of this test is told by the environment what to do")]

use std::ffi::{c_int, c_void};
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicPtr, Ordering};

use nas::Error;
use nas::budget::{Cost, Rejection};
use nas::study::{Fitness, NewTrial, RejectedDraw, SqliteStudy, StudyIdentity, StudyStore, TrialState};
use rusqlite::ffi::{
    sqlite3_file, sqlite3_filename, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs, sqlite3_vfs_find,
    sqlite3_vfs_register,
};

const TRIALS: u64 = 3;
/// Tell a child process what to do.
const FOLDER: &str = "NAS_TEST_KILL_FOLDER";
const POINT: &str = "NAS_TEST_KILL_POINT";

/// Points that are still to pass.
static LEFT: AtomicI64 = AtomicI64::new(i64::MAX);
static SYSTEM: AtomicPtr<sqlite3_vfs> = AtomicPtr::new(std::ptr::null_mut());
static METHODS: OnceLock<sqlite3_io_methods> = OnceLock::new();

fn reach() {
    if LEFT.fetch_sub(1, Ordering::SeqCst) == 0 {
        std::process::abort();
    }
}

fn system() -> &'static sqlite3_io_methods {
    METHODS.get().expect("a file was opened")
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    data: *const c_void,
    length: c_int,
    offset: sqlite3_int64,
) -> c_int {
    let write = system().xWrite.expect("files can be written");
    let half = length / 2;
    reach();
    // SAFETY: SQLite's own arguments, in two pieces that lie within the data.
    let outcome = unsafe { write(file, data, half, offset) };
    if outcome != 0 {
        return outcome;
    }
    reach();
    // SAFETY: as above.
    unsafe { write(file, data.byte_add(half as usize), length - half, offset + sqlite3_int64::from(half)) }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    reach();
    // SAFETY: SQLite's own arguments.
    unsafe { system().xSync.expect("files can be synced")(file, flags) }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    reach();
    // SAFETY: SQLite's own arguments.
    unsafe { system().xTruncate.expect("files can be cut")(file, size) }
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    let real = SYSTEM.load(Ordering::SeqCst);
    reach();
    // SAFETY: the system's VFS with SQLite's own arguments; an opened file's methods stay valid, and so do the leaked ones.
    unsafe {
        let outcome = (*real).xOpen.expect("files can be opened")(real, name, file, flags, out);
        if outcome == 0 && !(*file).pMethods.is_null() {
            let found = *(*file).pMethods;
            METHODS.get_or_init(|| found);
            let ours =
                sqlite3_io_methods { xWrite: Some(write), xSync: Some(sync), xTruncate: Some(truncate), ..found };
            (*file).pMethods = Box::leak(Box::new(ours));
        }
        outcome
    }
}

/// Makes every database of this process one that dies at `point`.
fn stand_between(point: i64) {
    LEFT.store(point, Ordering::SeqCst);
    // SAFETY: the default VFS lives as long as the process, and so does its leaked copy.
    unsafe {
        let real = sqlite3_vfs_find(std::ptr::null());
        SYSTEM.store(real, Ordering::SeqCst);
        let ours = sqlite3_vfs { zName: c"killing".as_ptr(), xOpen: Some(open), pNext: std::ptr::null_mut(), ..*real };
        assert_eq!(sqlite3_vfs_register(Box::leak(Box::new(ours)), 1), 0);
    }
}

fn identity() -> StudyIdentity {
    StudyIdentity { name: "killed".into(), config_hash: "abc".into(), seed: 3 }
}

/// Goes on with the study; a line in `returned` for every trial whose end was recorded.
fn work(folder: &Path) {
    let mut study = SqliteStudy::open_or_create(&folder.join("study.sqlite"), &identity()).unwrap();
    let mut returned = std::fs::OpenOptions::new().append(true).create(true).open(folder.join("returned")).unwrap();
    for number in 0..TRIALS {
        let known = study.trials(1).unwrap().into_iter().find(|t| t.number == number);
        let id = match known {
            Some(trial) if trial.state != TrialState::Running => continue,
            Some(trial) => {
                study.restart(trial.id, 100).unwrap();
                trial.id
            }
            None => study.begin_trial(&trial(number), &[rejected(number)]).unwrap(),
        };
        match number {
            1 => study.fail(id, "diverged", 200).unwrap(),
            _ => study.finish(id, &fitness(number), 200).unwrap(),
        };
        writeln!(returned, "{number}").unwrap();
    }
    if !study.is_exhausted(1).unwrap() {
        study.exhaust(1, &[rejected(TRIALS)]).unwrap();
    }
}

fn trial(number: u64) -> NewTrial {
    NewTrial {
        stage: 1,
        number,
        genome: format!("genome {number}"),
        fingerprint: format!("print {number}"),
        cost: Cost { params: 10 + number, macs: 20 },
        latency_ms: None,
        seed: number,
        started_at: 100,
    }
}

fn rejected(number: u64) -> RejectedDraw {
    RejectedDraw {
        stage: 1,
        number,
        genome: "too big".into(),
        fingerprint: "p".into(),
        cost: Cost { params: 99, macs: 1 },
        latency_ms: None,
        reason: Rejection::TooManyParams,
        at: 90,
    }
}

fn fitness(number: u64) -> Fitness {
    Fitness { score: number as f64 / 3.0, metrics: [("accuracy".to_owned(), 0.1 + 0.2)].into() }
}

/// What a reader finds is a beginning of the uninterrupted study; gives the number of finished trials.
fn check(folder: &Path, at: &str) -> u64 {
    // Of a copy: a reader puts in order what the next process has to cope with.
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let path = copy.path().join("study.sqlite");
    let returned = std::fs::read_to_string(folder.join("returned")).unwrap_or_default().lines().count() as u64;
    let study = match SqliteStudy::open_read_only(&path) {
        // Killed before the tables were there.
        Err(Error::Missing(_) | Error::NotBegun(_)) => {
            assert_eq!(returned, 0, "{at}");
            return 0;
        }
        other => other.expect(at),
    };
    let trials = study.trials(1).expect(at);
    for (number, found) in (0..).zip(&trials) {
        let last = number + 1 == trials.len() as u64;
        assert_eq!((found.number, &found.genome), (number, &format!("genome {number}")), "{at}");
        match found.state {
            TrialState::Running => assert!(last, "{at}: trial {number} was left behind"),
            TrialState::Failed => assert_eq!((number, found.reason.as_deref()), (1, Some("diverged")), "{at}"),
            TrialState::Complete => {
                assert_eq!(
                    (found.fitness, &found.metrics),
                    (Some(number as f64 / 3.0), &fitness(number).metrics),
                    "{at}"
                );
            }
        }
    }
    let last = usize::from(study.is_exhausted(1).expect(at));
    assert_eq!(
        study.rejected(1).expect(at).len(),
        trials.len() + last,
        "{at}: rejected draws come with what they led to"
    );
    let finished = trials.iter().filter(|t| t.state != TrialState::Running).count() as u64;
    assert!(finished >= returned, "{at}: {returned} trials were recorded, {finished} are there");
    finished
}

/// The child of the test below. Without a parent there is nothing to do, so running all ignored tests passes over it.
#[test]
#[ignore = "run by killed_at_every_write_a_study_goes_on_to_the_same_rows"]
fn work_until_the_chosen_point() {
    let (Ok(folder), Ok(point)) = (std::env::var(FOLDER), std::env::var(POINT)) else { return };
    stand_between(point.parse().unwrap());
    work(Path::new(&folder));
}

fn child(folder: &Path, point: i64) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "work_until_the_chosen_point", "--ignored"])
        .envs([(FOLDER, folder.as_os_str()), (POINT, point.to_string().as_ref())])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
}

#[test]
fn killed_at_every_write_a_study_goes_on_to_the_same_rows() {
    let mut points = 0;
    loop {
        let dir = tempfile::tempdir().unwrap();
        let at = format!("killed at point {points}");
        let survived = child(dir.path(), points).success();
        check(dir.path(), &at);
        if !survived {
            // Once more while it goes on, and then to the end.
            child(dir.path(), (points * 5) % 11);
            check(dir.path(), &at);
            assert!(child(dir.path(), i64::MAX).success(), "{at}");
        }
        assert_eq!(check(dir.path(), &at), TRIALS, "{at}");
        let study = SqliteStudy::open_read_only(&dir.path().join("study.sqlite")).expect(&at);
        assert!(study.is_exhausted(1).unwrap(), "{at}");
        assert_eq!(study.best(1).unwrap().unwrap().number, 2, "{at}");
        if survived {
            break;
        }
        points += 1;
    }
    assert!(points > 40, "only {points} points: some are not seen");
}
