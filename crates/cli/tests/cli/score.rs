//! `score` and `submit`.

use std::path::Path;

use serde_json::json;

use crate::support::run;

fn put(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "glue/SST-2/dev.tsv", "sentence\tlabel\ngood\t1\nbad\t0\n\n");
    put(dir.path(), "glue/RTE/dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n");
    put(dir.path(), "out/SST-2.tsv", "index\tprediction\n0\t1\n1\t1\n");
    put(dir.path(), "out/RTE.tsv", "index\tprediction\n0\tentailment\n");
    dir
}

#[test]
fn a_predictions_file_of_a_glue_task_is_scored_without_a_model() {
    let dir = folder();
    let base = ["score", "--task", "SST2", "--data", "glue/SST-2/dev.tsv", "--predictions", "out/SST-2.tsv"];
    let found = run(dir.path(), &[&base[..], &["--json"]].concat()).json();
    assert_eq!(found, json!({ "accuracy": 0.5, "examples": 2 }));
    let text = run(dir.path(), &base);
    assert!(text.stdout.contains("accuracy") && text.stdout.contains("50.00"), "{}", text.stdout);
}

#[test]
fn all_of_glue_is_scored_at_once_with_averages_that_name_their_columns() {
    let dir = folder();
    let base = ["score", "--task", "glue", "--data", "glue", "--predictions", "out"];
    let found = run(dir.path(), &[&base[..], &["--json"]].concat()).json();
    assert_eq!(
        found["tasks"],
        json!({ "sst-2": { "accuracy": 0.5, "examples": 2 }, "rte": { "accuracy": 1.0, "examples": 1 } })
    );
    assert_eq!(
        (&found["averages"][0]["name"], &found["averages"][0]["value"]),
        (&json!("9-column average"), &json!(null))
    );
    let text = run(dir.path(), &base).stdout;
    assert!(
        text.contains("7-column average n/a of MNLI-m, QNLI, QQP accuracy, SST-2, CoLA, MRPC f1, RTE; missing:"),
        "{text}"
    );
}

#[test]
fn squad_predictions_are_scored_under_the_official_names() {
    let dir = folder();
    let answer = json!({ "text": "the river", "answer_start": 0 });
    let question = |id: &str, answers: serde_json::Value| json!({ "id": id, "question": "?", "answers": answers });
    let qas = [question("q1", json!([answer]))];
    let data = json!({ "version": "1.1", "data": [{ "title": "t", "paragraphs": [{ "context": "the river is deep", "qas": qas }] }] });
    put(dir.path(), "dev.json", &data.to_string());
    put(dir.path(), "answers.json", "{\"q1\": \"river\", \"q9\": \"x\"}");
    let base = ["score", "--data", "dev.json", "--predictions", "answers.json", "--json", "--task"];
    let outcome = run(dir.path(), &[&base[..], &["squad-v1"]].concat());
    outcome.says(&["1 predictions are for questions that the data do not have"]);
    assert_eq!(outcome.json(), json!({ "exact_match": 100.0, "f1": 100.0 }));
    let with_probabilities = [&base[..], &["squad-v1", "--na-probs", "p.json"]].concat();
    run(dir.path(), &with_probabilities).fails_with(2, &["--na-probs", "squad-v2"]);
}

#[test]
fn files_that_do_not_fit_are_refused() {
    let dir = folder();
    let score = |task: &str, data: &str, predictions: &str| {
        run(dir.path(), &["score", "--task", task, "--data", data, "--predictions", predictions])
    };
    score("sst-2", "glue/SST-2/dev.tsv", "out/RTE.tsv").fails_with(1, &["RTE.tsv:2", "allowed: 0, 1"]);
    score("rte", "glue/RTE/dev.tsv", "out/SST-2.tsv").fails_with(1, &["SST-2.tsv:2"]);
    score("sst-2", "glue/SST-2", "out/SST-2.tsv").fails_with(2, &["--data glue/SST-2", "is a folder"]);
    score("glue", "glue/SST-2/dev.tsv", "out").fails_with(2, &["--data", "a folder is needed"]);
    score("sst-2", "none.tsv", "out/SST-2.tsv").fails_with(2, &["--data none.tsv: no such file or folder"]);
    score("sst-9", "a", "b").fails_with(2, &["sst-9", "squad-v2"]);
}

