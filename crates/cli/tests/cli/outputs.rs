//! Files that commands write: never over what they read, nor over each other.

use glue_squad::task::TaskKind;

use crate::support::{folder, pocket_folder, run, snapshot, tiny_model};

#[test]
fn predictions_never_replace_the_data_or_the_model_that_they_are_made_of() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let before = snapshot(dir.path());
    for file in
        ["pocket/SST-2/dev.tsv", "./pocket/../pocket/SST-2/dev.tsv", "bert/model.safetensors", "bert/config.json"]
    {
        let args = ["eval", "--model", "bert", "--task", "sst-2", "--data", "pocket", "--predictions", file];
        run(dir.path(), &args).fails_with(2, &["--predictions", "would replace", "nothing was changed"]);
    }
    assert_eq!(snapshot(dir.path()), before);
    let args =
        ["eval", "--model", "bert", "--task", "sst-2", "--data", "pocket", "--predictions", "pocket/SST-2/mine.tsv"];
    assert_eq!(run(dir.path(), &args).code, Some(0), "another file of that folder is nobody's");
}

#[test]
fn hidden_states_never_replace_the_model_or_the_ids() {
    let dir = tiny_model();
    std::fs::write(dir.path().join("ids.safetensors"), "ids").unwrap();
    let before = snapshot(dir.path());
    for file in ["ids.safetensors", "model/model.safetensors"] {
        let args = ["encode", "--model", "model", "--inputs", "ids.safetensors", "--out", file];
        run(dir.path(), &args).fails_with(2, &["--out", "would replace"]);
    }
    assert_eq!(snapshot(dir.path()), before);
}

#[test]
fn an_archive_never_stands_where_a_prediction_file_is_looked_for() {
    let dir = folder();
    std::fs::create_dir(dir.path().join("p")).unwrap();
    std::fs::write(dir.path().join("p/SST-2.tsv"), "index\tprediction\n0\t1\n").unwrap();
    let before = snapshot(dir.path());
    for file in ["p/SST-2.tsv", "p/CoLA.tsv"] {
        run(dir.path(), &["submit", "--predictions", "p", "--out", file]).fails_with(2, &["--out", "would replace"]);
    }
    assert_eq!(snapshot(dir.path()), before);
    assert_eq!(run(dir.path(), &["submit", "--predictions", "p", "--out", "p/all.zip"]).code, Some(0));
}
