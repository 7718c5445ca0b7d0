//! A run that is killed and resumed ends like one that was not: same trials, same scores, same weights, same checkpoints.
//!
//! The real binary is killed with SIGKILL, so nothing it could have done at the end is done. The moments are read off
//! `log.jsonl`, and each test fails if its kill came too late to be one.

#![allow(clippy::disallowed_methods, reason = "the seed is printed, and taken from outside to try it again")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nas::study::{SqliteStudy, StudyStore};
use rand::Rng;
use serde_json::{Value, json};

/// Longer than any phase of the smoke recipe takes, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(180);
/// Decides the moments of the random test; set it to the seed that a failure printed.
const SEED: &str = "EFFICIENTBERT_KILL_SEED";

/// The smoke recipe with phases long enough to be hit: the killed phases go on for most of their length after the event
/// that the tests wait for. Stage 3 is long enough for the learned partition to split, so that its replay counts.
const SETTINGS: [&str; 9] = [
    "teacher.fine_tune.steps=120",
    "teacher.fine_tune.eval_every=40",
    "teacher.fine_tune.checkpoint_every=25",
    "student.begin=teacher",
    "search.stage1.trials=8",
    "search.stage1.proxy.task.steps=8",
    "search.stage3.trials=24",
    "search.stage3.initial_random=12",
    "final.task.steps=80",
];

/// The same with a teacher for each task, whose answers are kept on the disk.
const PER_TASK: [&str; 11] = [
    "teacher.per_task=true",
    "teacher.task_steps={ sts-b = 120 }",
    "teacher.fine_tune.steps=60",
    "teacher.fine_tune.checkpoint_every=25",
    "teacher.cache.where=disk",
    "search.stage3.trials=8",
    "search.stage3.task.steps=100",
    "search.stage3.task.checkpoint_every=20",
    "compare.same_params=false",
    "final.inherit=teacher",
    "name=per-task",
];

/// What must not depend on whether a run was killed.
#[derive(Debug, PartialEq)]
struct Ending {
    trials: Vec<Value>,
    comparison: Value,
    student: String,
    /// Weights of the fine-tuned teachers by path.
    teachers: BTreeMap<PathBuf, String>,
    /// Loss and gradient norm of every reported step, the last report of each, by phase and step. Without them a difference after the
    /// best evaluation would not show, since checkpoints are gone once a run is finished.
    steps: BTreeMap<(String, u64), [Value; 2]>,
}

/// Starts a run with `settings`, or goes on with one where there are none.
fn start(folder: &Path, settings: Option<&[&str]>) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_efficientbert"));
    command.args(["search", "--progress", "auto", "--threads", "2", "--out"]).arg(folder);
    match settings {
        None => drop(command.arg("--resume")),
        Some(settings) => {
            command.args(["--recipe", "smoke"]);
            for setting in settings {
                command.args(["--set", setting]);
            }
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().expect("the binary starts")
}

/// Runs to the end; gives what was written to standard error.
fn finish(folder: &Path, settings: Option<&[&str]>) -> String {
    let output = start(folder, settings).wait_with_output().expect("the binary ends");
    let said = String::from_utf8(output.stderr).expect("standard error is UTF-8");
    assert!(output.status.success(), "{said}");
    said
}

/// Complete lines of the log.
fn log(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("log.jsonl")).unwrap_or_default();
    let complete = text.split_inclusive('\n').filter(|l| l.ends_with('\n'));
    complete.map(|l| serde_json::from_str(l).expect("a complete line is JSON")).collect()
}

/// Kills `run` once `seen` accepts the log; false if the run ended before.
fn kill_when(run: &mut Child, folder: &Path, seen: impl Fn(&[Value]) -> bool) -> bool {
    let begun = Instant::now();
    while !seen(&log(folder)) {
        if run.try_wait().expect("the process can be asked").is_some() {
            return false;
        }
        assert!(begun.elapsed() < PATIENCE, "the moment to kill at never came");
        std::thread::sleep(Duration::from_millis(2));
    }
    run.kill().expect("the process can be killed");
    !run.wait().expect("a killed process ends").success()
}

