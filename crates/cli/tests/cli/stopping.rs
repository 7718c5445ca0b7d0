//! Trainings that are stopped in the middle of an evaluation, and how they go on.

#![cfg(unix)]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use bert_core::BertConfig;
use glue_squad::task::TaskKind;
use predict::heads::task_head;
use serde_json::Value;

use crate::support::{command, folder, pocket, pocket_folder, run, save_bert, snapshot};

/// A folder with a dev set of `times` that of the pocket data, whose evaluation takes a while.
fn long_evaluation(times: usize) -> tempfile::TempDir {
    let dir = folder();
    pocket(dir.path());
    let config = BertConfig {
        max_position_embeddings: 24,
        task_heads: vec![task_head(TaskKind::Sst2.task())],
        ..BertConfig::bert(synthetic_tasks::vocabulary().len(), 128, 4, 4, 512)
    };
    save_bert(dir.path(), "wide", &config);
    let dev = dir.path().join("pocket/SST-2/dev.tsv");
    let text = std::fs::read_to_string(&dev).unwrap();
    let (header, rows) = text.split_once('\n').unwrap();
    std::fs::write(&dev, format!("{header}\n{}", rows.repeat(times))).unwrap();
    dir
}

/// Starts the command with JSON progress and sends `signal` once a line is what `seen` waits for. Exit code and lines.
pub fn stopped_at(dir: &Path, args: &[&str], signal: &str, seen: impl Fn(&Value) -> bool) -> (Option<i32>, String) {
    let mut command = command(dir);
    let mut child =
        command.args(args).args(["--progress", "json"]).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    loop {
        let from = said.len();
        assert!(stderr.read_line(&mut said).unwrap() > 0, "it ended before the moment came: {said}");
        if serde_json::from_str(&said[from..]).is_ok_and(|line| seen(&line)) {
            break;
        }
    }
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    stderr.read_to_string(&mut said).unwrap();
    (child.wait().unwrap().code(), said)
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

const SIZES: [&str; 8] = ["--batch-size", "4", "--max-len", "16", "--threads", "1", "--checkpoint-every", "0"];

#[test]
fn a_training_stopped_in_an_evaluation_goes_on_by_its_folder_alone_to_the_same_weights() {
    let dir = long_evaluation(40);
    let elsewhere = folder();
    let weights = |name: &str| std::fs::read(dir.path().join(name).join("model.safetensors")).unwrap();
    let data = ["--task", "sst-2", "--data", "pocket"];
    let arch = ["--arch", "linear1_1(gelu(linear1_1(x,wb1)),wb2)", "--hidden", "96", "--embed", "32", "--heads", "4"];
    // One evaluation, after the last step; and two.
    let teacher = [&["teacher", "--model", "wide", "--steps", "3"][..], &data, &SIZES].concat();
    let distill = ["distill", "--teacher", "wide", "--steps", "4", "--eval-every", "2"];
    let distill = [&distill[..], &arch, &data, &SIZES].concat();
    for (name, args, signal, at) in [("teacher", teacher, "-TERM", 3), ("distill", distill, "-INT", 2)] {
        let (out, whole) = (name.to_owned(), format!("{name}-whole"));
        let args = |out| [&args[..], &["--out", out]].concat();
        let begins = |line: &Value| line["event"] == "within" && line["what"] == "evaluation";
        let (code, said) = stopped_at(dir.path(), &args(&out), signal, begins);
        assert_eq!(code, Some(130), "{said}");
        let lines = lines(&said);
        let within = lines.iter().find(|line| line["event"] == "within").unwrap();
        assert_eq!(
            (&within["phase"], &within["total"], &within["unit"]),
            (&name.into(), &1920.into(), &"examples".into())
        );
        let last = lines.last().unwrap();
        assert_eq!(last["text"], format!("stopped after step {at}; a checkpoint was saved"), "{said}");
        let hint = last["hint"].as_str().unwrap();
        assert_eq!(hint, format!("continue with: efficientbert {name} --resume --out {name}"));
        let log = std::fs::read_to_string(dir.path().join(format!("{name}.training/log.jsonl"))).unwrap();
        assert!(!log.contains("evaluated") && !log.contains("within"), "it was cut off: {log}");
        let checkpoints = dir.path().join(format!("{name}.training/checkpoints"));
        let kept: Vec<_> = std::fs::read_dir(checkpoints).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(kept, [format!("step-{at:06}").as_str()]);

        // From another folder, with nothing but where it is.
        let path = dir.path().join(&out);
        let resumed = run(elsewhere.path(), &[name, "--resume", "--out", path.to_str().unwrap(), "--threads", "1"]);
        assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
        resumed.says(&[&format!("continuing after step {at}"), "best scores"]);
        run(elsewhere.path(), &[name, "--resume", "--out", path.to_str().unwrap()])
            .fails_with(2, &["is finished; nothing is left to do"]);
        assert_eq!(run(dir.path(), &args(&whole)).code, Some(0));
        assert!(weights(&out) == weights(&whole), "{name}: weights of a stopped and of an undisturbed training");
        let evaluations = |name: &str| -> Vec<(Value, Value)> {
            let log = std::fs::read_to_string(dir.path().join(name).join("log.jsonl")).unwrap();
            let all = self::lines(&log).into_iter().filter(|line| line["event"] == "evaluated");
            all.map(|line| (line["step"].clone(), line["score"].clone())).collect()
        };
        assert_eq!(evaluations(&out), evaluations(&whole), "{name}");
    }
}

#[test]
fn options_given_again_must_be_as_they_were() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let args =
        ["teacher", "--model", "bert", "--task", "sst-2", "--data", "pocket", "--out", "out", "--steps", "40000"];
    let reports = |line: &Value| line["event"] == "progress";
    let (code, said) = stopped_at(dir.path(), &[&args[..], &SIZES[..6]].concat(), "-INT", reports);
    assert_eq!(code, Some(130), "{said}");
    let resume = |more: &[&str]| run(dir.path(), &[&["teacher", "--resume", "--out", "out"][..], more].concat());
    let before = snapshot(dir.path());
    resume(&["--steps", "5"])
        .fails_with(2, &["out.training was started with other options", "`training.steps` was 40000"]);
    resume(&["--epochs", "5"]).fails_with(2, &["`training.steps` was 40000"]);
    resume(&["--task", "rte"]).fails_with(2, &["was started with other options"]);
    run(dir.path(), &["distill", "--resume", "--out", "out"])
        .fails_with(2, &["a training of `teacher`, not of `distill`", "efficientbert teacher --resume --out out"]);
    run(dir.path(), &args)
        .fails_with(2, &["unfinished training", "continue with: efficientbert teacher --resume --out out"]);
    assert_eq!(snapshot(dir.path()), before);
    run(dir.path(), &["teacher", "--resume", "--out", "uot"])
        .fails_with(2, &["holds no training to resume", "./ holds: out (interrupted)", "did you mean --out out?"]);
    run(dir.path(), &["runs", "."]).says(&[]);
    // Data that were moved are named; the rest is known.
    std::fs::rename(dir.path().join("pocket"), dir.path().join("moved")).unwrap();
    resume(&[]).fails_with(2, &["--data", "pocket"]);
    let (code, said) =
        stopped_at(dir.path(), &["teacher", "--resume", "--out", "out", "--data", "moved"], "-HUP", reports);
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("continuing after step"), "{said}");
}

#[test]
fn a_signal_in_eval_ends_it_at_once_with_nothing_half_written() {
    let dir = long_evaluation(1000);
    let before = snapshot(dir.path());
    let args = ["eval", "--model", "wide", "--task", "sst-2", "--data", "pocket", "--predictions", "answers.tsv"];
    let more = ["--batch-size", "1", "--threads", "1", "--max-len", "16"];
    let begun = |line: &Value| line["event"] == "start" && line["unit"] == "examples";
    for signal in ["-INT", "-TERM"] {
        let (code, said) = stopped_at(dir.path(), &[&args[..], &more].concat(), signal, begun);
        assert_eq!(code, None, "it dies of the signal: {said}");
        assert_eq!(snapshot(dir.path()), before);
    }
}
