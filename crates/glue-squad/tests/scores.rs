//! Scores of prediction files, and averages of a whole folder.

mod common;

use std::fs;
use std::path::Path;

use glue_squad::submission;
use glue_squad::task::{Label, Predictions, Split, TaskKind, score_file, score_folder};

fn put(dir: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

fn write(task: TaskKind, dir: &Path, predictions: &Predictions) -> std::path::PathBuf {
    put(dir, &submission::file_name(task), &submission::render(task.task(), predictions).unwrap())
}

#[test]
fn a_prediction_file_is_scored_against_every_layout_of_the_data() {
    let dir = tempfile::tempdir().unwrap();
    let tsv = put(
        dir.path(),
        "dev.tsv",
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n7\t1\t2\ta\tb\t1\n9\t3\t4\tc\td\t0\n8\t5\t6\te\tf\t1\n",
    );
    let line = |label: u8| format!("{{\"question1\":\"a\",\"question2\":\"b\",\"label\":{label}}}\n");
    let jsonl = put(dir.path(), "validation.jsonl", &(line(1) + &line(0) + &line(1)));
    let answers = put(dir.path(), "QQP.tsv", "index\tprediction\n0\t1\n1\t1\n2\t1\n");
    for data in [tsv, jsonl] {
        let scored = score_file(TaskKind::Qqp.task(), &data, &answers).unwrap();
        let json = serde_json::to_string(&scored).unwrap();
        assert_eq!(json, r#"{"accuracy":0.6666666666666666,"f1":0.8,"examples":3}"#);
    }
}

#[test]
fn what_does_not_fit_together_is_refused_with_both_files() {
    let dir = tempfile::tempdir().unwrap();
    let data = put(dir.path(), "dev.tsv", "sentence\tlabel\na\t1\nb\t0\n");
    let message =
        |task: TaskKind, data: &Path, answers: &Path| score_file(task.task(), data, answers).unwrap_err().to_string();
    let short = put(dir.path(), "short.tsv", "index\tprediction\n0\t1\n");
    let text = message(TaskKind::Sst2, &data, &short);
    assert!(text.contains("short.tsv: 1 predictions for the 2 rows of") && text.contains("dev.tsv"), "{text}");
    let wrong = put(dir.path(), "wrong.tsv", "index\tprediction\n0\t1\n1\tpositive\n");
    assert!(message(TaskKind::Sst2, &data, &wrong).contains("wrong.tsv:3"));
    let test = put(dir.path(), "test.tsv", "index\tsentence\n0\ta\n");
    assert!(message(TaskKind::Sst2, &test, &short).contains("no column `label`"));
}

#[test]
fn constant_predictions_and_diverged_scores_have_a_defined_score() {
    let dir = tempfile::tempdir().unwrap();
    let cola = put(dir.path(), "cola.tsv", "a\t1\t\tx\na\t0\t\ty\na\t1\t\tz\n");
    let answers = put(dir.path(), "CoLA.tsv", "index\tprediction\n0\t1\n1\t1\n2\t1\n");
    assert_eq!(score_file(TaskKind::Cola.task(), &cola, &answers).unwrap().scores.get("matthews"), Some(0.0));
    let stsb = put(dir.path(), "stsb.tsv", "sentence1\tsentence2\tscore\na\tb\t1\nc\td\t2\n");
    let answers = put(dir.path(), "STS-B.tsv", "index\tprediction\n0\t2.500\n1\t2.500\n");
    let scored = score_file(TaskKind::Stsb.task(), &stsb, &answers).unwrap();
    assert_eq!(serde_json::to_string(&scored).unwrap(), r#"{"pearson":0.0,"spearman":0.0,"examples":2}"#);
}

#[test]
fn a_folder_is_scored_task_by_task_and_incomplete_averages_have_no_number() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "glue/SST-2/dev.tsv", "sentence\tlabel\na\t1\nb\t0\n");
    put(dir.path(), "glue/AX/diagnostic.tsv", "index\tsentence1\tsentence2\n0\ta\tb\n");
    put(dir.path(), "out/SST-2.tsv", "index\tprediction\n0\t1\n1\t1\n");
    put(dir.path(), "out/AX.tsv", "index\tprediction\n0\tneutral\n");
    let (glue, out) = (dir.path().join("glue"), dir.path().join("out"));
    let scored = score_folder(&glue, &out).unwrap();
    assert_eq!(scored.tasks.iter().map(|t| (t.task.name(), t.scores.primary)).collect::<Vec<_>>(), [("sst-2", 0.5)]);
    assert_eq!(scored.unscored.len(), 10);
    let json = serde_json::to_value(&scored).unwrap();
    assert_eq!(json["tasks"]["sst-2"]["accuracy"], 0.5);
    assert!(json["unscored"]["ax"].as_str().unwrap().ends_with("has no labels"), "{json}");
    assert_eq!(json["unscored"]["rte"], "no RTE.tsv");
    assert_eq!(json["averages"][0]["value"], serde_json::Value::Null);
    assert!(scored.averages[2].to_string().starts_with("7-column average n/a of MNLI-m"));
    let labeled = "Premise\tHypothesis\tLabel\na\tb\tneutral\nc\td\tentailment\n";
    put(dir.path(), "glue/AX/diagnostic.tsv", labeled);
    put(dir.path(), "out/AX.tsv", "index\tprediction\n0\tneutral\n1\tentailment\n");
    let scored = score_folder(&glue, &out).unwrap();
    assert_eq!(scored.tasks[1].scores.get("matthews"), Some(1.0), "AX is scored where its labels are");
    let message = score_folder(&glue, &glue).unwrap_err().to_string();
    assert!(message.contains("MNLI-mm.tsv"), "{message}");
}

#[test]
fn real_development_sets_score_perfect_and_majority_answers_as_known() {
    let Some(glue) = common::shared("data/glue") else { return };
    let dir = tempfile::tempdir().unwrap();
    for task in TaskKind::ALL {
        let Ok(data) = task.read_split(&glue, Split::Dev) else { continue };
        let labels: Vec<Label> = data.examples.iter().filter_map(|e| e.label.clone()).collect();
        let perfect = match task.task().labels().is_empty() {
            true => {
                Predictions::Scores(labels.iter().map(|l| if let Label::Score(s) = l { *s } else { 0.0 }).collect())
            }
            false => {
                Predictions::Classes(labels.iter().map(|l| if let Label::Class(c) = l { *c } else { 0 }).collect())
            }
        };
        let path = write(task, dir.path(), &perfect);
        let scored = score_file(task.task(), &data.path, &path).unwrap();
        // The official files have three decimals, some gold scores of STS-B more.
        let tolerance = if task == TaskKind::Stsb { 1e-7 } else { 0.0 };
        assert!((scored.scores.primary - 1.0).abs() <= tolerance, "{task}: {:?}", scored.scores);
        assert_eq!(Some(scored.examples), task.official_rows(Split::Dev));
    }
    // The development set of RTE has 146 of 277 entailments.
    let rte = write(TaskKind::Rte, dir.path(), &Predictions::Classes(vec![0; 277]));
    let scored = score_file(TaskKind::Rte.task(), &glue.join("RTE/dev.tsv"), &rte).unwrap();
    assert!((scored.scores.primary - 146.0 / 277.0).abs() < 1e-12);
}
