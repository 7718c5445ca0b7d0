//! `search` among whole encoders: three rungs, students that begin as their teacher.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::support::{Outcome, command, folder, run, snapshot, wait_for};

const SETTINGS: [&str; 15] = [
    "search.encoder={ layers = [1, 2], hidden = [16, 24], embed = [8, 16], heads = [2], base = [16, 24, 48] }",
    "student.begin=teacher",
    "warm_up.steps=0",
    "search.stage1.trials=6",
    "search.stage1.initial_random=4",
    "search.stage1.proxy.general.steps=0",
    "search.stage1.proxy.task.steps=0",
    "search.stage2.trials=3",
    "search.stage3.trials=2",
    "search.stage3.general.checkpoint_every=0",
    "search.stage3.task.checkpoint_every=0",
    "final.inherit=teacher",
    "compare.random=1",
    "compare.seeds=2",
    "search.strategy=evolution",
];

fn arguments<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let set = SETTINGS.iter().chain(more).flat_map(|setting| ["--set", setting]);
    ["search", "--recipe", "smoke", "--threads", "1", "--out", out, "--json"].into_iter().chain(set).collect()
}

fn refused(more: &[&str], parts: &[&str]) {
    let dir = folder();
    run(dir.path(), &arguments("run", more)).fails_with(2, parts);
    assert!(snapshot(dir.path()).is_empty(), "{more:?}");
}

fn trials(dir: &Path, out: &str, stage: u32) -> Vec<Value> {
    let shown: Outcome = run(dir, &["study", "export", out, "--format", "json"]);
    let stages = shown.json()["stages"].as_array().unwrap().clone();
    let stage = stages.into_iter().find(|of| of["stage"] == stage).unwrap();
    stage["trials"].as_array().unwrap().clone()
}

#[test]
fn the_best_of_each_rung_go_on_and_a_killed_search_ends_with_the_same_student() {
    let dir = folder();
    let done = run(dir.path(), &arguments("whole", &[])).json();
    let genomes = |trials: &[Value]| -> Vec<String> {
        trials.iter().map(|trial| trial["genome"].as_str().unwrap().to_owned()).collect()
    };
    let score = |trial: &Value| trial["fitness"].as_f64().unwrap();
    let mut rungs: Vec<Vec<Value>> = (1..=3).map(|stage| trials(dir.path(), "whole", stage)).collect();
    assert_eq!(rungs.iter().map(Vec::len).collect::<Vec<_>>(), [6, 3, 2]);
    for number in 1..3 {
        let next: BTreeSet<String> = genomes(&rungs[number]).into_iter().collect();
        rungs[number - 1].sort_by(|a, b| score(b).total_cmp(&score(a)));
        let best = genomes(&rungs[number - 1]);
        // Of equal scores the smaller go on, so that only a clear difference decides.
        let worst_that_went_on = score(&rungs[number - 1][next.len() - 1]);
        for trial in &rungs[number - 1] {
            let went_on = next.contains(trial["genome"].as_str().unwrap());
            assert!(went_on || score(trial) <= worst_that_went_on, "{trial} did not go on");
        }
        assert!(next.iter().all(|genome| best.contains(genome)), "nothing new is drawn after stage 1");
    }
    let config: Value =
        serde_json::from_slice(&std::fs::read(dir.path().join("whole/student/config.json")).unwrap()).unwrap();
    rungs[2].sort_by(|a, b| score(b).total_cmp(&score(a)));
    let winner = rungs[2][0]["genome"].as_str().unwrap();
    let widths = format!(
        "hidden={} embed={} base={}:",
        config["hidden_size"], config["embedding_size"], config["intermediate_size"]
    );
    assert!(winner.starts_with(&widths), "{winner} is not {widths}");
    let roles: Vec<&Value> = done["comparison"].as_array().unwrap().iter().map(|row| &row["role"]).collect();
    assert!(roles.len() >= 5, "teacher, student, plain and random network, majority: {roles:?}");
    for seed in ["final/model", "final/seed-2/model", "compare/random-best/seed-2/model"] {
        assert!(dir.path().join("whole").join(seed).join("model.safetensors").exists(), "{seed}");
    }

    let mut child = {
        let mut command = command(dir.path());
        command.args(arguments("run", &[])).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        command.spawn().unwrap()
    };
    let log = dir.path().join("run/log.jsonl");
    let second_rung =
        || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("\"phase\":\"stage-2\",\"number\":0"));
    wait_for(second_rung);
    child.kill().unwrap();
    child.wait().unwrap();
    let resumed = run(dir.path(), &["search", "--resume", "--out", "run", "--threads", "1"]);
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    let weights = |name: &str| std::fs::read(dir.path().join(name).join("student/model.safetensors")).unwrap();
    assert!(weights("run") == weights("whole"), "weights of a killed and of an undisturbed search");
}