fn result(folder: &Path) -> Ending {
    let study = SqliteStudy::open_read_only(&folder.join("study.sqlite")).expect("a study");
    let mut trials = Vec::new();
    for stage in 1..=3 {
        for trial in study.trials(stage).expect("a readable study") {
            let mut row = serde_json::to_value(trial).expect("a trial is JSON");
            let fields = row.as_object_mut().expect("an object");
            for clock in ["started_at", "finished_at"] {
                assert!(fields.remove(clock).is_some_and(|v| v.is_i64()), "{clock} of a finished trial");
            }
            trials.push(row);
        }
        let rejected = study.rejection_counts(stage).expect("a readable study");
        trials.extend(rejected.iter().map(|(reason, n)| json!([stage, reason.name(), n])));
    }
    let run: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("run.json")).expect("run.json"))
        .expect("run.json is JSON");
    assert_eq!(run["finished"], true);
    let mut comparison = run["comparison"].clone();
    for row in comparison.as_array_mut().expect("a comparison") {
        let measured = row["role"] != "majority";
        assert!(row.as_object_mut().expect("an object").remove("latency_ms").is_some_and(|v| v.is_f64() == measured));
    }
    let weights = folder.join("student/model.safetensors");
    let mut steps = BTreeMap::new();
    for event in log(folder).into_iter().filter(|e| e["event"] == "step") {
        let of = (event["phase"].as_str().expect("a name").to_string(), event["step"].as_u64().expect("a number"));
        steps.insert(of, [event["loss"].clone(), event["grad_norm"].clone()]);
    }
    let hash = |path: &Path| run_store::hash::file(path).expect("readable weights");
    let of_teacher = |p: &PathBuf| p.starts_with("teacher") && p.ends_with("model/model.safetensors");
    let teachers = below(folder).into_iter().filter(of_teacher).map(|p| (p.clone(), hash(&folder.join(p)))).collect();
    Ending { trials, comparison, student: hash(&weights), teachers, steps }
}

/// Settings, and the uninterrupted run with them: how it ended, its log and its page.
struct Kind {
    settings: &'static [&'static str],
    whole: OnceLock<(Ending, Vec<Value>, String)>,
}

static USUAL: Kind = Kind { settings: &SETTINGS, whole: OnceLock::new() };
static TEACHER_PER_TASK: Kind = Kind { settings: &PER_TASK, whole: OnceLock::new() };

impl Kind {
    /// That run, made once for all tests.
    fn reference(&self) -> &(Ending, Vec<Value>, String) {
        self.whole.get_or_init(|| {
            let dir = tempfile::tempdir().expect("a temporary folder");
            let folder = dir.path().join("run");
            finish(&folder, Some(self.settings));
            let page = std::fs::read_to_string(folder.join("report.html")).expect("a report");
            (result(&folder), log(&folder), page)
        })
    }
}

/// Compares piece by piece, so that a failure shows the first difference and not two whole runs.
#[track_caller]
fn equals_reference(folder: &Path, kind: &Kind, story: &str) {
    let (killed, (whole, ..)) = (result(folder), kind.reference());
    assert_eq!(killed.trials.len(), whole.trials.len(), "{story}: trials");
    for (killed, whole) in killed.trials.iter().zip(&whole.trials) {
        assert_eq!(killed, whole, "{story}");
    }
    assert_eq!(killed.comparison, whole.comparison, "{story}");
    assert_eq!(killed.student, whole.student, "{story}: weights of the student");
    assert_eq!(killed.teachers, whole.teachers, "{story}: weights of the teachers");
    let phases: std::collections::BTreeSet<&String> = killed.steps.keys().map(|(phase, _)| phase).collect();
    assert!(phases.len() > 6, "{story}: every training is in the log: {phases:?}");
    assert_eq!(killed.steps, whole.steps, "{story}");
    let checkpoints: Vec<PathBuf> = checkpoints(folder);
    assert_eq!(checkpoints, Vec::<PathBuf>::new(), "{story}: a finished run needs no checkpoints");
    let of_a_process = |p: &PathBuf| {
        let name = p.to_string_lossy();
        name.contains(".tmp") || ["lock.json", "study.sqlite-wal", "study.sqlite-shm"].contains(&&*name)
    };
    let strays: Vec<PathBuf> = below(folder).into_iter().filter(of_a_process).collect();
    assert_eq!(strays, Vec::<PathBuf>::new(), "{story}: what the killed process was writing is removed");
}

