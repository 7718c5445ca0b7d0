//! Scores that mean nothing: `teacher`, `distill`, `eval` and `score` compare them with one answer to every example.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Outcome, pocket_folder, run};

/// Pairs in MRPC's layout with these labels.
fn pairs(dir: &Path, file: &str, labels: &[u8]) {
    let words = ["soup", "hotel", "lamp", "book", "clock"];
    let mut text = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n".to_owned();
    for (i, label) in labels.iter().enumerate() {
        let (one, other) = (words[i % 5], words[(i + usize::from(*label == 0)) % 5]);
        text += &format!("{label}\t{i}\t{i}\tthe {one} was good\tthe {other} was good\n");
    }
    let path = dir.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// A folder with a training set of one class, and a development set of 8 examples of it and 4 of the other.
fn one_class() -> tempfile::TempDir {
    let dir = pocket_folder(&[]);
    pairs(dir.path(), "glue/MRPC/train.tsv", &[1; 48]);
    pairs(dir.path(), "glue/MRPC/dev.tsv", &[1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 1, 0]);
    dir
}

fn trained(dir: &Path, args: &[&str]) -> Outcome {
    let rest = ["--task", "mrpc", "--data", "glue", "--batch-size", "16", "--max-len", "16", "--learning-rate", "5e-3"];
    run(dir, &[args, &rest, &["--steps", "40"]].concat())
}

/// 8 of 12 are right; precision 8/12 and recall 1 are an F1 of 0.8.
fn check(majority: &Value, chosen_by: &str) {
    let close = |value: &Value, wanted: f64| (value.as_f64().unwrap() - wanted).abs() < 1e-12;
    assert_eq!((&majority["task"], &majority["answer"]), (&json!("mrpc"), &json!("equivalent (1)")));
    assert_eq!((&majority["chosen_by"], &majority["examples"]), (&json!(chosen_by), &json!(12)));
    assert!(close(&majority["metrics"]["mrpc/accuracy"], 8.0 / 12.0), "{majority}");
    assert!(close(&majority["metrics"]["mrpc/f1"], 0.8), "{majority}");
    assert!(close(&majority["score"], (8.0 / 12.0 + 0.8) / 2.0), "{majority}");
}

const WARNING: &str = "mrpc: all 12 answers are equivalent (1); the score, 73.33, is not above the 73.33 of \
                       always equivalent (1)";

#[test]
fn a_teacher_and_a_student_that_answer_one_class_are_said_to_everywhere_that_their_score_is() {
    let dir = one_class();
    let taught = trained(dir.path(), &["teacher", "--model", "bert", "--out", "taught"]);
    let student = trained(
        dir.path(),
        &["distill", "--teacher", "taught", "--init", "bert", "--out", "student", "--progress", "none"],
    );
    for (model, outcome) in [("taught", taught), ("student", student)] {
        let found = outcome.json();
        check(&found["majority"][0], "train");
        assert_eq!(found["warnings"], json!([WARNING]), "{model}");
        outcome.says(&[&format!("warning: {WARNING}")]);
        let card = std::fs::read_to_string(dir.path().join(model).join("README.md")).unwrap();
        assert!(card.contains(&format!("**Warning:** {WARNING}.")), "{card}");
        assert!(card.contains("equivalent (1): mrpc/accuracy 66.67, mrpc/f1 80.00."), "{card}");
    }
}

#[test]
fn eval_compares_with_the_majority_of_the_training_set_or_else_of_what_it_scores() {
    let dir = one_class();
    assert_eq!(trained(dir.path(), &["teacher", "--model", "bert", "--out", "taught"]).code, Some(0));
    let eval = |more: &[&str]| run(dir.path(), &[&["eval", "--model", "taught", "--task", "mrpc"], more].concat());
    let found = eval(&["--data", "glue", "--json"]);
    found.says(&[&format!("warning: {WARNING}")]);
    check(&found.json()["majority"], "train");
    assert_eq!(found.json()["warnings"], json!([WARNING]));
    let text = eval(&["--data", "glue"]).stdout;
    assert!(text.contains("one answer  equivalent (1): mrpc/accuracy 66.67, mrpc/f1 80.00"), "{text}");
    // The file is read now, so it must not be replaced.
    let replaced = eval(&["--data", "glue", "--predictions", "glue/MRPC/train.tsv"]);
    replaced.fails_with(2, &["would replace", "train.tsv"]);

    // No training set, and one that cannot be read.
    let dev = std::fs::read(dir.path().join("glue/MRPC/dev.tsv")).unwrap();
    for train in [None, Some("Quality\tnothing else\n")] {
        let folder = dir.path().join("alone/MRPC");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("dev.tsv"), &dev).unwrap();
        train.map_or(Ok(()), |text| std::fs::write(folder.join("train.tsv"), text)).unwrap();
        let found = eval(&["--data", "alone", "--json"]).json();
        check(&found["majority"], "scored");
        assert_eq!(found["warnings"], json!([WARNING]));
    }
    // Without labels there is no score to compare.
    let rows = "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t1\t2\tthe soup was good\tthe soup was good\n";
    std::fs::write(dir.path().join("glue/MRPC/test.tsv"), rows).unwrap();
    let found = eval(&["--data", "glue", "--split", "test", "--predictions", "p.tsv", "--json"]).json();
    assert_eq!((&found["majority"], &found["warnings"]), (&json!(null), &json!([])));
}

#[test]
fn a_predictions_file_with_one_answer_is_scored_with_a_warning() {
    let dir = pocket_folder(&[]);
    pairs(dir.path(), "dev.tsv", &[1, 0, 1, 1]);
    let score = |answers: [u8; 4]| {
        let rows: String = answers.iter().enumerate().map(|(i, answer)| format!("{i}\t{answer}\n")).collect();
        std::fs::write(dir.path().join("p.tsv"), format!("index\tprediction\n{rows}")).unwrap();
        run(dir.path(), &["score", "--task", "mrpc", "--data", "dev.tsv", "--predictions", "p.tsv", "--json"])
    };
    let one = score([1; 4]);
    one.says(&["warning: mrpc: all 4 answers are equivalent (1)"]);
    assert_eq!(one.json()["accuracy"], json!(0.75));
    let right = score([1, 0, 1, 1]);
    assert_eq!((right.json()["accuracy"].as_f64(), right.stderr.as_str()), (Some(1.0), ""));
}
