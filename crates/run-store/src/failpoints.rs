//! Crashes and refusals on purpose, at any one of the steps by which this crate changes the disk.
//!
//! Every such step (a file or folder created, a write, an fsync, a rename, a removal, a truncation) is a point. Points are counted
//! from the call of [`arm`]; at the chosen one the process ends without another instruction of its own, or the step is refused
//! as a full disk or a lost permission would refuse it. While armed, a write is two points and two halves, so that a kill
//! between them leaves a torn file.
//!
//! Only in tests of this crate and with the feature `failpoints`. The state is one for the process: arm it in a process of its own.

use std::io::{self, ErrorKind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::ops::Step;

/// What happens at the chosen point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing: points are only counted.
    Count,
    /// The process ends at once, as by SIGKILL: nothing is unwound, flushed or removed.
    Kill,
    /// From this point on, until [`disarm`], steps are refused with this error: [`ErrorKind::StorageFull`] refuses all that
    /// need space, anything else everything.
    Refuse(ErrorKind),
}

struct State {
    armed: Option<(u64, Action)>,
    reached: u64,
}

static STATE: Mutex<State> = Mutex::new(State { armed: None, reached: 0 });

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets `action` happen at point `at`, counted from 0 from now on.
pub fn arm(at: u64, action: Action) {
    *state() = State { armed: Some((at, action)), reached: 0 };
}

/// Lets nothing happen any more; gives the points reached since [`arm`].
pub fn disarm() -> u64 {
    let mut state = state();
    state.armed = None;
    state.reached
}

/// How much of a write of `length` bytes is its first half.
pub(crate) fn torn(length: usize) -> usize {
    if state().armed.is_some() { length / 2 } else { 0 }
}

