//! `search`: a teacher that cannot teach is refused with the reason before anything is trained; one that can teaches as it is.

use std::path::Path;

use glue_squad::task::TaskKind;
use serde_json::{Value, json};

use crate::labels::renamed;
use crate::support::{Outcome, folder, plain_bert, run, save_bert, snapshot};

/// A folder with all pocket data, an untaught model `base` with a head for SST-2, and `bert`, which was fine-tuned on it.
fn taught() -> tempfile::TempDir {
    let dir = folder();
    assert_eq!(run(dir.path(), &["data", "make-pocket", "--out", "pocket"]).code, Some(0));
    plain_bert(dir.path(), "base", &[TaskKind::Sst2]);
    let teacher =
        ["teacher", "--model", "base", "--task", "sst-2", "--data", "pocket", "--out", "bert", "--max-len", "24"];
    let steps = ["--steps", "400", "--batch-size", "32", "--learning-rate", "3e-3", "--dropout", "0"];
    let done = run(dir.path(), &[&teacher[..], &steps].concat()).json();
    assert!(done["score"].as_f64().unwrap() > 0.7, "{done}");
    dir
}

/// A search whose teacher is not trained.
fn search(dir: &Path, teacher: &str, more: &[&str]) -> Outcome {
    let settings = ["tasks=[\"sst-2\"]", "max_len=24", "teacher.fine_tune.steps=0"];
    let settings: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    let base = ["search", "--recipe", "smoke", "--out", "run", "--data", "pocket", "--corpus", "pocket/corpus.txt"];
    run(dir, &[&base[..], &["--teacher", teacher], &settings, more].concat())
}

#[test]
fn a_teacher_that_cannot_teach_is_refused_before_anything_is_trained() {
    let dir = taught();
    let dir = dir.path();
    // Outputs that stand the other way round than their names say, and than the data where they say nothing.
    renamed(dir, "exchanged", "sst-2", &["POSITIVE", "NEGATIVE"], false, 0);
    renamed(dir, "nameless", "sst-2", &["LABEL_0", "LABEL_1"], true, 0);
    plain_bert(dir, "headless", &[]);
    plain_bert(dir, "other-task", &[TaskKind::Rte]);
    let config = bert_core::BertConfig {
        task_heads: vec![predict::heads::task_head(TaskKind::Sst2.task())],
        max_position_embeddings: 24,
        ..bert_core::BertConfig::bert(synthetic_tasks::vocabulary().len() + 600, 16, 2, 2, 32)
    };
    save_bert(dir, "wide-table", &config);
    let before = snapshot(dir);
    let as_it_is = "`teacher.unchecked=true` takes it as it is";
    for (teacher, parts) in [
        ("base", &["base: sst-2: its score on", "of answering", "not fine-tuned on this task", as_it_is][..]),
        ("exchanged", &["exchanged: sst-2: ", "in the order negative, positive", "`id2label`", as_it_is]),
        ("nameless", &["nameless: sst-2: ", "in the order positive, negative", "`id2label`", as_it_is]),
        ("headless", &["headless: the model has no head for task sst-2; its heads: none", "gets a new head"]),
        ("other-task", &["no head for task sst-2; its heads: rte", "gets a new head"]),
        ("wide-table", &["600 rows have no word piece", "the tokenizer of another model", as_it_is]),
    ] {
        search(dir, teacher, &[]).fails_with(2, parts);
        assert_eq!(snapshot(dir), before, "{teacher}: something was written");
    }
    // `distill` asks as well.
    let distill = |teacher: &str, more: &[&str]| {
        let sizes =
            ["--arch", "linear1_1(gelu(linear1_1(x,wb1)),wb2)", "--hidden", "8", "--embed", "8", "--max-len", "24"];
        let task =
            ["distill", "--teacher", teacher, "--task", "sst-2", "--data", "pocket", "--out", "out", "--steps", "1"];
        run(dir, &[&task[..], &sizes, more].concat())
    };
    distill("exchanged", &[]).fails_with(2, &["--teacher exchanged: sst-2: ", "`id2label`", "--unchecked-teacher"]);
    assert_eq!(snapshot(dir), before);
    let taken = distill("exchanged", &["--unchecked-teacher"]);
    assert_eq!(taken.code, Some(0), "{}", taken.stderr);
    taken.says(&["warning: --teacher exchanged: sst-2: "]);
    std::fs::remove_dir_all(dir.join("out")).unwrap();
    let untaught = distill("base", &[]);
    assert_eq!(untaught.code, Some(0), "{}", untaught.stderr);
    untaught.says(&["warning: --teacher base: sst-2: its score on", "not fine-tuned on this task"]);
    std::fs::remove_dir_all(dir.join("out")).unwrap();
    let known = distill("bert", &[]);
    assert!(!known.stderr.contains("warning: --teacher"), "{}", known.stderr);
    std::fs::remove_dir_all(dir.join("out")).unwrap();

    // From scratch there is nothing to take.
    run(dir, &["search", "--recipe", "smoke", "--out", "run", "--set", "teacher.fine_tune.steps=0"])
        .fails_with(2, &["`teacher.fine_tune.steps` must be at least 1 where the teacher is made from scratch"]);

    // Texts of which the tokenizer knows nothing.
    let rows: String = (0..60).map(|i| format!("\u{4e00}\u{4e8c} \u{6f22}\u{5b57}\t{}\n", i % 2)).collect();
    std::fs::write(dir.join("pocket/SST-2/dev.tsv"), format!("sentence\tlabel\n{rows}")).unwrap();
    let before = snapshot(dir);
    search(dir, "bert", &[]).fails_with(2, &["bert: sst-2: ", "% of the word pieces are unknown ones", as_it_is]);
    assert_eq!(snapshot(dir), before);
}