#[test]
fn three_students_are_of_one_front_and_each_is_a_model_directory() {
    let dir = folder();
    let more = ["final.students=3", "search.strategy=nsga2", "compare.random=0", "compare.same_params=false"];
    let more = [
        &more[..],
        &["compare.seeds=2", "search.stage1.trials=10", "search.stage2.trials=6", "search.stage3.trials=5"],
    ]
    .concat();
    let done = run(dir.path(), &arguments("run", &more)).json();
    let rows = done["comparison"].as_array().unwrap();
    let students: Vec<&Value> = rows.iter().filter(|row| row["role"] == "student").collect();
    let names: Vec<&str> = students.iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["small student", "middle student", "found student"]);
    let params: Vec<u64> = students.iter().map(|row| row["params"].as_u64().unwrap()).collect();
    assert!(params.is_sorted() && params[0] < params[2], "{params:?}");
    for (folder, params) in ["students/small/model", "students/middle/model", "student"].iter().zip(&params) {
        let shown = run(dir.path(), &["arch", "show", &format!("run/{folder}"), "--json"]).json();
        assert_eq!(shown["params"].as_u64(), Some(*params), "{folder}: {shown}");
    }
    for seed in ["students/small/seed-1/model", "students/middle/seed-2/model", "final/seed-2/model"] {
        assert!(dir.path().join("run").join(seed).join("model.safetensors").exists(), "{seed}");
    }
    let listed = run(dir.path(), &["runs", ".", "--json"]).json();
    let found = students[2]["scores"][0]["value"].as_f64().unwrap();
    assert!(listed.to_string().contains(&found.to_string()), "the found student's score: {listed}");
    refused(&["final.students=2"], &["2 students: a search hands over 1 or 3"]);
    refused(&["final.students=3"], &["`final.students` is 3, but `search.stage3.trials` 2"]);
    refused(&["search.fidelities=nowhere.jsonl"], &["`search.fidelities`", "nowhere.jsonl"]);
}

#[test]
fn a_latency_limit_is_held_by_a_table_of_whole_encoders_and_one_that_nothing_meets_is_refused() {
    let dir = folder();
    // The frame of the plain networks, by which the pace of the machine is told, need not be one of the choices.
    let frame = "student.hidden=20";
    let set: Vec<&str> = SETTINGS.iter().chain([&frame]).flat_map(|setting| ["--set", setting]).collect();
    let bench =
        [&["bench", "--table", "t.json", "--recipe", "smoke", "--threads", "1", "--check", "5", "--json"], &set[..]];
    let table = run(dir.path(), &bench.concat()).json();
    assert_eq!(table["accuracy"]["architectures"], 5);
    assert!(table["checked"][0]["architecture"].as_str().unwrap().starts_with("hidden="), "{table}");

    let more =
        [frame, "budget.max_latency_ms=50.0", "compare.random=0", "compare.same_params=false", "compare.seeds=1"];
    let done = run(dir.path(), &[&arguments("run", &more)[..], &["--latency-table", "t.json"]].concat()).json();
    let measured: Value =
        serde_json::from_slice(&std::fs::read(dir.path().join("run/latency-measured.json")).unwrap()).unwrap();
    let winner = &measured["candidates"][0];
    assert_eq!(winner["within"], true);
    let student = done["comparison"].as_array().unwrap().iter().find(|row| row["role"] == "student").unwrap();
    assert_eq!(student["latency_ms"], winner["measured_ms"]);
    let first = trials(dir.path(), "run", 1);
    assert!(first.iter().all(|trial| trial["latency_ms"].as_f64().is_some_and(|ms| ms > 0.0 && ms < 50.0)));
    let again = run(dir.path(), &[&arguments("again", &more)[..], &["--latency-table", "t.json"]].concat());
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    let decided = |out: &str| -> Vec<Value> {
        let keys = ["genome", "fitness", "latency_ms", "seed"];
        trials(dir.path(), out, 1).iter().map(|trial| keys.iter().map(|key| trial[key].clone()).collect()).collect()
    };
    assert_eq!(decided("again"), decided("run"), "a search with a table repeats exactly");

    let none =
        [&arguments("none", &[frame, "budget.max_latency_ms=0.00001"])[..], &["--latency-table", "t.json"]].concat();
    run(dir.path(), &none).fails_with(2, &["no student of this recipe is within max_latency_ms", "at least"]);
    assert!(!dir.path().join("none").exists());
}

#[test]
fn settings_that_have_no_effect_or_cannot_be_met_are_refused_before_anything_is_trained() {
    refused(&["warm_up.steps=5"], &["`warm_up.steps` has no effect with `search.encoder`"]);
    refused(&["final.inherit=supernet"], &["`final.inherit`", "there is no supernet"]);
    refused(&["search.stage2.trials=7"], &["the best of a stage go on", "(6, 7, 2)"]);
    refused(&["search.encoder.embed=[]"], &["`search.encoder`", "`embed`"]);
    refused(&["budget.max_params=100"], &["100 parameters"]);
    refused(&["student.begin=random"], &["`search.stage1.proxy.task.steps` must be at least 1"]);
    refused(&["search.encoder.hidden=[40]"], &["32", "40"]);
}
