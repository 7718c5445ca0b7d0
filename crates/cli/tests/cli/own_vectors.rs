//! Vectors of texts, from a table to answers: teacher, student, evaluation, vectors in a file.

use std::fmt::Write as _;
use std::path::Path;

use bert_core::weights::Tensors;
use serde_json::{Value, json};

use crate::own_data::{ARCH, teach, works};
use crate::support::{pocket_folder, run};

const SUBJECTS: [&str; 5] = ["good", "great", "soup", "service", "music"];
const FILLERS: [&str; 4] = ["the", "was", "a", "and"];

/// Text `n` about a subject.
fn text(n: usize, subject: &str) -> String {
    let filler = |k: usize| FILLERS[(n / 5 + k * k + n * k) % FILLERS.len()];
    format!("{} {subject} {}", filler(1), filler(2))
}

/// Pairs about one subject or two, and how alike they are.
fn pairs() -> String {
    let mut csv = "a,b,alike\n".to_owned();
    for n in 0..240 {
        let (one, other) = (SUBJECTS[n % 5], SUBJECTS[(n + if n % 2 == 0 { 0 } else { 1 + n % 3 }) % 5]);
        let alike = if one == other { 4.5 } else { 0.5 };
        writeln!(csv, "{},{},{alike}", text(n, one), text(3 * n + 1, other)).unwrap();
    }
    csv
}

fn config(dir: &Path, model: &str) -> Value {
    serde_json::from_slice(&std::fs::read(dir.join(model).join("config.json")).unwrap()).unwrap()
}

#[test]
fn how_alike_texts_are_is_learned_by_a_vector_for_each() {
    let dir = pocket_folder(&[]);
    std::fs::write(dir.path().join("pairs.csv"), pairs()).unwrap();
    let own = ["--train", "pairs.csv", "--text", "a", "--text", "b", "--label", "alike", "--kind", "similarity"];
    let [teacher, student] = teach(dir.path(), &own);
    for done in [&teacher, &student] {
        assert_eq!(done["score"], done["metrics"]["pairs/spearman"]);
    }
    let vector = json!({ "pooling": "mean", "normalize": true });
    let head = json!([{ "task": "pairs", "kind": "embedding", "vector": vector }]);
    assert_eq!(config(dir.path(), "student")["task_heads"], head);
    // `sentence-transformers` knows the teacher, and the student by the classes beside it.
    assert_eq!(config(dir.path(), "teacher")["architectures"], json!(["BertModel"]));
    assert_eq!(config(dir.path(), "student")["architectures"], json!(["EfficientBertModel"]));
    assert!(["teacher", "student"].iter().all(|model| dir.path().join(model).join("modules.json").is_file()));
    assert!(dir.path().join("student/modeling_efficientbert.py").is_file());

    // The same pairs are held out for the evaluation.
    let eval = [&["eval", "--model", "student", "--max-len", "12", "--json"], &own[..]].concat();
    let scored = run(dir.path(), &eval).json();
    let (found, trained) = (&scored["metrics"]["spearman"], &student["metrics"]["pairs/spearman"]);
    assert!((found.as_f64().unwrap() - trained.as_f64().unwrap()).abs() < 1e-4, "{found} {trained}");
    let files = ["--test", "pairs.csv", "--text", "a", "--text", "b", "--kind", "similarity", "--predictions", "p.csv"];
    works(run(dir.path(), &[&["eval", "--model", "student"], &files[..]].concat()));
    let predicted = std::fs::read_to_string(dir.path().join("p.csv")).unwrap();
    assert_eq!((predicted.lines().next(), predicted.lines().count()), (Some("row,prediction"), 241));

    let similarity = |a: &str, b: &str| -> f64 {
        works(run(dir.path(), &["predict", "--model", "student", a, b])).stdout.trim().parse().unwrap()
    };
    let (same, other) = (similarity("the soup was", "a soup and"), similarity("the soup was", "the music was"));
    assert!(same > other + 0.2, "{same} {other}");
    let one: Vec<f64> =
        serde_json::from_str(&works(run(dir.path(), &["predict", "--model", "student", "the soup was"])).stdout)
            .unwrap();
    assert!(one.len() == 12 && (one.iter().map(|v| v * v).sum::<f64>() - 1.0).abs() < 1e-5);

    // A file of vectors, in the order of the rows.
    let encode =
        ["encode", "--model", "student", "--table", "pairs.csv", "--text", "a", "--pool", "--out", "v.safetensors"];
    let said = run(dir.path(), &encode).json();
    assert_eq!((&said["texts"], &said["dimensions"]), (&json!(240), &json!(12)));
    let vectors = &Tensors::read_safetensors(&dir.path().join("v.safetensors")).unwrap().0["vectors"];
    assert_eq!(vectors.shape, [240, 12]);
    let first: Vec<f64> =
        serde_json::from_str(&works(run(dir.path(), &["predict", "--model", "student", &text(0, "good")])).stdout)
            .unwrap();
    assert!(vectors.data[..12].iter().zip(&first).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-6));

    // Vectors as wide as the teacher's stand in its space.
    let width = config(dir.path(), "teacher")["hidden_size"].to_string();
    let wide = ["distill", "--arch", ARCH, "--hidden", "12", "--embed", "8", "--out", "wide"];
    let more = ["--teacher", "teacher", "--dimensions", &width, "--steps", "2", "--batch-size", "4", "--max-len", "12"];
    works(run(dir.path(), &[&wide[..], &more[..], &own[..], &["--objective", "logits"]].concat()));
    assert_eq!(config(dir.path(), "wide")["task_heads"][0]["vector"]["size"].to_string(), width);
    run(
        dir.path(),
        &["encode", "--model", "bert", "--table", "pairs.csv", "--text", "a", "--pool", "--out", "w.safetensors"],
    )
    .fails_with(2, &["has no head that makes vectors", "import --pooling mean"]);
}