#[test]
fn a_fine_tuned_teacher_teaches_as_it_is_in_whatever_order_its_classes_stand() {
    let dir = taught();
    let dir = dir.path();
    renamed(dir, "reversed", "sst-2", &["Positive", "Negative"], true, 0);
    let few = ["search.stage1.trials=2", "search.stage2.trials=2", "search.stage3.trials=2", "final.baseline=false"];
    let set: Vec<&str> = few.iter().flat_map(|setting| ["--set", setting]).collect();
    let done = search(dir, "reversed", &[&set[..], &["--json"]].concat()).json();
    let score = |model: &str| {
        let eval = ["eval", "--model", model, "--task", "sst-2", "--data", "pocket", "--json", "--max-len", "24"];
        run(dir, &eval).json()["metrics"]["accuracy"].as_f64().unwrap()
    };
    let teacher = done["comparison"][0]["scores"][0]["value"].as_f64().unwrap();
    assert_eq!((done["comparison"][0]["role"].clone(), teacher), (json!("teacher"), score("bert")));
    assert_eq!(score("run/teacher/model"), teacher, "its classes stand as the data has them");
    let card = std::fs::read_to_string(dir.join("run/teacher/model/README.md")).unwrap();
    assert!(card.contains("Taken as it was for sst-2; dev scores: sst-2/accuracy"), "{card}");
    let config: Value =
        serde_json::from_slice(&std::fs::read(dir.join("run/teacher/model/config.json")).unwrap()).unwrap();
    let names = config["task_heads"][0]["labels"].clone();
    assert_eq!(names, json!(TaskKind::Sst2.task().labels()), "{config}");
}

#[test]
fn an_untaught_teacher_that_is_wanted_all_the_same_is_taken_with_a_warning() {
    let dir = folder();
    assert_eq!(run(dir.path(), &["data", "make-pocket", "--out", "pocket"]).code, Some(0));
    plain_bert(dir.path(), "base", &[TaskKind::Sst2]);
    let few = ["search.stage1.trials=2", "search.stage2.trials=2", "search.stage3.trials=2", "final.baseline=false"];
    let set: Vec<&str> = few.iter().flat_map(|setting| ["--set", setting]).collect();
    let done = search(dir.path(), "base", &[&set[..], &["--set", "teacher.unchecked=true", "--json"]].concat());
    done.says(&["warning: teacher ", "base: sst-2: its score on", "not fine-tuned on this task"]);
    assert_eq!(done.json()["comparison"][0]["role"], "teacher");
    let recipe = std::fs::read_to_string(dir.path().join("run/recipe.toml")).unwrap();
    assert!(recipe.contains("unchecked = true"), "{recipe}");
}
