//! `search`: what it is going to do is said before anything is trained.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::support::{command, folder, run};

#[test]
fn the_plan_comes_before_the_first_phase_with_measured_times_and_memory() {
    let dir = folder();
    let few =
        ["teacher.fine_tune.steps=40", "search.stage1.trials=2", "search.stage2.trials=2", "search.stage3.trials=2"];
    let set: Vec<&str> = few.iter().flat_map(|setting| ["--set", setting]).collect();
    let search = ["search", "--recipe", "smoke", "--out", "run", "--progress", "json"];
    let done = run(dir.path(), &[&search[..], &set].concat());
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let events: Vec<Value> = done.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let at = |name: &str| events.iter().position(|event| event["event"] == name).unwrap_or_else(|| panic!("no {name}"));
    assert!(at("plan") < at("start"), "{}", done.stderr);
    let plan = &events[at("plan")];
    let phases = plan["phases"].as_array().unwrap();
    let names: Vec<&str> = phases.iter().filter_map(|phase| phase["phase"].as_str()).collect();
    let all = [
        "teacher",
        "supernet/warm-up",
        "stage-1",
        "stage-2",
        "supernet/general",
        "supernet/task",
        "stage-3",
        "final/general",
        "final/task",
        "compare/same-params/seed-1/general",
        "compare/same-params/seed-1/task",
    ];
    assert_eq!(names, all);
    let of = |name: &str| phases.iter().find(|phase| phase["phase"] == name).unwrap();
    for phase in phases {
        assert!(phase["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{phase}");
    }
    // Two steps on text and four on tasks for each of two candidates, and the held-out part of both tasks.
    let stage = of("stage-1");
    assert_eq!((stage["trials"].as_u64(), stage["steps"].as_u64()), (Some(2), Some(6)));
    let held_out = stage["scored"].as_u64().unwrap();
    assert!((1..=2 * 40).contains(&held_out), "{stage}");
    assert_eq!(of("stage-3")["scored"].as_u64(), Some(held_out));
    // The held-out part after 20 and 40 steps, and the dev sets in the end.
    let teacher = of("teacher");
    let lines = |task: &str| {
        let text = std::fs::read_to_string(dir.path().join("run/data").join(task).join("dev.tsv")).unwrap();
        text.lines().count() as u64 - 1
    };
    assert_eq!(teacher["steps"].as_u64(), Some(40));
    assert_eq!(teacher["scored"].as_u64(), Some(2 * held_out + lines("SST-2") + lines("STS-B")));
    assert!(plan["memory_mib"].as_f64().is_some_and(|mib| mib > 1.0), "{plan}");

    // The log has it, and a run that goes on measures nothing again.
    let log = std::fs::read_to_string(dir.path().join("run/log.jsonl")).unwrap();
    let logged: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found = logged.iter().find(|line| line["event"] == "plan").unwrap();
    assert_eq!(found["phases"], plan["phases"]);
    let again = run(dir.path(), &["search", "--resume", "--out", "run"]);
    assert!(!again.stderr.contains("plan  "), "{}", again.stderr);
}

#[test]
fn a_person_gets_the_plan_as_a_table() {
    let dir = folder();
    let search = ["search", "--recipe", "smoke", "--out", "run", "--set", "search.stage1.trials=10000000"];
    let mut child = command(dir.path()).args(search).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let mut lines: Vec<String> = Vec::new();
    for line in stderr.lines().map_while(Result::ok) {
        lines.push(line);
        if lines.last().is_some_and(|line| line.starts_with("memory: ")) {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let header = lines.iter().position(|line| line.starts_with("plan ")).unwrap_or_else(|| panic!("{lines:?}"));
    for column in ["candidates", "steps", "examples scored", "about"] {
        assert!(lines[header].contains(column), "{}", lines[header]);
    }
    let stage = lines.iter().find(|line| line.starts_with("stage-1 ")).unwrap();
    assert!(stage.contains("10,000,000 x 6"), "{stage}");
    assert!(
        lines.iter().any(|line| line.starts_with("in all ") && (line.contains(" d ") || line.contains(" h "))),
        "{lines:?}"
    );
    assert!(lines.iter().any(|line| line.starts_with("from a few steps of each training")), "{lines:?}");
}