/// Every file and folder below `root`, relative to it.
fn below(root: &Path) -> Vec<PathBuf> {
    let (mut found, mut queue) = (Vec::new(), vec![root.to_path_buf()]);
    while let Some(folder) = queue.pop() {
        for entry in std::fs::read_dir(&folder).expect("the folder is there") {
            let path = entry.expect("an entry").path();
            found.push(path.strip_prefix(root).expect("below the folder").to_path_buf());
            if path.is_dir() {
                queue.push(path);
            }
        }
    }
    found
}

/// The folders of checkpoints below `root`, relative to it.
fn checkpoints(root: &Path) -> Vec<PathBuf> {
    let named = |p: &PathBuf| p.file_name().is_some_and(|name| name.to_string_lossy().starts_with("step-"));
    below(root).into_iter().filter(named).collect()
}

/// Kills a run in `phase` once `field` of its events has reached `at`, resumes it and compares.
fn killed_in(kind: &Kind, phase: &str, field: &str, at: u64) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = dir.path().join("run");
    let of_phase = |e: &Value| e["phase"] == phase;
    let reached = |e: &Value| of_phase(e) && e[field].as_u64().is_some_and(|n| n >= at);
    let killed = kill_when(&mut start(&folder, Some(kind.settings)), &folder, |log| log.iter().any(reached));
    let before = log(&folder);
    let over = before.iter().any(|e| of_phase(e) && e["event"] == "phase_finished");
    assert!(killed && !over, "{phase} ended before it could be killed; make it longer");

    // Of a phase that is over its result is kept, and no moments.
    let finished = |e: &&Value| e["event"] == "phase_finished";
    for over in before.iter().filter(finished).filter_map(|e| e["phase"].as_str()).filter(|p| !p.starts_with("stage")) {
        let kept = checkpoints(&folder.join(over));
        assert_eq!(kept.len(), 1, "{over}: {kept:?}");
        let held = below(&folder.join(over).join(&kept[0]));
        assert!(held.len() == 2 && !held.contains(&"optimizer.safetensors".into()), "{over}: {held:?}");
    }

    let said = finish(&folder, None);
    equals_reference(&folder, kind, phase);
    assert!(said.contains("ended here without releasing the folder"), "the stale lock is told: {said}");

    // Phases that were over are not announced again, neither to a person nor in the log.
    let done: Vec<&str> =
        before.iter().filter(|e| e["event"] == "phase_finished").filter_map(|e| e["phase"].as_str()).collect();
    for name in &done {
        assert!(!said.lines().any(|l| l.starts_with(&format!("{name}:"))), "{name} is over, but: {said}");
    }
    let after = &log(&folder)[before.len()..];
    let restarted = after.iter().find(|e| e["event"] == "phase_started").expect("a phase goes on");
    assert_eq!(restarted["phase"], phase);
    assert!(restarted["done"].as_u64().is_some_and(|n| n > 0), "it goes on in the middle: {restarted}");
}

#[test]
fn a_run_killed_while_the_teacher_is_trained_ends_like_one_that_was_not() {
    killed_in(&USUAL, "teacher", "step", 50);
}

#[test]
fn a_run_killed_in_stage_one_ends_like_one_that_was_not() {
    killed_in(&USUAL, "stage-1", "number", 2);
}

#[test]
fn a_run_killed_in_the_final_distillation_ends_like_one_that_was_not() {
    killed_in(&USUAL, "final/task", "step", 30);
}

#[test]
fn a_run_killed_while_the_second_of_two_teachers_is_trained_ends_like_one_that_was_not() {
    killed_in(&TEACHER_PER_TASK, "teacher/sts-b", "step", 50);
}

