//! `data augment`.

use std::path::Path;

use bert_core::{BertConfig, ModelDir, Package, Parts, TaskModel};
use glue_squad::task::TaskKind;
use serde_json::json;

use crate::support::{folder, pocket, pocket_folder, pocket_tokenizer, run, snapshot};

fn augment(dir: &Path, args: &[&str]) -> crate::support::Outcome {
    let common = ["data", "augment", "--data", "pocket", "--teacher", "bert", "--copies", "3", "--json"];
    run(dir, &[&common[..], args].concat())
}

#[test]
fn an_augmented_folder_is_one_that_a_teacher_learns_from() {
    let dir = pocket_folder(&[]);
    let outcome = augment(dir.path(), &["--task", "rte", "--out", "aug"]);
    outcome.says(&["bert: no masked-language-model head"]);
    let report = outcome.json();
    assert_eq!((&report["source"], &report["counts"]["rows"]), (&json!("embeddings"), &json!(96)));
    let added = report["counts"]["added"].as_u64().unwrap();
    assert!(added > 96, "{report}");
    let made = snapshot(&dir.path().join("aug/RTE"));
    let names: Vec<&str> = made.keys().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(names, ["augmentation.json", "dev.tsv", "train.tsv"]);
    assert_eq!(
        made[Path::new("dev.tsv")].as_deref(),
        std::fs::read(dir.path().join("pocket/RTE/dev.tsv")).ok().as_deref()
    );
    let record: serde_json::Value =
        serde_json::from_slice(made[Path::new("augmentation.json")].as_deref().unwrap()).unwrap();
    assert_eq!(record, report);
    let source = std::fs::read(dir.path().join("pocket/RTE/train.tsv")).unwrap();
    assert_eq!(record["inputs"]["train"][0]["sha256"], json!(run_store::hash::bytes(source)));

    let args = [
        "teacher",
        "--model",
        "bert",
        "--task",
        "rte",
        "--data",
        "aug",
        "--out",
        "t",
        "--steps",
        "2",
        "--max-len",
        "16",
    ];
    assert_eq!(run(dir.path(), &args).json()["steps"], json!(2));

    let again = augment(dir.path(), &["--task", "rte", "--out", "aug"]);
    again.fails_with(2, &["--out aug/RTE: exists and is not an empty folder", "--force"]);
    let forced = augment(dir.path(), &["--task", "rte", "--out", "aug", "--force", "--threads", "3"]);
    assert_eq!(forced.json(), report);
    assert_eq!(snapshot(&dir.path().join("aug/RTE")), made);

    // A folder that no call wrote stays, forced or not.
    std::fs::remove_file(dir.path().join("aug/RTE/augmentation.json")).unwrap();
    let foreign = snapshot(&dir.path().join("aug/RTE"));
    let refused = augment(dir.path(), &["--task", "rte", "--out", "aug", "--force"]);
    refused.fails_with(2, &["has no augmentation.json", "nothing was changed"]);
    assert_eq!(snapshot(&dir.path().join("aug/RTE")), foreign);
}

#[test]
fn a_head_proposes_words_and_the_training_file_can_be_named() {
    let dir = folder();
    pocket(dir.path());
    let config = BertConfig {
        max_position_embeddings: 24,
        ..BertConfig::bert(synthetic_tasks::vocabulary().len(), 16, 2, 2, 32)
    };
    let model =
        TaskModel::new(&config, Parts { mlm: true, ..Parts::default() }, &burn::tensor::Device::flex()).unwrap();
    let files = [pocket_tokenizer(dir.path())];
    let package = Package { card: "", files: &files, keep_fit: false };
    ModelDir::save(&dir.path().join("bert"), &config, &model.initialized(&config, 3), package).unwrap();
    let args =
        ["--task", "sst-2", "--data", "pocket/SST-2/train.tsv", "--limit", "20", "--out", "a", "--precision", "bf16"];
    let args: Vec<&str> = ["data", "augment", "--teacher", "bert", "--json"].iter().chain(&args).copied().collect();
    let report = run(dir.path(), &args).json();
    assert_eq!((&report["source"], &report["precision"]), (&json!("mlm and embeddings"), &json!("bf16")));
    let counts = &report["counts"];
    assert!(counts["rows"] == 20 && counts["words_by_mlm"].as_u64() > Some(0), "{report}");
    assert_eq!(report["copied"], json!(["dev.tsv"]));
    let rows = TaskKind::Sst2.read_split(&dir.path().join("a"), glue_squad::task::Split::Train).unwrap().examples;
    assert_eq!(rows.len() as u64, 20 + counts["added"].as_u64().unwrap());
}

#[test]
fn what_cannot_be_augmented_is_refused_before_anything_is_written() {
    let dir = pocket_folder(&[]);
    let before = snapshot(dir.path());
    augment(dir.path(), &["--task", "squad-v1", "--out", "a"]).fails_with(2, &["squad-v1: answers are spans"]);
    augment(dir.path(), &["--task", "mnli-mm", "--out", "a"]).fails_with(2, &["has no training set", "--task mnli"]);
    augment(dir.path(), &["--task", "cola", "--out", "a"]).fails_with(1, &["--data", "CoLA belongs there"]);
    augment(dir.path(), &["--task", "rte", "--out", "pocket"])
        .fails_with(2, &["pocket/RTE is the folder of the data itself"]);
    augment(dir.path(), &["--task", "rte", "--out", "pocket", "--force"]).fails_with(2, &["the data itself"]);
    augment(dir.path(), &["--task", "rte", "--out", "a", "--probability", "1.5"])
        .fails_with(2, &["`probability`: is 1.5"]);
    augment(dir.path(), &["--task", "rte", "--out", "a", "--source", "mlm"])
        .fails_with(1, &["bert: has no masked-language-model head"]);
    assert_eq!(snapshot(dir.path()), before);

    let train = dir.path().join("pocket/RTE/train.tsv");
    std::fs::write(&train, "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tperhaps\n").unwrap();
    augment(dir.path(), &["--task", "rte", "--out", "a"])
        .fails_with(1, &["pocket/RTE/train.tsv:2: field `label` is `perhaps`"]);
    assert!(snapshot(&dir.path().join("a/RTE")).is_empty(), "no part of a training set is left");
}
