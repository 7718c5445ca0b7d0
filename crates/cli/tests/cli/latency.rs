//! Latency tables: `bench --table`, and searches that are held to a limit by one.

use std::path::Path;
use std::sync::OnceLock;

use nas::study::{SqliteStudy, StudyStore};
use serde_json::{Value, json};

use crate::support::{Outcome, arg, command, folder, run, snapshot};

/// A table for the smoke recipe, measured once for all tests, with two threads.
fn table() -> &'static Value {
    static TABLE: OnceLock<Value> = OnceLock::new();
    TABLE.get_or_init(|| {
        let dir = folder();
        let made = run(dir.path(), &["bench", "--table", "t.json", "--recipe", "smoke", "--threads", "2", "--json"]);
        assert_eq!(made.code, Some(0), "{}", made.stderr);
        read(&dir.path().join("t.json"))
    })
}

/// What the table predicts for the fastest student, which a search names that is asked for a faster one. The table's own `reference` would not do: on a
/// busy machine it and the parts may be measured at different speeds.
fn fastest() -> f64 {
    static FASTEST: OnceLock<f64> = OnceLock::new();
    *FASTEST.get_or_init(|| {
        let dir = folder();
        let mut exact = table().clone();
        exact["margin"] = json!(0.0);
        std::fs::write(dir.path().join("t.json"), exact.to_string()).unwrap();
        let refused = search(dir.path(), "none", "t.json", &["--max-latency-ms", "0.000001"]);
        let (_, least) = refused.stderr.split_once("allow at least ").expect(&refused.stderr);
        least.split_once(" ms").expect(&refused.stderr).0.parse().unwrap()
    })
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn search(dir: &Path, out: &str, table: &str, more: &[&str]) -> Outcome {
    let args = ["search", "--recipe", "smoke", "--threads", "2", "--out", out, "--latency-table", table];
    run(dir, &[&args[..], more].concat())
}

/// A smoke search in a few seconds.
const SHORT: [&str; 10] = [
    "--set",
    "teacher.fine_tune.steps=6",
    "--set",
    "warm_up.steps=4",
    "--set",
    "final.task.steps=6",
    "--set",
    "final.task.eval_every=6",
    "--set",
    "compare.same_params=false",
];

#[test]
fn a_table_is_made_for_the_students_of_a_recipe_and_says_how_well_it_predicts_others() {
    let dir = folder();
    let args = ["bench", "--table", "t.json", "--recipe", "smoke", "--threads", "1", "--check", "5", "--json"];
    let result = run(dir.path(), &args).json();
    let file = read(&dir.path().join("t.json"));
    assert_eq!(
        result["shape"],
        json!({ "vocab": file["shape"]["vocab"], "embed": 16, "hidden": 24, "base": 24, "heads": 2, "layers": 2 })
    );
    for (key, value) in [
        ("device", json!("cpu")),
        ("threads", json!(1)),
        ("batch", json!(1)),
        ("seq", json!(32)),
        ("precision", json!("f32")),
    ] {
        assert_eq!(file["conditions"][key], value, "{key}");
    }
    let checked = result["checked"].as_array().unwrap();
    assert_eq!((checked.len(), &file["accuracy"]["architectures"]), (5, &json!(5)));
    // The mean of what is listed, to the last digit: nothing is left out.
    let error =
        |pair: &Value| (pair["predicted_ms"].as_f64().unwrap() / pair["measured_ms"].as_f64().unwrap() - 1.0).abs();
    let mean = checked.iter().map(error).sum::<f64>() / 5.0;
    assert!((file["accuracy"]["mean_abs_error"].as_f64().unwrap() - mean).abs() < 1e-12);
    assert_eq!(file["accuracy"]["mean_abs_error"], result["accuracy"]["mean_abs_error"]);
    for part in ["attention 2 x 12", "product 24 x 72", "trigram 48", "norm 24 of a sum", "wait"] {
        assert!(file["parts_us"][part].as_f64().is_some_and(|us| us > 0.0), "`{part}` is not in the table");
    }
    // It is checked again as it is, for people this time.
    let again =
        run(dir.path(), &["bench", "--latency-table", "t.json", "--recipe", "smoke", "--threads", "1", "--check", "2"]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    for part in ["mean absolute error", "%", "off by", "processor"] {
        assert!(again.stdout.contains(part), "{}", again.stdout);
    }
    assert_eq!(read(&dir.path().join("t.json"))["parts_us"], file["parts_us"]);
}

#[test]
fn options_that_make_no_sense_for_a_table_are_wrong_usage() {
    let dir = folder();
    let bench = |args: &[&str]| run(dir.path(), &[&["bench"], args].concat());
    bench(&[]).fails_with(2, &["--model"]);
    bench(&["--table", "t.json", "--model", "bert-base"]).fails_with(2, &["--table", "--model"]);
    bench(&["--latency-table", "t.json"]).fails_with(2, &["--check"]);
    bench(&["--table", "t.json", "--recipe", "minilm-quick"]).fails_with(2, &["names no teacher", "--teacher DIR"]);
    bench(&["--table", "no/t.json", "--recipe", "smoke"]).fails_with(2, &["--table", "does not exist"]);
    bench(&["--table", "t.json", "--recipe", "smoke", "--set", "latency.runs=0"]).fails_with(2, &["`latency.runs`"]);
    assert!(snapshot(dir.path()).is_empty());
}

#[test]
fn a_table_that_cannot_be_used_is_refused_before_anything_is_trained_and_leaves_no_folder() {
    let dir = folder();
    let path = dir.path().join("t.json");
    let whole = table();
    let edited = |change: &dyn Fn(&mut Value)| {
        let mut other = whole.clone();
        change(&mut other);
        other.to_string()
    };
    let isa = whole["conditions"]["isa"].as_str().unwrap();
    let other = if isa == "portable" { "avx2" } else { "portable" };
    let (there, here) = (format!("instruction set {other} in the table"), format!("{isa} here"));
    let text = whole.to_string();
    let cases: [(String, &[&str]); 9] = [
        (edited(&|t| t["conditions"]["isa"] = json!(other)), &["t.json", &there, &here]),
        (edited(&|t| t["conditions"]["threads"] = json!(7)), &["threads 7 in the table, 2 here (--threads)"]),
        (edited(&|t| t["conditions"]["precision"] = json!("int8")), &["precision int8 in the table, f32 here"]),
        (edited(&|t| t["conditions"]["seq"] = json!(64)), &["sequence length 64 in the table, 32 here"]),
        (edited(&|t| t["shape"]["hidden"] = json!(48)), &["hidden width 48 in the table, 24 here (`student.hidden`)"]),
        (edited(&|t| t["parts_us"]["wait"] = json!(-0.5)), &["`wait` is -0.5", "which no measurement gives"]),
        (text[..text.len() / 2].to_owned(), &["t.json", "not a whole JSON file", "bench --table"]),
        ("{}".into(), &["t.json", "is no latency table"]),
        (edited(&|t| t["version"] = json!(2)), &["version 2", "this program reads version 1"]),
    ];
    for (content, parts) in cases {
        std::fs::write(&path, content).unwrap();
        search(dir.path(), "run", "t.json", &[]).fails_with(2, parts);
        assert!(!dir.path().join("run").exists(), "{parts:?}");
    }
    search(dir.path(), "run", "none.json", &[]).fails_with(2, &["none.json", "cannot be read"]);
    std::fs::write(&path, whole.to_string()).unwrap();
    search(dir.path(), "run", "t.json", &["--set", "latency.precision=bf16"])
        .fails_with(2, &["precision f32 in the table, bf16 here"]);
}

/// Trials, rejected draws counted, without times.
fn trials(run: &Path) -> Vec<Value> {
    let study = SqliteStudy::open_read_only(&run.join("study.sqlite")).unwrap();
    let mut all = Vec::new();
    for stage in 1..=3 {
        for trial in study.trials(stage).unwrap() {
            let mut row = serde_json::to_value(trial).unwrap();
            for clock in ["started_at", "finished_at"] {
                row.as_object_mut().unwrap().remove(clock).unwrap();
            }
            all.push(row);
        }
        all.push(json!(
            study.rejection_counts(stage).unwrap().into_iter().map(|(r, n)| (r.name(), n)).collect::<Vec<_>>()
        ));
    }
    all
}

#[test]
fn with_one_table_a_search_repeats_exactly_and_its_winner_is_measured_within_the_limit() {
    let dir = folder();
    std::fs::write(dir.path().join("t.json"), table().to_string()).unwrap();
    // Many students of this recipe are slower, and on a busy machine the winner still is within it.
    let bound = fastest() * 1.5;
    let limit = format!("{bound:.6}");
    let with = |out: &str| search(dir.path(), out, "t.json", &[&SHORT[..], &["--max-latency-ms", &limit]].concat());
    for out in ["a", "b"] {
        let found = with(out);
        assert_eq!(found.code, Some(0), "{}", found.stderr);
        found.says(&["stage-3: trial", "predicted"]);
    }
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    assert_eq!(trials(&a), trials(&b));
    let latencies: Vec<f64> = trials(&a).iter().filter_map(|trial| trial["latency_ms"].as_f64()).collect();
    assert!(latencies.len() == 13 && latencies.iter().all(|ms| *ms <= bound), "{latencies:?} within {bound}");
    let of = |run: &Path| read(&run.join("run.json"));
    let verdict = |run: &Path| of(run)["latency_measured"]["candidates"].as_array().unwrap().last().unwrap().clone();
    if verdict(&a)["architecture"] == verdict(&b)["architecture"] {
        let weights = |run: &Path| run_store::hash::file(run.join("student/model.safetensors")).unwrap();
        assert_eq!(weights(&a), weights(&b));
    }
    for run in [&a, &b] {
        let last = verdict(run);
        let number = |key: &str| last[key].as_f64().unwrap();
        assert_eq!(last["within"], true);
        assert!(
            number("measured_ms") <= bound || number("pace") > 1.05 && number("measured_ms") / number("pace") <= bound,
            "{last}"
        );
        let json = of(run);
        let student = json["comparison"].as_array().unwrap().iter().find(|row| row["role"] == "student").unwrap();
        assert_eq!(student["latency_ms"], last["measured_ms"], "what it was chosen by is what it is said to take");
        let page = std::fs::read_to_string(run.join("report.html")).unwrap();
        for part in ["<h2>Latency, predicted and measured</h2>", "within the limit", "a table of measured parts"] {
            assert!(page.contains(part), "{part}");
        }
        assert_eq!(read(&run.join("latency-table.json"))["parts_us"], table()["parts_us"]);
    }
    // The table itself is not needed any more: the run has it.
    std::fs::remove_file(dir.path().join("t.json")).unwrap();
    let again = run(dir.path(), &["search", "--resume", "--out", arg(&a), "--threads", "2"]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
}

#[test]
fn a_winner_that_is_slower_than_predicted_is_not_called_one() {
    let dir = folder();
    let mut wrong = table().clone();
    // It says a third of what passes take: even where the machine was busy while it was made, far less than half.
    wrong["scale"] = json!(wrong["scale"].as_f64().unwrap() * 0.3);
    wrong["outside_us"] = json!(wrong["outside_us"].as_f64().unwrap() * 0.3);
    wrong["margin"] = json!(0.0);
    std::fs::write(dir.path().join("t.json"), wrong.to_string()).unwrap();
    // Wide enough for the slowest operators that stage 2 may choose by a table that says anything is fast.
    let bound = fastest() * 1.7;
    let limit = format!("{bound:.6}");
    let found = search(dir.path(), "run", "t.json", &[&SHORT[..], &["--max-latency-ms", &limit]].concat());
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    let measured = read(&dir.path().join("run/run.json"))["latency_measured"].clone();
    let candidates = measured["candidates"].as_array().unwrap();
    let (last, before) = candidates.split_last().unwrap();
    assert!(last["within"] == true && before.iter().all(|c| c["within"] == false), "{measured}");
    assert!(!before.is_empty() || measured["corrections"].as_array().unwrap().is_empty(), "{measured}");
    let at_pace = last["measured_ms"].as_f64().unwrap() / last["pace"].as_f64().unwrap();
    assert!(last["measured_ms"].as_f64().unwrap() <= bound * 1.001 || at_pace <= bound * 1.001, "{last}");
    // What no candidate can be is found out in the end, with what was measured; a tenth, since the machine may be less busy now than
    // when the table was made.
    for key in ["scale", "outside_us"] {
        wrong[key] = json!(table()[key].as_f64().unwrap() * 0.1);
    }
    std::fs::write(dir.path().join("t.json"), wrong.to_string()).unwrap();
    let limit = format!("{:.6}", fastest() * 0.11);
    let none = search(dir.path(), "none", "t.json", &[&SHORT[..], &["--max-latency-ms", &limit]].concat());
    none.fails_with(1, &["candidates is within max_latency_ms", "when it is measured: the fastest takes", "--resume"]);
}

#[test]
fn a_run_does_not_go_on_under_other_conditions_than_its_table_has() {
    let dir = folder();
    let path = dir.path().join("t.json");
    std::fs::write(&path, table().to_string()).unwrap();
    let mut child = command(dir.path())
        .args(["search", "--recipe", "smoke", "--threads", "2", "--out", "run", "--latency-table", "t.json"])
        .args(["--set", "teacher.fine_tune.steps=5000"])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    crate::support::wait_for(|| dir.path().join("run/log.jsonl").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    run(dir.path(), &["search", "--resume", "--out", "run", "--threads", "1"])
        .fails_with(2, &["latency-table.json", "threads 2 in the table, 1 here (--threads)"]);
}