#[test]
fn a_run_killed_while_the_supernet_learns_from_two_teachers_ends_like_one_that_was_not() {
    killed_in(&TEACHER_PER_TASK, "supernet/task", "step", 50);
}

/// Copies a folder.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a writable folder");
    for path in below(from) {
        let (source, target) = (from.join(&path), to.join(&path));
        if source.is_dir() {
            std::fs::create_dir_all(target).expect("a writable folder");
        } else {
            std::fs::create_dir_all(target.parent().expect("below the folder")).expect("a writable folder");
            std::fs::copy(source, target).expect("a readable file");
        }
    }
}

#[test]
fn a_run_with_a_latency_limit_goes_on_with_the_table_that_it_has_measured_to_the_same_end() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let [folder, other] = ["run", "copy"].map(|name| dir.path().join(name));
    // Nothing is too slow: the latencies themselves decide between equal scores, and are compared.
    let settings = ["budget.max_latency_ms=50.0", "search.stage1.trials=8", "search.stage3.trials=12"];
    let is_trial = |e: &Value| e["phase"] == "stage-1" && e["number"].as_u64().is_some_and(|n| n >= 1);
    let killed = kill_when(&mut start(&folder, Some(&settings)), &folder, |log| log.iter().any(is_trial));
    assert!(killed, "stage 1 ended before it could be killed");
    let table = std::fs::read(folder.join("latency-table.json")).expect("the run has kept its table");
    copy(&folder, &other);
    let is_third = |e: &Value| e["phase"] == "stage-3" && e["number"].as_u64().is_some_and(|n| n >= 1);
    assert!(kill_when(&mut start(&other, None), &other, |log| log.iter().any(is_third)), "stage 3 is over");
    for folder in [&folder, &other] {
        finish(folder, None);
        assert_eq!(std::fs::read(folder.join("latency-table.json")).expect("the table"), table);
    }
    let (one, two) = (result(&folder), result(&other));
    assert!(one.trials.iter().filter_map(|t| t["latency_ms"].as_f64()).count() >= 20, "all are predicted");
    assert_eq!((one.trials, one.student, one.steps), (two.trials, two.student, two.steps));
}

#[test]
fn each_of_two_teachers_is_what_its_task_alone_makes_of_it_and_is_shown() {
    let (ending, log_of_both, page) = TEACHER_PER_TASK.reference();
    let of = |task: &str| Path::new("teacher").join(task).join("model/model.safetensors");
    assert_eq!(ending.teachers.keys().cloned().collect::<Vec<_>>(), [of("sst-2"), of("sts-b")]);
    let steps = |phase: &str| -> Vec<u64> {
        let started = log_of_both.iter().filter(|e| e["event"] == "phase_started" && e["phase"] == phase);
        started.filter_map(|e| e["total"].as_u64()).collect()
    };
    assert_eq!((steps("teacher/sst-2"), steps("teacher/sts-b"), steps("teacher")), (vec![60], vec![120], vec![]));
    for name in ["teacher/sst-2", "teacher/sts-b"] {
        assert!(page.contains(name), "{name} is in the report");
    }
    let row = &ending.comparison[0];
    assert_eq!((&row["name"], &row["role"]), (&json!("teachers"), &json!("teacher")));
    let scored: Vec<&str> = row["scores"].as_array().unwrap().iter().filter_map(|s| s["task"].as_str()).collect();
    assert!(["sst-2", "sts-b"].iter().all(|task| scored.contains(task)), "{row}");
    assert!(row["note"].as_str().is_some_and(|note| note.contains("one for each task")), "{row}");

    // A run that knows one task only makes the same teacher of it.
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = dir.path().join("run");
    let alone = [&PER_TASK[..], &["tasks=[\"sts-b\"]"]].concat();
    let over = |e: &Value| e["phase"] == "supernet/warm-up" && e["event"] == "phase_started";
    assert!(kill_when(&mut start(&folder, Some(&alone)), &folder, |log| log.iter().any(over)));
    assert_eq!(run_store::hash::file(folder.join(of("sts-b"))).expect("a teacher"), ending.teachers[&of("sts-b")]);
}

