//! What a person sees of a training: progress, the log, TensorBoard, the table at the end, and what signals do.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bert_core::BertConfig;
use glue_squad::task::TaskKind;
use serde_json::{Value, json};

use crate::event_reader::{Event, events};
use crate::support::{command, pocket_folder, run, save_bert, wait_for};

const ARCH: &str = "linear1_1(gelu(linear1_1(x,wb1)),wb2); tanh(linear2_2(gelu(linear2_2(x,wb1)),wb2))";
const TEACHER: [&str; 13] = [
    "teacher",
    "--model",
    "bert",
    "--task",
    "sst-2",
    "--data",
    "pocket",
    "--batch-size",
    "8",
    "--max-len",
    "16",
    "--threads",
    "1",
];

fn teacher<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&TEACHER[..], more].concat()
}

fn distill<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let args = ["distill", "--teacher", "bert", "--arch", ARCH];
    let sizes = ["--hidden", "12", "--embed", "8", "--batch-size", "8", "--max-len", "16", "--threads", "1"];
    [&args[..], &sizes, &["--task", "sst-2", "--data", "pocket"], more].concat()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect()
}

fn log(file: &Path) -> Vec<Value> {
    lines(&std::fs::read_to_string(file).unwrap())
}

/// The event files of a folder in the order in which TensorBoard reads them.
fn boards(folder: &Path) -> Vec<Vec<Event>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    assert!(files.iter().all(|f| f.to_string_lossy().contains("events.out.tfevents.")), "{files:?}");
    files.iter().map(|f| events(&std::fs::read(f).unwrap())).collect()
}

fn signal(name: &str, process: u32) {
    assert!(Command::new("kill").args([name, &process.to_string()]).status().unwrap().success());
}

