//! `study`: what is told of a study, while it is written too, and what is exported.

use std::path::Path;

use nas::budget::{Cost, Rejection};
use nas::study::conformance::draw;
use nas::study::{Fitness, NewTrial, SqliteStudy, StudyIdentity, StudyStore};
use serde_json::{Value, json};

use crate::support::{arg, folder, run, snapshot};

const PLAIN: &str = "linear2_3(gelu(linear2_3(x,wb1)),wb2)";

/// A trial of stage 1 with one layer for each of `ids`.
fn trial(number: u64, params: u64, ids: &[&str]) -> NewTrial {
    let layers: Vec<String> = ids.iter().map(|id| PLAIN.replace("2_3", id)).collect();
    NewTrial {
        stage: 1,
        number,
        genome: layers.join("; "),
        fingerprint: format!("print {number}"),
        cost: Cost { params, macs: 1_234_567 },
        latency_ms: (number == 0).then_some(1.5),
        seed: 77 + number,
        started_at: 1_795_219_200_123,
    }
}

/// A run folder with a study of four trials, of which the last one runs, and its writer.
fn studied(dir: &Path) -> SqliteStudy {
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join("recipe.toml"), "name = \"tried\"\n").unwrap();
    let identity = StudyIdentity { name: "tried".into(), config_hash: "abc".into(), seed: 7 };
    let mut store = SqliteStudy::create(&dir.join("study.sqlite"), &identity).unwrap();
    let fitness = |score| Fitness { score, metrics: [("loss".to_owned(), 0.5)].into() };
    let rejected = [draw(0, Rejection::TooSlow), draw(0, Rejection::TooSlow), draw(0, Rejection::Duplicate)];
    let id = store.begin_trial(&trial(0, 6_790_000, &["2_3", "1_1"]), &rejected).unwrap();
    store.finish(id, &fitness(0.65289), 1_795_219_261_623).unwrap();
    let id = store.begin_trial(&trial(1, 6_590_000, &["4_4", "1_1"]), &[]).unwrap();
    store.finish(id, &fitness(0.65289), 1_795_219_202_123).unwrap();
    let id = store.begin_trial(&trial(2, 6_000_000, &["1_1", "1_1"]), &[]).unwrap();
    store.fail(id, "the loss is NaN at step 3", 1_795_219_202_123).unwrap();
    store.begin_trial(&trial(3, 6_000_001, &["1_2", "1_1"]), &[]).unwrap();
    store
}