/// Stops a run by a signal as soon as `what` is done within `phase`, resumes it and compares.
#[cfg(unix)]
fn stopped_within(phase: &str, what: &str) {
    use std::io::{BufRead, BufReader, Read};

    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = dir.path().join("run");
    let mut command = Command::new(env!("CARGO_BIN_EXE_efficientbert"));
    command.args(["search", "--recipe", "smoke", "--progress", "json", "--threads", "2", "--out"]).arg(&folder);
    for setting in SETTINGS {
        command.args(["--set", setting]);
    }
    let mut run = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let mut said = BufReader::new(run.stderr.take().expect("piped"));
    let mut line = String::new();
    loop {
        line.clear();
        assert!(said.read_line(&mut line).expect("UTF-8") > 0, "{phase}: it ended before {what}");
        let event: Value = serde_json::from_str(&line).unwrap_or_default();
        let is_it = event["what"].as_str().is_some_and(|text| text.ends_with(what));
        if event["event"] == "within" && event["phase"] == phase && is_it {
            break;
        }
    }
    let kill = Command::new("kill").args(["-TERM", &run.id().to_string()]).status().expect("kill");
    assert!(kill.success());
    let mut rest = String::new();
    said.read_to_string(&mut rest).expect("UTF-8");
    assert_eq!(run.wait().expect("it ends").code(), Some(130), "{rest}");
    assert!(rest.contains("everything done is saved"), "{rest}");
    finish(&folder, None);
    equals_reference(&folder, &USUAL, &format!("{phase}, {what}"));
}

#[cfg(unix)]
#[test]
fn a_run_stopped_while_the_teacher_is_evaluated_ends_like_one_that_was_not() {
    stopped_within("teacher", "evaluation");
}

#[cfg(unix)]
#[test]
fn a_run_stopped_while_a_candidate_is_scored_ends_like_one_that_was_not() {
    stopped_within("stage-1", "scoring");
    stopped_within("stage-3", "scoring");
}

#[test]
fn a_run_killed_before_its_study_had_tables_ends_like_one_that_was_not() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = dir.path().join("run");
    let mut run = start(&folder, Some(USUAL.settings));
    // The study is made right after the teacher, and is empty for a moment.
    assert!(kill_when(&mut run, &folder, |log| log.len() > 2), "the kill hit");
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(folder.join(format!("study.sqlite{end}")));
    }
    std::fs::write(folder.join("study.sqlite"), "").expect("an empty database is an empty file");
    finish(&folder, None);
    equals_reference(&folder, &USUAL, "an empty study");
}

#[test]
fn a_run_killed_at_several_random_moments_ends_like_one_that_was_not() {
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
    let seed = std::env::var(SEED).ok().map_or_else(clock, |s| s.parse().expect("a number"));
    println!("{SEED}={seed}");
    let lines = USUAL.reference().1.len();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = dir.path().join("run");
    let mut rng = run_store::rng::keyed(seed, "kills", &[]);
    let (mut kills, mut seen) = (0, 0);
    for _ in 0..4 {
        // The kill falls between two events; where between, the wait says.
        let target = seen + rng.random_range(1..=lines as u32 / 4) as usize;
        let wait = Duration::from_millis(rng.random_range(0..40));
        let mut run = start(&folder, (seen == 0).then_some(USUAL.settings));
        let killed = kill_when(&mut run, &folder, |log| {
            let due = log.len() >= target;
            if due {
                std::thread::sleep(wait);
            }
            due
        });
        kills += usize::from(killed);
        seen = log(&folder).len();
        assert!(seen > 0, "{SEED}={seed}: a run that has begun has a log");
        if !killed {
            break;
        }
    }
    assert!(kills > 0, "{SEED}={seed}: no kill hit");
    finish(&folder, None);
    equals_reference(&folder, &USUAL, &format!("{SEED}={seed}, {kills} kills"));
}