/// Starts the command, sends `signals` once `ready`, and gives exit code and standard error.
fn stopped(dir: &Path, args: &[&str], signals: &[&str], ready: impl Fn() -> bool) -> (Option<i32>, String) {
    let child = command(dir).args(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for(ready);
    for name in signals {
        signal(name, child.id());
    }
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn every_number_of_a_step_is_in_json_progress_and_in_the_log() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let args = distill(&["--out", "out", "--steps", "40", "--eval-every", "20", "--progress", "json"]);
    let done = run(dir.path(), &args);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let progress = lines(&done.stderr);
    let last = progress.iter().rfind(|e| e["event"] == "finish").expect("a phase ends");
    let values = last["values"].as_object().unwrap();
    for name in
        ["loss", "attention", "hidden", "prediction", "tokens_per_second", "memory_mib", "lr", "grad_norm", "best"]
    {
        assert!(values[name].as_f64().is_some_and(f64::is_finite), "{name} in {last}");
    }
    assert_eq!(values["skipped"], json!(0.0));
    let said = |e: &Value| e["event"] == "message" || e["event"] == "warning";
    assert!(progress.iter().all(|e| e.get("seconds_left").is_some() || said(e)), "{progress:?}");

    let log = log(&dir.path().join("out/log.jsonl"));
    let of = |kind: &str| log.iter().filter(|e| e["event"] == kind).collect::<Vec<_>>();
    assert_eq!(of("step").iter().map(|e| e["step"].as_u64().unwrap()).collect::<Vec<_>>(), [10, 20, 30, 40]);
    for step in of("step") {
        let terms: f64 = step["terms"].as_array().unwrap().iter().map(|t| t[1].as_f64().unwrap()).sum();
        assert!((terms - step["loss"].as_f64().unwrap()).abs() < 1e-6, "{step}");
        // Ten batches of eight examples with three to sixteen tokens each.
        assert!((240..=1280).contains(&step["tokens"].as_u64().unwrap()), "{step}");
        assert!(step["tokens_per_second"].as_f64().unwrap() > 0.0 && step["memory_mib"].as_f64().unwrap() > 1.0);
        assert!(step["grad_norm"].as_f64().unwrap() > 0.0 && step["time_ms"].as_i64().unwrap() > 1_600_000_000_000);
    }
    assert_eq!((of("evaluated").len(), of("phase_started").len(), of("phase_finished").len()), (2, 1, 1));
}

#[test]
fn reports_come_as_often_as_they_are_wanted() {
    let dir = pocket_folder(&[]);
    let steps = |file: &str| -> Vec<u64> {
        let log = log(&dir.path().join(file));
        log.iter()
            .filter(|e| e["event"] == "step" && e["phase"] == "teacher")
            .map(|e| e["step"].as_u64().unwrap())
            .collect()
    };
    let base = ["--steps", "20", "--out"];
    let done = |out, more: &[&'static str]| run(dir.path(), &teacher(&[&base[..], &[out], more].concat()));
    assert_eq!(done("often", &["--log-every", "3"]).code, Some(0));
    assert_eq!(steps("often/log.jsonl"), [3, 6, 9, 12, 15, 18, 20]);
    std::fs::write(dir.path().join("rarely.toml"), "[train]\nlog_every = 12\n").unwrap();
    assert_eq!(done("rarely", &["--method", "rarely.toml"]).code, Some(0));
    assert_eq!(steps("rarely/log.jsonl"), [12, 20]);
    let weights = |name: &str| std::fs::read(dir.path().join(name).join("model.safetensors")).unwrap();
    assert!(weights("often") == weights("rarely"), "it decides nothing");

    // A search has it as a key of the recipe, and a run that goes on may have another.
    let search = ["search", "--recipe", "smoke", "--out", "run", "--set", "teacher.fine_tune.steps=4000"];
    let log_file = dir.path().join("run/log.jsonl");
    let began = || std::fs::read_to_string(&log_file).is_ok_and(|log| log.contains("\"step\":28,"));
    let (code, said) = stopped(dir.path(), &[&search[..], &["--set", "log_every=7"]].concat(), &["-INT"], began);
    assert_eq!(code, Some(130), "{said}");
    let before = steps("run/log.jsonl");
    assert!(before.iter().all(|step| step.is_multiple_of(7)), "{before:?}");
    let far = before.last().unwrap() + 200;
    let began = || steps("run/log.jsonl").last().is_some_and(|&step| step > far);
    let resume = ["search", "--resume", "--out", "run", "--log-every", "50"];
    let (code, said) = stopped(dir.path(), &resume, &["-INT"], began);
    assert_eq!(code, Some(130), "{said}");
    let after = steps("run/log.jsonl");
    assert!(after[before.len()..].iter().all(|step| step.is_multiple_of(50)), "{after:?}");
    run(dir.path(), &["search", "--recipe", "smoke", "--out", "zero", "--set", "log_every=0"])
        .fails_with(2, &["`log_every` must be at least 1"]);
}

#[test]
fn the_end_is_a_table_for_people_and_the_same_numbers_for_machines() {
    let dir = pocket_folder(&[]);
    let done = run(dir.path(), &teacher(&["--out", "out", "--steps", "40", "--eval-every", "10"]));
    done.says(&[
        "teacher: 40 steps",
        "gradient norm",
        "best scores  sst-2/accuracy",
        "peak memory",
        "model        out",
    ]);
    let end = done.json();
    let best = end["best_step"].as_u64().unwrap();
    assert!(best > 0 && best <= 40 && best.is_multiple_of(10), "{end}");
    done.says(&[&format!("(step {best})")]);
    assert!(end["seconds"].as_f64().unwrap() > 0.0 && end["tokens_per_second"].as_f64().unwrap() > 0.0, "{end}");
    assert!(end["peak_memory_mib"].as_f64().unwrap() > 1.0, "{end}");
    let quiet = run(dir.path(), &teacher(&["--out", "quiet", "--steps", "2", "--progress", "none"]));
    // Two steps may make a model that answers one class: that is said in every mode, and nothing else is.
    let warnings = quiet.json()["warnings"].as_array().unwrap().clone();
    let said: String = warnings.iter().map(|text| format!("warning: {}\n", text.as_str().unwrap())).collect();
    assert_eq!((quiet.code, quiet.stderr), (Some(0), said));
}

#[test]
fn a_training_that_goes_on_marks_it_in_its_log_and_begins_another_event_file() {
    let dir = pocket_folder(&[]);
    let more = ["--out", "out", "--steps", "400", "--checkpoint-every", "25", "--eval-every", "50"];
    let args = teacher(&[&more[..], &["--tensorboard", "boards/here"]].concat());
    let mut child = command(dir.path()).args(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for(|| dir.path().join("out.training/checkpoints/step-000050").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!dir.path().join("out").exists(), "it was killed in the middle");
    let before = log_lines_that_are_whole(&dir.path().join("out.training/log.jsonl"));
    let resumed = run(dir.path(), &[&args[..], &["--resume"]].concat());
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    resumed.says(&["teacher: continuing after step", "of them done"]);

    let log = log(&dir.path().join("out/log.jsonl"));
    assert_eq!(log[..before.len()], before, "what was written stays");
    let marks: Vec<&Value> = log.iter().filter(|e| e["event"] == "resumed").collect();
    let [mark] = marks[..] else { panic!("one mark: {marks:?}") };
    let from = mark["step"].as_u64().unwrap();
    assert!(from >= 50 && from.is_multiple_of(25), "{mark}");
    let best = log.iter().filter(|e| e["event"] == "evaluated" && e["step"].as_u64().unwrap() <= from);
    let best = best.map(|e| e["score"].as_f64().unwrap()).fold(0.0, f64::max);
    assert_eq!(mark["best"], json!(best), "what was best before is still known");
    // With the lines after the mark in place of those they repeat, every tenth step is there once.
    let at = log.iter().position(|e| e == mark).unwrap();
    let steps = |part: &[Value]| {
        part.iter().filter(|e| e["event"] == "step").map(|e| e["step"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let kept = steps(&log[..at]).into_iter().filter(|&step| step <= from);
    assert_eq!(kept.chain(steps(&log[at..])).collect::<Vec<_>>(), (1..=40).map(|i| i * 10).collect::<Vec<_>>());

    let files = boards(&dir.path().join("boards/here"));
    let [first, second] = &files[..] else { panic!("{} files", files.len()) };
    assert!(first[0].version == "brain.Event:2" && second[0].version == "brain.Event:2");
    assert!(
        second[1].restart && second[1].step == from + 1,
        "earlier steps from there on are dropped: {:?}",
        second[1]
    );
    let tags = |event: &Event| event.values.iter().map(|(tag, _)| tag.clone()).collect::<Vec<_>>();
    let expected = [
        "loss/total",
        "loss/label",
        "training/learning_rate",
        "training/grad_norm",
        "training/tokens_per_second",
        "training/memory_mib",
    ];
    assert_eq!(tags(&second[2]), expected);
    let last = second.last().unwrap();
    assert_eq!((last.step, tags(last)), (400, vec!["dev/score".to_string(), "dev/sst-2/accuracy".to_string()]));
    let logged = log.iter().rfind(|e| e["event"] == "step").unwrap()["loss"].as_f64().unwrap();
    let written = second.iter().rfind(|e| e.values[..].first().is_some_and(|v| v.0 == "loss/total")).unwrap();
    assert_eq!(written.values[0].1, logged as f32);
}

/// A kill can leave half a line, which the next process removes.
fn log_lines_that_are_whole(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    lines(text.rsplit_once('\n').map_or("", |(whole, _)| whole))
}

#[test]
fn a_folder_for_event_files_that_cannot_be_one_is_refused_before_any_work() {
    let dir = pocket_folder(&[]);
    std::fs::write(dir.path().join("file"), "mine").unwrap();
    run(dir.path(), &teacher(&["--out", "out", "--tensorboard", "file"])).fails_with(2, &["--tensorboard file"]);
    run(dir.path(), &teacher(&["--out", "out", "--tensorboard", "out/boards"]))
        .fails_with(2, &["--tensorboard out/boards", "lies in --out"]);
    run(dir.path(), &["search", "--recipe", "smoke", "--out", "run", "--tensorboard", "file"])
        .fails_with(2, &["--tensorboard file"]);
    assert!(!dir.path().join("out.training").exists() && !dir.path().join("run").exists());
}

#[test]
fn the_dashboard_needs_a_terminal_and_says_so() {
    let dir = pocket_folder(&[]);
    let done = run(dir.path(), &teacher(&["--out", "out", "--steps", "3", "--progress", "dashboard"]));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    done.says(&["no terminal: lines in place of the dashboard", "teacher: 3 of 3 steps"]);
}

#[test]
fn an_error_is_an_object_where_progress_is() {
    let dir = pocket_folder(&[]);
    let failed =
        run(dir.path(), &["eval", "--model", "none", "--task", "sst-2", "--data", "pocket", "--progress", "json"]);
    assert_eq!(failed.code, Some(2));
    let said = lines(&failed.stderr);
    assert_eq!((&said[0]["event"], &said[0]["exit_code"]), (&json!("error"), &json!(2)), "{}", failed.stderr);
    assert_eq!(said[0]["text"], json!("--model none: no such folder"));
    assert!(said[0]["hint"].as_str().unwrap().contains("config.json") && said[0]["causes"] == json!([]));
}

/// A terminal is made by `script` of util-linux, where there is one.
#[cfg(target_os = "linux")]
#[test]
fn the_dashboard_draws_curve_terms_speed_and_evaluations_in_place() {
    if Command::new("script").arg("--version").stdout(Stdio::null()).status().is_err() {
        test_support::skipped("no `script` to make a terminal with");
        return;
    }
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let args = distill(&["--out", "out", "--steps", "60", "--eval-every", "20", "--progress", "dashboard"]);
    let quoted: Vec<String> = args.iter().map(|a| format!("'{a}'")).collect();
    let line = format!("stty cols 50 rows 40; '{}' {}", env!("CARGO_BIN_EXE_efficientbert"), quoted.join(" "));
    let mut script = Command::new("script");
    script.current_dir(dir.path()).args(["-qefc", &line, "/dev/null"]).stdin(Stdio::null());
    let output = script.env("TERM", "xterm").output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{shown}");
    for part in
        ["distill [", "█", "terms  attention", "step   lr", "tokens/s", "dev    distill: step 60: sst-2/accuracy"]
    {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    // No wider than the terminal: the third term is cut, and an evaluation goes on in the next line.
    assert!(shown.contains("  predic ") && !shown.contains("prediction"), "{shown}");
    assert!(
        shown.contains("\u{1b}[") && shown.contains("best scores"),
        "drawn in place, and a table at the end: {shown}"
    );
}

type Args = fn(&[&'static str]) -> Vec<&'static str>;

#[cfg(unix)]
#[test]
fn signals_save_a_checkpoint_and_the_training_goes_on_to_the_same_weights() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let weights = |name: &str| std::fs::read(dir.path().join(name).join("model.safetensors")).unwrap();
    for (name, trained, progress, [out, folder, whole]) in [
        ("-TERM", teacher as Args, "auto", ["a", "a.training", "a-whole"]),
        ("-INT", distill, "json", ["b", "b.training", "b-whole"]),
    ] {
        let more = |out| trained(&["--steps", "1500", "--checkpoint-every", "0", "--progress", progress, "--out", out]);
        let began = || {
            std::fs::read_to_string(dir.path().join(folder).join("log.jsonl")).is_ok_and(|log| log.contains("\"step\""))
        };
        let (code, said) = stopped(dir.path(), &more(out), &[name], began);
        assert_eq!(code, Some(130), "{name}: {said}");
        assert!(said.contains("a checkpoint was saved") && said.contains("--resume"), "{said}");
        if progress == "json" {
            let said = lines(&said);
            let last = said.last().unwrap();
            assert_eq!((&last["event"], &last["exit_code"]), (&json!("interrupted"), &json!(130)));
            assert!(
                said.iter().any(|line| line["text"].as_str().is_some_and(|text| text.contains("press Ctrl-C again")))
            );
        }
        assert_eq!(std::fs::read_dir(dir.path().join(folder).join("checkpoints")).unwrap().count(), 1);
        let resumed = run(dir.path(), &[&more(out)[..], &["--resume"]].concat());
        assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
        resumed.says(&["continuing after step"]);
        assert_eq!(run(dir.path(), &more(whole)).code, Some(0));
        assert!(weights(out) == weights(whole), "{name}: weights of a stopped and of an undisturbed training");
    }
}

#[cfg(unix)]
#[test]
fn a_second_ctrl_c_stops_at_once() {
    use std::io::{BufRead, BufReader, Read};

    let dir = pocket_folder(&[]);
    // A step takes seconds.
    let wide = BertConfig {
        max_position_embeddings: 24,
        ..BertConfig::bert(synthetic_tasks::vocabulary().len(), 384, 6, 6, 1536)
    };
    save_bert(dir.path(), "wide", &wide);
    let data = ["--task", "sst-2", "--data", "pocket", "--batch-size", "96", "--max-len", "24", "--threads", "1"];
    let args = [&["teacher", "--model", "wide", "--steps", "50", "--out", "out"][..], &data].concat();
    let mut child = command(dir.path()).args(&args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    wait_for(|| dir.path().join("out.training/log.jsonl").metadata().is_ok_and(|m| m.len() > 0));
    signal("-INT", child.id());
    let mut line = String::new();
    while !line.contains("press Ctrl-C again") {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended without a word");
    }
    signal("-INT", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(!rest.contains("checkpoint was saved"), "it did not wait for the step: {rest}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_in_a_search_exits_with_130_and_the_run_goes_on() {
    let dir = pocket_folder(&[]);
    let args = ["search", "--recipe", "smoke", "--out", "run", "--tensorboard", "run/tensorboard"];
    let set = ["--set", "teacher.fine_tune.steps=1000"];
    let began = || {
        std::fs::read_to_string(dir.path().join("run/log.jsonl")).is_ok_and(|log| log.contains("\"event\":\"step\""))
    };
    let (code, said) = stopped(dir.path(), &[&args[..], &set].concat(), &["-INT"], began);
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("everything done is saved") && said.contains("--resume"), "{said}");
    let resumed = run(dir.path(), &[&args[..1], &args[3..], &["--resume"]].concat());
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    let log = log(&dir.path().join("run/log.jsonl"));
    let resumed = log.iter().find(|e| e["event"] == "resumed").expect("a mark in the log");
    assert!(resumed["phase"] == "teacher" && resumed["step"].as_u64().unwrap() < 1000, "{resumed}");
    let step = log.iter().rfind(|e| e["event"] == "step").unwrap();
    assert!(step["tokens"].as_u64().unwrap() > 0 && step["memory_mib"].as_f64().unwrap() > 1.0, "{step}");
    assert_eq!(boards(&dir.path().join("run/tensorboard/teacher")).len(), 2);
    let trials = boards(&dir.path().join("run/tensorboard/stage-1"));
    assert!(trials[0][1..].iter().all(|e| e.values[0].0 == "trial/score"), "{trials:?}");
    assert_eq!(boards(&dir.path().join("run/tensorboard/final/task")).len(), 1);
}

#[cfg(unix)]
#[test]
fn signals_stop_the_packing_of_a_corpus_which_is_then_packed_like_an_undisturbed_one() {
    let dir = pocket_folder(&[]);
    let lines = std::fs::read_to_string(dir.path().join("pocket/corpus.txt")).unwrap();
    std::fs::write(dir.path().join("long.txt"), lines.repeat(20_000_000 / lines.len())).unwrap();
    let args = |out| ["data", "pack", "long.txt", "--tokenizer", "bert", "--out", out, "--shard-text", "1"];
    // The first shard is there, and dozens are to come.
    let began = || {
        std::fs::read_dir(dir.path().join("packed/shards"))
            .is_ok_and(|mut files| files.any(|f| f.is_ok_and(|f| f.file_name().to_string_lossy().ends_with(".tokens"))))
    };
    let (code, said) = stopped(dir.path(), &args("packed"), &["-TERM"], began);
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("stopped before the corpus was packed"), "{said}");
    assert!(!dir.path().join("packed/manifest.json").exists(), "it is not whole");
    let again = run(dir.path(), &args("packed"));
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_eq!(run(dir.path(), &args("whole")).code, Some(0));
    let manifest = |name: &str| std::fs::read(dir.path().join(name).join("manifest.json")).unwrap();
    assert!(manifest("packed") == manifest("whole"));
}
