//! A tiny ModernBERT, in all that a model is for.

use std::path::Path;

use bert_core::BertConfig;
use glue_squad::task::TaskKind;
use predict::heads::task_head;
use serde_json::{Value, json};

use crate::support::{folder, pocket, run, save_bert, snapshot};

/// Pocket data, and a ModernBERT whose second layer sees 3 tokens on each side, with these heads.
fn modern_folder(tasks: &[TaskKind]) -> tempfile::TempDir {
    let dir = folder();
    pocket(dir.path());
    let mut config = BertConfig {
        task_heads: tasks.iter().map(|task| task_head(task.task())).collect(),
        max_position_embeddings: 600,
        ..BertConfig::modernbert(synthetic_tasks::vocabulary().len(), 16, 2, 2, 24)
    };
    if let Some(modern) = &mut config.modern {
        modern.local_attention = 6;
        modern.mean_pooling = true;
    }
    save_bert(dir.path(), "modern", &config);
    dir
}

fn config(dir: &Path, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(dir.join(name).join("config.json")).unwrap()).unwrap()
}

const TASK: [&str; 4] = ["--task", "sst-2", "--data", "pocket"];
/// A search among small students, with this teacher.
const SEARCH: [&str; 11] = [
    "search",
    "--recipe",
    "smoke",
    "--teacher",
    "modern",
    "--data",
    "pocket",
    "--corpus",
    "pocket/corpus.txt",
    "--out",
    "run",
];
const SHORT: [&str; 6] = ["--steps", "3", "--batch-size", "4", "--max-len", "16"];

#[test]
fn a_modernbert_is_fine_tuned_answers_and_teaches_a_plain_and_a_searched_student() {
    let dir = modern_folder(&[]);
    let tuned = run(dir.path(), &[&["teacher", "--model", "modern", "--out", "tuned"][..], &TASK, &SHORT].concat());
    assert!(tuned.json()["score"].is_number());
    let written = config(dir.path(), "tuned");
    assert_eq!(written["architectures"], json!(["ModernBertForSequenceClassification"]));
    assert_eq!(written["layer_types"], json!(["full_attention", "sliding_attention"]));
    for precision in ["f32", "bf16", "int8"] {
        let base = ["predict", "--model", "tuned", "--precision", precision, "--json", "a quiet , patient film"];
        let answer = run(dir.path(), &base).json();
        assert!(answer["answers"][0]["probabilities"].is_object(), "{precision}: {answer}");
    }
    let scored = run(dir.path(), &[&["eval", "--model", "tuned", "--json"][..], &TASK].concat()).json();
    assert!(scored.to_string().contains("accuracy"), "{scored}");

    let plain = BertConfig {
        max_position_embeddings: 24,
        fit_size: Some(16),
        ..BertConfig::bert(synthetic_tasks::vocabulary().len(), 8, 2, 2, 12)
    };
    std::fs::write(dir.path().join("plain.json"), plain.to_json().unwrap()).unwrap();
    let searched = ["--arch", "[\"linear1_2(relu(linear1_2(x,wb1)),wb2)\",\"linear2_2(gelu(linear2_2(x,wb1)),wb2)\"]"];
    for (out, arch) in [("plain", ["--arch", "plain.json"]), ("searched", searched)] {
        let base = ["distill", "--teacher", "tuned", "--out", out];
        let sizes = if out == "plain" { vec![] } else { vec!["--hidden", "8", "--embed", "8"] };
        let done = run(dir.path(), &[&base[..], &arch, &sizes, &TASK, &SHORT].concat()).json();
        assert!(done["score"].is_number(), "{out}: {done}");
        let losses = std::fs::read_to_string(dir.path().join(out).join("log.jsonl")).unwrap();
        assert!(losses.contains("hidden") && losses.contains("attention"), "{losses}");
    }
    assert_eq!(config(dir.path(), "searched")["max_position_embeddings"], json!(512));
}

#[test]
fn a_search_takes_a_modernbert_as_its_teacher() {
    let dir = modern_folder(&[TaskKind::Sst2, TaskKind::Stsb]);
    let done = run(dir.path(), &[&SEARCH[..], &["--threads", "1", "--json"]].concat()).json();
    assert!(done.is_object(), "{done}");
    assert_eq!(config(dir.path(), "run/teacher/model")["model_type"], "modernbert");
    assert_eq!(config(dir.path(), "run/student")["model_type"], "efficientbert");
}

#[test]
fn no_student_begins_as_a_modernbert() {
    let dir = modern_folder(&[TaskKind::Sst2, TaskKind::Stsb]);
    let before = snapshot(dir.path());
    for setting in ["student.begin=teacher", "final.inherit=teacher"] {
        run(dir.path(), &[&SEARCH[..], &["--set", setting]].concat()).fails_with(2, &["ModernBERT"]);
    }
    assert!(snapshot(dir.path()) == before, "nothing was written");
}
