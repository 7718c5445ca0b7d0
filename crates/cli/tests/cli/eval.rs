//! `eval`.

use glue_squad::task::TaskKind;
use serde_json::json;

use crate::support::{pocket_folder, run, snapshot};

#[test]
fn metrics_and_the_official_prediction_file_come_out() {
    let dir = pocket_folder(&[TaskKind::Sst2, TaskKind::Stsb]);
    let base = ["eval", "--model", "bert", "--data", "pocket", "--json", "--task"];
    let sst = run(dir.path(), &[&base[..], &["sst-2", "--predictions", "out.tsv"]].concat()).json();
    assert_eq!((&sst["task"], &sst["examples"], &sst["max_len"]), (&json!("sst-2"), &json!(48), &json!(24)));
    let accuracy = sst["metrics"]["accuracy"].as_f64().unwrap();
    assert_eq!(sst["score"], json!(accuracy));

    let file = std::fs::read_to_string(dir.path().join("out.tsv")).unwrap();
    let rows: Vec<&str> = file.lines().collect();
    assert_eq!((rows.len(), rows[0]), (49, "index\tprediction"));
    let gold = std::fs::read_to_string(dir.path().join("pocket/SST-2/dev.tsv")).unwrap();
    let hits = gold.lines().zip(&rows).skip(1).filter(|(g, p)| g.rsplit('\t').next() == p.split('\t').nth(1)).count();
    assert_eq!(accuracy, hits as f64 / 48.0, "the file holds what was scored");

    let one_by_one = run(dir.path(), &[&base[..], &["SST2", "--batch-size", "1"]].concat()).json();
    assert_eq!(one_by_one["metrics"], sst["metrics"], "batches do not change the result");
    for precision in ["bf16", "int8"] {
        let rounded = run(dir.path(), &[&base[..], &["sst-2", "--precision", precision]].concat()).json();
        assert_eq!((&rounded["precision"], &rounded["examples"]), (&json!(precision), &json!(48)));
    }
    let sts = run(dir.path(), &[&base[..], &["sts-b"]].concat()).json();
    assert!(sts["metrics"]["pearson"].is_number() && sts["metrics"]["spearman"].is_number(), "{sts}");
    let text = run(dir.path(), &["eval", "--model", "bert", "--data", "pocket/SST-2", "--task", "sst-2"]);
    assert_eq!(text.code, Some(0), "{}", text.stderr);
    assert!(text.stdout.contains(&format!("{:.2}", accuracy * 100.0)), "{}", text.stdout);
}

#[test]
fn an_unlabeled_test_split_is_predicted_and_not_scored() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    std::fs::write(dir.path().join("pocket/SST-2/test.tsv"), "index\tsentence\n0\tthe soup was good\n").unwrap();
    let base = ["eval", "--model", "bert", "--data", "pocket", "--task", "sst-2", "--split", "test", "--json"];
    run(dir.path(), &base).fails_with(2, &["test.tsv: has no labels", "--predictions"]);
    let done = run(dir.path(), &[&base[..], &["--predictions", "p.tsv"]].concat()).json();
    assert_eq!((&done["metrics"], &done["score"]), (&json!(null), &json!(null)));
    let file = std::fs::read_to_string(dir.path().join("p.tsv")).unwrap();
    assert!(file == "index\tprediction\n0\t0\n" || file == "index\tprediction\n0\t1\n", "{file}");
    // As the hub's copies have it, in every layout.
    let unlabeled =
        ["sentence\tlabel\tidx\nthe soup was good\t-1\t0\n", "{\"sentence\": \"a\", \"label\": -1, \"idx\": 0}\n"];
    for text in unlabeled {
        std::fs::write(dir.path().join("pocket/SST-2/test.tsv"), text).unwrap();
        run(dir.path(), &base).fails_with(2, &["test.tsv: has no labels to score against", "--predictions"]);
        assert_eq!(run(dir.path(), &[&base[..], &["--predictions", "q.tsv"]].concat()).json()["examples"], json!(1));
    }
    // A training split without labels is damaged, not a test set.
    let train =
        run(dir.path(), &["eval", "--model", "bert", "--data", "pocket", "--task", "sst-2", "--split", "train"]);
    assert_eq!(train.code, Some(0), "{}", train.stderr);
}

#[test]
fn what_cannot_be_evaluated_is_said_before_the_work_and_changes_nothing() {
    let dir = pocket_folder(&[TaskKind::Sst2, TaskKind::Rte]);
    std::fs::write(dir.path().join("old.tsv"), "mine\n").unwrap();
    std::fs::create_dir(dir.path().join("no-tokenizer")).unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(dir.path().join("bert").join(name), dir.path().join("no-tokenizer").join(name)).unwrap();
    }
    let before = snapshot(dir.path());
    let eval = |model: &str, task: &str, data: &str, more: &[&str]| {
        let args = ["eval", "--model", model, "--task", task, "--data", data, "--predictions", "old.tsv"];
        run(dir.path(), &[&args[..], more].concat())
    };
    eval("bert", "cola", "pocket", &[]).fails_with(1, &["CoLA", "RTE", "SST-2"]);
    eval("bert", "sts-b", "pocket", &[]).fails_with(2, &["no head for task sts-b", "sst-2, rte"]);
    eval("bert", "sst-3", "pocket", &[]).fails_with(2, &["unknown task `sst-3`", "sst-2, mrpc"]);
    eval("bret", "sst-2", "pocket", &[]).fails_with(2, &["--model bret: no such folder", "hint:"]);
    eval("pocket", "sst-2", "pocket", &[]).fails_with(1, &["pocket/config.json", "hint:"]);
    eval("no-tokenizer", "sst-2", "pocket", &[])
        .fails_with(1, &["no-tokenizer: tokenizer.json or vocab.txt is missing"]);
    eval("bert", "sst-2", "none", &[]).fails_with(2, &["--data none: no such file or folder"]);
    eval("bert", "sst-2", "pocket", &["--split", "test"])
        .fails_with(1, &["test.tsv, test.parquet or test.jsonl is missing", "dev.tsv"]);
    eval("bert", "sst-2", "pocket", &["--max-len", "3"]).fails_with(2, &["--max-len"]);
    let args = ["eval", "--model", "bert", "--task", "sst-2", "--data", "pocket", "--predictions"];
    run(dir.path(), &[&args[..], &["none/p.tsv"]].concat()).fails_with(2, &["none/p.tsv", "does not exist"]);
    run(dir.path(), &[&args[..], &["bert"]].concat()).fails_with(2, &["bert: is a folder"]);
    assert_eq!(snapshot(dir.path()), before);
}