#[test]
fn a_study_is_listed_shown_and_ranked_while_its_search_goes_on_and_nothing_is_written() {
    let dir = folder();
    let mut writer = studied(&dir.path().join("runs/a"));
    // Not their content: closing a file that this process has opened again would drop the writer's locks.
    let stamps = || {
        ["study.sqlite", "study.sqlite-wal"].map(|name| {
            let about = std::fs::metadata(dir.path().join("runs/a").join(name)).unwrap();
            (about.len(), about.modified().unwrap())
        })
    };
    let before = stamps();
    let list = |what: &str| run(dir.path(), &["study", "list", what, "--json"]).json();
    let found = list("runs/a");
    let stage = &found[0]["stages"][0];
    assert_eq!((&found[0]["name"], &found[0]["seed"]), (&json!("tried"), &json!(7)));
    let counts = ["trials", "complete", "failed", "running"].map(|key| stage[key].as_u64().unwrap());
    assert_eq!((counts, &stage["rejected"]), ([4, 2, 1, 1], &json!({ "too slow": 2, "duplicate": 1 })));
    // As good, and smaller.
    assert_eq!((&stage["best"]["number"], &stage["best"]["place"]), (&json!(1), &json!(1)));
    assert_eq!(list("runs/a/study.sqlite")[0]["stages"], found[0]["stages"], "the file itself");
    assert_eq!(list("runs")[0]["stages"], found[0]["stages"], "a folder of runs");

    let text = run(dir.path(), &["study", "list", "runs/a"]).stdout;
    let row = text.lines().last().unwrap().split_whitespace().collect::<Vec<_>>();
    assert_eq!(row[..9], ["1", "4", "2", "1", "1", "3", "0.65289", "1", "6,590,000"], "{text}");
    assert!(text.starts_with("study tried, seed 7 (runs/a/study.sqlite)\n"), "{text}");

    let table = run(dir.path(), &["study", "show", "runs/a", "1"]).stdout;
    for part in
        ["stage 1: expressions", "2x1/3 1x1/1", "the loss is NaN at step 3", "rejected: 2 too slow, 1 duplicate"]
    {
        assert!(table.contains(part), "{part}: {table}");
    }
    let full = run(dir.path(), &["study", "show", "runs/a", "1", "0"]).stdout;
    for part in [
        "state       complete, place 2 of 2",
        "fitness     0.65289\n",
        "metrics     loss 0.5",
        "latency     1.5 ms",
        "seed        77",
        "started     2026-11-21 00:00:00 UTC",
        "took        1 min 01 s",
        "rejected    3 draws before it",
        "layer  stacks  ratio  feed-forward\n1           2    1/3  linear2_3(gelu(linear2_3(x,wb1)),wb2)\n2 ",
    ] {
        assert!(full.contains(part), "{part}: {full}");
    }
    let failed = run(dir.path(), &["study", "show", "runs/a", "1", "2"]).stdout;
    assert!(failed.contains("state       failed") && failed.contains("reason      the loss is NaN"), "{failed}");
    let json_of = run(dir.path(), &["study", "show", "runs/a", "1", "1", "--json"]).json();
    assert_eq!(
        (&json_of["state"], &json_of["seconds"], &json_of["place"]),
        (&json!("complete"), &json!(2.0), &json!(1))
    );
    assert_eq!(json_of["parameters"]["layer1.ratio"], json!(0.25));
    let all = run(dir.path(), &["study", "show", "runs/a", "--json"]).json();
    assert_eq!(all["stages"][0]["trials"].as_array().unwrap().len(), 4);

    let best = run(dir.path(), &["study", "best", "runs/a", "-n", "5", "--json"]).json();
    let numbers: Vec<&Value> = best["stages"][0]["best"].as_array().unwrap().iter().map(|t| &t["number"]).collect();
    assert_eq!(numbers, [&json!(1), &json!(0)]);
    let one = run(dir.path(), &["study", "best", "runs/a", "-n", "1"]).stdout;
    assert!(one.contains("linear4_4(gelu(linear4_4(x,wb1)),wb2); linear1_1") && !one.contains("6,790,000"), "{one}");
    assert_eq!(stamps(), before, "nothing is written");
    // And the search goes on.
    let running = writer.trials(1).unwrap().pop().unwrap();
    writer.fail(running.id, "stopped", 1_795_219_202_123).unwrap();
    assert_eq!(list("runs/a")[0]["stages"][0]["failed"], 2);
}

#[test]
fn trials_are_exported_as_csv_and_json() {
    let dir = folder();
    drop(studied(&dir.path().join("a")));
    let export = |more: &[&str]| run(dir.path(), &[&["study", "export", "a"], more].concat());
    let csv = export(&[]);
    assert_eq!((csv.code, csv.stderr.as_str()), (Some(0), ""));
    let lines: Vec<&str> = csv.stdout.lines().collect();
    assert_eq!(lines.len(), 5);
    assert!(lines[0].starts_with("stage,number,state,place,fitness,params,macs,latency_ms,seed,"), "{}", lines[0]);
    assert!(lines[0].ends_with(
        "metrics.loss,layer1.stacks,layer1.ratio,layer1.expression,layer2.stacks,layer2.ratio,\
                                layer2.expression"
    ));
    assert!(lines[1].starts_with("1,0,complete,2,0.65289,6790000,1234567,1.5,77,1795219200123,1795219261623,61.5,,"));
    let file = export(&["--out", "trials.csv"]);
    assert_eq!((file.code, file.stdout.as_str()), (Some(0), ""));
    file.says(&["4 trials -> trials.csv"]);
    assert_eq!(std::fs::read_to_string(dir.path().join("trials.csv")).unwrap(), csv.stdout);
    assert_eq!(export(&["--rejected"]).stdout.lines().count(), 8);

    let table = export(&["--out", "trials.parquet"]);
    assert_eq!(table.code, Some(0), "{}", table.stderr);
    let mut rows = parquet_rows::Rows::open(&dir.path().join("trials.parquet")).unwrap();
    assert_eq!(rows.columns(), lines[0].split(',').collect::<Vec<_>>());
    rows.select(&["number", "fitness", "state", "layer1.ratio"]).unwrap();
    use parquet_rows::Value::{Float, Int, Null, Text};
    assert_eq!(rows.next_row().unwrap().unwrap(), [Int(0), Float(0.65289), Text("complete".into()), Float(1.0 / 3.0)]);
    rows.next_row().unwrap();
    assert_eq!(rows.next_row().unwrap().unwrap()[..3], [Int(2), Null, Text("failed".into())]);
    assert!(rows.next_row().unwrap().is_some() && rows.next_row().unwrap().is_none(), "four trials");
    export(&["--format", "parquet"]).fails_with(2, &["--format parquet", "--out"]);

    let found = export(&["--out", "trials.json", "--rejected"]);
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    let found: Value = serde_json::from_slice(&std::fs::read(dir.path().join("trials.json")).unwrap()).unwrap();
    let stage = &found["stages"][0];
    assert_eq!((&stage["trials"][2]["state"], &stage["trials"][3]["finished_at"]), (&json!("failed"), &json!(null)));
    assert_eq!(stage["rejected_draws"][2]["reason"], "duplicate");
    assert_eq!(export(&["--format", "json"]).json()["stages"][0]["rejected_draws"], json!(null));
}