#[test]
fn answers_outside_of_the_range_of_labels_are_scored_and_not_submitted() {
    let dir = folder();
    let gold = [0.0, 1.2, 2.5, 3.8, 5.0, 4.4, 0.6, 3.0];
    let answers = [-0.73, 0.9, 2.75, 4.1, 5.62, 5.31, 0.2, 2.2];
    let rows = |values: &[f64], text: &str| -> String {
        values.iter().enumerate().map(|(i, v)| format!("{i}\t{text}{v}\n")).collect()
    };
    put(dir.path(), "glue/STS-B/dev.tsv", &format!("index\tsentence1\tsentence2\tscore\n{}", rows(&gold, "a\tb\t")));
    put(dir.path(), "out/STS-B.tsv", &format!("index\tprediction\n{}", rows(&answers, "")));
    let base = ["score", "--task", "sts-b", "--data", "glue/STS-B/dev.tsv", "--predictions", "out/STS-B.tsv", "--json"];
    let found = run(dir.path(), &base).json();
    // SciPy 1.17.1, pearsonr and spearmanr of these values; answers cut to 0..5 would give a Pearson of 0.98001.
    for (name, expected) in [("pearson", 0.985_545_535_922_076_5), ("spearman", 0.976_190_476_190_476_3)] {
        assert!((found[name].as_f64().unwrap() - expected).abs() < 1e-12, "{name}: {found}");
    }
    let all = run(dir.path(), &["score", "--task", "glue", "--data", "glue", "--predictions", "out", "--json"]).json();
    assert_eq!(all["tasks"]["sts-b"], found);
    run(dir.path(), &["submit", "--predictions", "out", "--out", "x.zip"])
        .fails_with(1, &["STS-B.tsv:2: field `prediction` is `-0.73`", "a number from 0 to 5 in a submission"]);
    assert!(!dir.path().join("x.zip").exists());
    for wrong in ["nan", "inf", "-inf", "1e999", "four", ""] {
        put(dir.path(), "out/STS-B.tsv", &format!("index\tprediction\n0\t1\n1\t{wrong}\n"));
        run(dir.path(), &base).fails_with(1, &["STS-B.tsv:3: field `prediction`", "allowed: a finite number"]);
    }
    // Labels are what they were.
    put(dir.path(), "glue/STS-B/dev.tsv", "index\tsentence1\tsentence2\tscore\n0\ta\tb\t5.1\n");
    run(dir.path(), &base).fails_with(1, &["dev.tsv:2", "a number from 0 to 5"]);
}

#[test]
fn a_submission_holds_what_is_there_and_says_what_is_missing() {
    let dir = folder();
    let outcome = run(dir.path(), &["submit", "--predictions", "out", "--out", "glue.zip", "--json"]);
    outcome.says(&[
        "without predictions: CoLA, MRPC",
        "MNLI-mm",
        "SST-2: 2 predictions; the official test set has 1821",
    ]);
    let found = outcome.json();
    assert_eq!((&found["complete"], &found["predictions"]), (&json!(false), &json!({ "rte": 1, "sst-2": 2 })));
    assert!(std::fs::read(dir.path().join("glue.zip")).unwrap().starts_with(b"PK"));
    run(dir.path(), &["submit", "--predictions", "glue", "--out", "x.zip"])
        .fails_with(1, &["SST-2.tsv or MNLI-mm.tsv"]);
    run(dir.path(), &["submit", "--predictions", "none", "--out", "x.zip"]).fails_with(2, &["is no folder"]);
}