/// One point.
pub(crate) fn reach(step: Step) -> io::Result<()> {
    let mut state = state();
    let Some((at, action)) = state.armed else { return Ok(()) };
    let here = state.reached;
    state.reached += 1;
    match action {
        Action::Kill if here == at => std::process::abort(),
        Action::Refuse(kind) if here >= at => {
            let needs_space = matches!(step, Step::Create | Step::Write | Step::Sync);
            if kind == ErrorKind::StorageFull && !needs_space {
                return Ok(());
            }
            Err(kind.into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::{Command, ExitStatus, Stdio};

    use serde::{Deserialize, Serialize};
    use serde_json::json;

    use super::*;
    use crate::checkpoint::{CheckpointStore, FileContent};
    use crate::lock::Holder;
    use crate::log::{self, JsonlWriter};
    use crate::rundir::RunFolder;
    use crate::{Error, Result, atomic, folder};

    const STEPS: u64 = 4;
    const RECIPE: &str = "steps = 4\n";
    /// Tell a child process what to do.
    const FOLDER: &str = "DURABLE_TEST_KILL_FOLDER";
    const POINT: &str = "DURABLE_TEST_KILL_POINT";

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Line {
        step: u64,
        value: u64,
    }

    /// A training whose weights are one number.
    fn next(value: u64, step: u64) -> u64 {
        value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step + 1)
    }

    fn value_after(steps: u64) -> u64 {
        (0..steps).fold(7, next)
    }

    /// What every run does: a log line per step, a checkpoint every second one, a result folder at the end, and the note that
    /// it is finished. It goes on from whatever it finds.
    fn work(path: &Path) -> Result<()> {
        let holder = Holder::this_process("host", "2025-01-01T00:00:00Z");
        let run = match RunFolder::create(path, RECIPE, &holder) {
            Err(Error::RunExists { .. }) => RunFolder::open_for_resume(path, RECIPE, &holder)?,
            other => other?,
        };
        let mut events = JsonlWriter::open(run.paths().log())?;
        let store = CheckpointStore::new(path.join("teacher"), run.config_hash());
        store.clean_stale_temps()?;
        atomic::clean_stale_temps(path.join("student"))?;
        let (mut step, mut value) = match store.latest()?.checkpoint {
            Some(checkpoint) => (checkpoint.step(), read_value(&checkpoint.file("model.bin")?)),
            None => (0, value_after(0)),
        };
        // Killed after a save, the last process left the one before.
        store.retain(1)?;
        while step < STEPS {
            value = next(value, step);
            step += 1;
            events.append(&Line { step, value })?;
            if step.is_multiple_of(2) {
                let model = value.to_le_bytes();
                let files = [("model.bin", FileContent::Bytes(&model)), ("best.bin", FileContent::Bytes(b"best"))];
                store.save(step, &files, json!({ "value": value }))?;
                store.retain(1)?;
            }
        }
        folder::write(path.join("student"), &[("config.json", b"{}"), ("model.bin", &value.to_le_bytes())])?;
        atomic::write_json(path.join("run.json"), &json!({ "value": value }))
    }

    fn read_value(file: &Path) -> u64 {
        u64::from_le_bytes(std::fs::read(file).unwrap().try_into().unwrap())
    }

    /// Whatever happened, a reader finds complete states only, and none that never was.
    fn check_every_state(path: &Path, at: &str) {
        let store = CheckpointStore::new(path.join("teacher"), crate::hash::bytes(RECIPE));
        let latest = store.latest().expect(at);
        assert!(latest.skipped.is_empty(), "{at}: {:?}", latest.skipped);
        if let Some(checkpoint) = latest.checkpoint {
            let model = read_value(&checkpoint.file("model.bin").expect(at));
            assert_eq!(model, value_after(checkpoint.step()), "{at}");
            assert_eq!(checkpoint.state()["value"], model, "{at}");
        }
        if path.join("log.jsonl").exists() {
            for line in log::read::<Line>(path.join("log.jsonl")).expect(at).records {
                assert_eq!(line.value, value_after(line.step), "{at}");
            }
        }
        let student = path.join("student");
        assert!(!student.exists() || read_value(&student.join("model.bin")) == value_after(STEPS), "{at}");
        let finished = path.join("run.json");
        if let Ok(text) = std::fs::read(&finished) {
            let note: serde_json::Value = serde_json::from_slice(&text).expect(at);
            assert_eq!(note["value"], value_after(STEPS), "{at}");
            assert!(student.exists(), "{at}: finished without a result");
        }
    }

    /// The end of a run that was never interrupted, and nothing else.
    fn check_the_end(path: &Path, at: &str) {
        check_every_state(path, at);
        let mut names: Vec<String> = Vec::new();
        for dir in [path.to_owned(), path.join("teacher"), path.join("student")] {
            names.extend(std::fs::read_dir(dir).expect(at).map(|e| e.unwrap().file_name().into_string().unwrap()));
        }
        names.sort();
        let expected =
            ["config.json", "log.jsonl", "model.bin", "recipe.toml", "run.json", "step-000004", "student", "teacher"];
        assert_eq!(names, expected, "{at}");
        let records = log::read::<Line>(path.join("log.jsonl")).expect(at).records;
        let steps: std::collections::BTreeSet<u64> = records.iter().map(|line| line.step).collect();
        assert_eq!(steps.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4], "{at}");
    }

    /// The child of the tests below. Without a parent there is nothing to do, so running all ignored tests passes over it.
    #[test]
    #[ignore = "run by the tests of this module"]
    #[allow(clippy::disallowed_methods, reason = "the parent tells by the environment")]
    fn work_until_the_chosen_point() {
        let (Ok(folder), Ok(point)) = (std::env::var(FOLDER), std::env::var(POINT)) else { return };
        match point.parse() {
            Ok(at) => arm(at, Action::Kill),
            Err(_) => return refuse_everywhere(Path::new(&folder)),
        }
        work(Path::new(&folder)).unwrap();
    }

    fn child(path: &Path, point: &str) -> ExitStatus {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "failpoints::tests::work_until_the_chosen_point", "--ignored", "--nocapture"])
            .envs([(FOLDER, path.as_os_str()), (POINT, point.as_ref())])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(if point == "refuse" { Stdio::inherit() } else { Stdio::null() })
            .status()
            .unwrap()
    }

    #[test]
    fn killed_at_every_step_on_the_disk_and_again_while_going_on_a_run_ends_like_an_uninterrupted_one() {
        const NEVER: &str = "1000000";
        let mut point = 0_u64;
        loop {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("run");
            let at = format!("killed at point {point}");
            let survived = child(&path, &point.to_string()).success();
            check_every_state(&path, &at);
            if survived {
                check_the_end(&path, "never killed");
                break;
            }
            let again = (point * 5) % 23;
            if !child(&path, &again.to_string()).success() {
                check_every_state(&path, &format!("{at}, then at point {again}"));
                assert!(child(&path, NEVER).success(), "{at}, then at point {again}");
            }
            check_the_end(&path, &at);
            point += 1;
        }
        assert!(point > 60, "only {point} points: some are not seen");
    }

    /// In the child: every step refused in turn, and all that come after it.
    fn refuse_everywhere(parent: &Path) {
        for kind in [ErrorKind::StorageFull, ErrorKind::PermissionDenied] {
            let mut point = 0;
            loop {
                let path = parent.join(format!("{kind:?}-{point}"));
                let at = format!("{kind} from point {point} on");
                arm(point, Action::Refuse(kind));
                let outcome = work(&path);
                let reached = disarm();
                check_every_state(&path, &at);
                match outcome {
                    Ok(()) if reached <= point => break,
                    // Refused was only what may fail without harm: clearing away, or emptying the lock file.
                    Ok(()) => {}
                    Err(error) => {
                        let named = matches!(&error, Error::Io { cause, .. } if cause.kind() == kind);
                        assert!(named && error.to_string().contains(&*parent.to_string_lossy()), "{at}: {error}");
                    }
                }
                work(&path).unwrap_or_else(|e| panic!("{at}, then not any more: {e}"));
                check_the_end(&path, &at);
                point += 1;
            }
            assert!(point > 60, "only {point} points: some are not seen");
        }
    }

    #[test]
    fn a_full_disk_and_a_lost_permission_at_every_step_are_reported_and_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(child(dir.path(), "refuse").success(), "see above");
    }
}