#[test]
fn answers_are_found_among_all_of_them_and_a_student_is_searched() {
    let dir = pocket_folder(&[]);
    let mut lines = String::new();
    for n in 0..120 {
        let (subject, filler) = (SUBJECTS[n % 5], FILLERS[n / 5 % 4]);
        writeln!(
            lines,
            "{}",
            json!({ "question": format!("{subject} {filler} was"), "answer": format!("{filler} {subject}") })
        )
        .unwrap();
    }
    std::fs::write(dir.path().join("qa.jsonl"), lines).unwrap();
    let own = ["--train", "qa.jsonl", "--text", "question", "--text", "answer", "--kind", "retrieval"];
    let short =
        ["--steps", "150", "--batch-size", "16", "--max-len", "12", "--threads", "1", "--learning-rate", "3e-3"];
    let teacher =
        run(dir.path(), &[&["teacher", "--model", "bert", "--out", "teacher"], &short[..], &own[..]].concat()).json();
    let (score, trivial) = (teacher["score"].as_f64().unwrap(), teacher["majority"][0]["score"].as_f64().unwrap());
    assert!(score > trivial + 0.1, "{score} is not above {trivial}");
    assert_eq!(teacher["majority"][0]["answer"], json!("an order by chance"));
    let search = [
        "search",
        "--recipe",
        "smoke",
        "--teacher",
        "teacher",
        "--out",
        "found",
        "--set",
        "max_len=16",
        "--threads",
        "1",
    ];
    works(run(dir.path(), &[&search[..], &own[..]].concat()));
    assert_eq!(config(dir.path(), "found/student")["task_heads"][0]["kind"], json!("embedding"));
    let report = std::fs::read_to_string(dir.path().join("found/report.html")).unwrap();
    assert!(report.contains("recall@10"));
    run(
        dir.path(),
        &[&["teacher", "--model", "bert", "--out", "t"], &short[..], &own[..], &["--label", "answer"]].concat(),
    )
    .fails_with(2, &["retrieval has no labels"]);
}