#[test]
fn a_database_for_optuna_replaces_only_what_an_export_has_written() {
    let dir = folder();
    drop(studied(&dir.path().join("a")));
    let export = |file: &str| run(dir.path(), &["study", "export", "a", "--optuna", file]);
    export("o.db")
        .says(&["4 trials -> o.db", "studies: tried-stage-1; look at them with: optuna-dashboard sqlite:///o.db"]);
    let first = std::fs::read(dir.path().join("o.db")).unwrap();
    assert!(first.starts_with(b"SQLite format 3\0"));
    assert_eq!(export("o.db").code, Some(0), "again");
    assert_eq!(std::fs::read(dir.path().join("o.db")).unwrap(), first, "the same study gives the same bytes");
    std::fs::write(dir.path().join("mine.db"), "notes of a person").unwrap();
    let before = snapshot(dir.path());
    export("mine.db").fails_with(2, &["--optuna mine.db: is there", "name another file"]);
    export("a/study.sqlite").fails_with(2, &["would replace a/study.sqlite"]);
    export("no/o.db").fails_with(2, &["--optuna no/o.db", "does not exist"]);
    let both = run(dir.path(), &["study", "export", "a", "--optuna", "o.db", "--format", "csv"]);
    both.fails_with(2, &["--optuna", "cannot be used with"]);
    run(dir.path(), &["study", "export", "a", "--out", "x.db"]).fails_with(2, &["--optuna FILE"]);
    run(dir.path(), &["study", "export", "a", "--out", "a/study.sqlite", "--format", "csv"])
        .fails_with(2, &["would replace a/study.sqlite"]);
    assert_eq!(snapshot(dir.path()), before, "nothing was changed");
}

#[test]
fn what_is_no_study_is_told_with_what_to_do() {
    let dir = folder();
    let study = |args: &[&str]| run(dir.path(), &[&["study"], args].concat());
    drop(studied(&dir.path().join("runs/pocket")));
    study(&["list", "runs/pokcet"]).fails_with(2, &["RUN runs/pokcet: no such file or folder"]);
    std::fs::create_dir(dir.path().join("runs/none")).unwrap();
    study(&["show", "runs/none"]).fails_with(2, &["runs/none holds no study (no study.sqlite)", "pocket"]);
    std::fs::create_dir(dir.path().join("runs/new")).unwrap();
    std::fs::write(dir.path().join("runs/new/recipe.toml"), "name = \"new\"\n").unwrap();
    for command in ["list", "show", "best", "export"] {
        study(&[command, "runs/new"])
            .fails_with(2, &["runs/new has no study yet: its search has not begun", "efficientbert runs runs/new"]);
    }
    study(&["show", "runs/pocket", "2"]).fails_with(2, &["stage 2 is not in runs/pocket/study.sqlite: it has 1"]);
    study(&["show", "runs/pocket", "1", "9"]).fails_with(2, &["stage 1 has no trial 9: it has the trials 0 to 3"]);
    study(&["best", "runs/pocket", "--stage", "3"]).fails_with(2, &["stage 3 is not in"]);
    study(&["best", "runs/pocket", "-n", "0"]).fails_with(2, &["--count", "at least 1"]);
    std::fs::write(dir.path().join("text"), "no database at all, but long enough to be looked at").unwrap();
    study(&["list", "text"]).fails_with(1, &["study text is damaged", "not a database"]);
    std::fs::write(dir.path().join("empty"), "").unwrap();
    study(&["list", "empty"]).fails_with(2, &["study empty: it is an empty database, but not a study"]);
    let path = dir.path().join("runs/pocket/study.sqlite");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    study(&["list", arg(&path)]).fails_with(1, &["is damaged"]);
}
