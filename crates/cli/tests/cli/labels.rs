//! Heads of foreign checkpoints: which output is which class, and what an output is.

use std::path::Path;

use bert_core::weights::{HostTensor, Tensors};
use glue_squad::task::TaskKind;
use serde_json::{Value, json};

use crate::support::{
    filled, folder, import_tiny, pocket_folder, run, run_with_input, tiny_config, tiny_tensors, write_checkpoint,
};

/// Makes the model directory `out` of that in `bert`: a Hugging Face checkpoint whose outputs are called `names`, as
/// they stand or in reverse.
pub fn renamed(dir: &Path, out: &str, task: &str, names: &[&str], reversed: bool, expect: i32) -> String {
    let mut config: Value = serde_json::from_slice(&std::fs::read(dir.join("bert/config.json")).unwrap()).unwrap();
    config.as_object_mut().unwrap().remove("task_heads");
    let by_id = names.iter().enumerate().map(|(i, name)| (i.to_string(), json!(name)));
    config["id2label"] = Value::Object(by_id.collect());
    let mut tensors = Tensors::read_safetensors(&dir.join("bert/model.safetensors")).unwrap();
    if reversed {
        for (name, tensor) in tensors.0.iter_mut().filter(|(name, _)| name.starts_with("classifier.")) {
            assert_eq!(tensor.shape[0], names.len(), "{name}");
            let rows = tensor.data.chunks(tensor.data.len() / tensor.shape[0]).rev();
            *tensor = HostTensor { shape: tensor.shape.clone(), data: rows.flatten().copied().collect() };
        }
    }
    let from = dir.join(format!("from-{out}"));
    std::fs::create_dir(&from).unwrap();
    write_checkpoint(&from, &config, &tensors);
    std::fs::copy(dir.join("bert/tokenizer.json"), from.join("tokenizer.json")).unwrap();
    let (weights, config) = (format!("from-{out}/weights.safetensors"), format!("from-{out}/config.json"));
    let args = ["import", &weights, "--config", &config, "--format", "hf", "--out", out, "--task", task];
    let done = run(dir, &args);
    assert_eq!(done.code, Some(expect), "{}", done.stderr);
    done.stderr
}

/// Score, standard error and the prediction file of `eval`.
fn eval(dir: &Path, model: &str, task: &str) -> (Value, String, String) {
    let file = format!("{model}.tsv");
    let args = ["eval", "--model", model, "--task", task, "--data", "pocket", "--predictions", &file, "--json"];
    let done = run(dir, &args);
    // But for the time it took.
    let said = done.stderr.lines().filter(|line| !line.contains(" examples in ")).collect::<Vec<_>>().join("\n");
    (done.json()["metrics"].clone(), said, std::fs::read_to_string(dir.join(file)).unwrap())
}

#[test]
fn classes_are_matched_by_name_and_not_by_their_order() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let dir = dir.path();
    let (gold, said, file) = eval(dir, "bert", "sst-2");
    assert!(!said.contains("says nothing"), "{said}");
    renamed(dir, "in-order", "sst-2", &["negative", "positive"], false, 0);
    renamed(dir, "reversed", "sst-2", &["POSITIVE", "NEGATIVE"], true, 0);
    for model in ["in-order", "reversed"] {
        assert_eq!(eval(dir, model, "sst-2"), (gold.clone(), said.clone(), file.clone()), "{model}");
    }
    // Without the names reversed it is the other answer, to every text.
    renamed(dir, "wrong", "sst-2", &["POSITIVE", "NEGATIVE"], false, 0);
    let wrong = eval(dir, "wrong", "sst-2").0["accuracy"].as_f64().unwrap();
    assert!((wrong + gold["accuracy"].as_f64().unwrap() - 1.0).abs() < 1e-12, "{wrong} {gold}");
    // What is answered to a text has the names of the checkpoint.
    let predict = |model| run(dir, &["predict", "--model", model, "the soup was good"]).stdout;
    let (one, two) = (predict("in-order"), predict("reversed"));
    assert_eq!(one.to_lowercase(), two.to_lowercase());
    assert!(two.starts_with("POSITIVE ") || two.starts_with("NEGATIVE "), "{two}");
}

#[test]
fn three_classes_in_the_order_of_most_published_checkpoints_are_those_of_the_data() {
    let dir = pocket_folder(&[TaskKind::Mnli]);
    let dir = dir.path();
    std::fs::create_dir(dir.join("pocket/MNLI")).unwrap();
    let rows = ["a cat\ta dog", "the soup was good\tit was", "a house\tno house", "rain\tsun", "two men\tmen"];
    let gold = ["entailment", "neutral", "contradiction", "entailment", "neutral"];
    let lines: String = rows.iter().zip(gold).map(|(row, label)| format!("{row}\t{label}\n")).collect();
    std::fs::write(dir.join("pocket/MNLI/dev_matched.tsv"), format!("sentence1\tsentence2\tgold_label\n{lines}"))
        .unwrap();
    let by_data = eval(dir, "bert", "mnli");
    renamed(dir, "reversed", "mnli", &["CONTRADICTION", "NEUTRAL", "ENTAILMENT"], true, 0);
    assert_eq!(eval(dir, "reversed", "mnli"), by_data);
}

#[test]
fn names_that_say_nothing_keep_the_order_and_it_is_said_once() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let dir = dir.path();
    renamed(dir, "numbered", "sst-2", &["LABEL_0", "LABEL_1"], false, 0);
    let (gold, _, file) = eval(dir, "bert", "sst-2");
    let (found, said, predicted) = eval(dir, "numbered", "sst-2");
    assert_eq!((found, predicted), (gold, file));
    assert_eq!(said.matches("LABEL_0, LABEL_1, names without a meaning").count(), 1, "{said}");
    assert!(said.contains("negative, positive"), "{said}");
}

#[test]
fn names_that_contradict_the_task_are_refused_by_import_and_eval() {
    let dir = pocket_folder(&[TaskKind::Rte]);
    let dir = dir.path();
    for (i, names) in [["positive", "negative"], ["LABEL_1", "LABEL_0"], ["entailment", "Entails"]].iter().enumerate() {
        let said = renamed(dir, &format!("model-{i}"), "rte", names, false, 2);
        assert!(said.contains("id2label") && said.contains(names[0]) && said.contains("not_entailment"), "{said}");
        assert!(!dir.join(format!("model-{i}")).exists());
    }
    let path = dir.join("bert/config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"entailment\"", "\"good\"").replace("\"not_entailment\"", "\"bad\"")).unwrap();
    run(dir, &["eval", "--model", "bert", "--task", "rte", "--data", "pocket"])
        .fails_with(2, &["--model bert", "good, bad", "another task"]);
}

#[test]
fn a_student_learns_the_same_from_a_teacher_whose_classes_stand_in_another_order() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let dir = dir.path();
    renamed(dir, "in-order", "sst-2", &["negative", "positive"], false, 0);
    renamed(dir, "reversed", "sst-2", &["Positive", "Negative"], true, 0);
    renamed(dir, "numbered", "sst-2", &["LABEL_0", "LABEL_1"], false, 0);
    let student = |teacher: &str| {
        let out = format!("student-of-{teacher}");
        let done = run(
            dir,
            &[
                "distill",
                "--teacher",
                teacher,
                "--init",
                "random",
                "--arch",
                "linear1_1(gelu(linear1_1(x,wb1)),wb2)",
                "--hidden",
                "8",
                "--embed",
                "8",
                "--task",
                "sst-2",
                "--data",
                "pocket",
                "--steps",
                "3",
                "--batch-size",
                "8",
                "--max-len",
                "16",
                "--threads",
                "1",
                "--objective",
                "tinybert-prediction",
                "--out",
                &out,
            ],
        );
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        (std::fs::read(dir.join(out).join("model.safetensors")).unwrap(), done.stderr)
    };
    let (first, said) = student("in-order");
    assert!(!said.contains("says nothing"), "{said}");
    assert!(student("reversed").0 == first, "the prediction term compares classes, not places");
    let (numbered, said) = student("numbered");
    assert!(numbered == first);
    assert_eq!(said.matches("names without a meaning").count(), 1, "{said}");
}

/// A checkpoint of the tiny BERT with a classifier of these `outputs`.
fn with_classifier(outputs: usize) -> Tensors {
    let mut tensors = tiny_tensors();
    tensors.0.insert("classifier.weight".into(), filled(&[outputs, 4]));
    tensors.0.insert("classifier.bias".into(), filled(&[outputs]));
    tensors
}

/// Imports [`with_classifier`] with these keys in its configuration.
fn import(dir: &Path, outputs: usize, keys: &Value) -> crate::support::Outcome {
    let mut config = tiny_config();
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    write_checkpoint(dir, &config, &with_classifier(outputs));
    std::fs::write(dir.join("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\nd\ne\nf\n").unwrap();
    import_tiny(dir, &["--task", "toxicity"])
}

#[test]
fn labels_that_are_each_for_themselves_are_answered_by_sigmoids() {
    let dir = folder();
    let names = json!({ "0": "toxic", "1": "insult", "2": "threat" });
    let keys = json!({ "problem_type": "multi_label_classification", "id2label": names });
    assert_eq!(import(dir.path(), 3, &keys).code, Some(0));
    let config: Value = serde_json::from_slice(&std::fs::read(dir.path().join("model/config.json")).unwrap()).unwrap();
    assert_eq!(config["task_heads"][0]["kind"], json!("multi_label"));
    assert_eq!(config["problem_type"], keys["problem_type"], "as it is for other programs");
    let answer = run(dir.path(), &["predict", "--model", "model", "--json", "a b"]).json()["answers"][0].clone();
    let single = json!({ "problem_type": null, "id2label": names });
    let other = folder();
    assert_eq!(import(other.path(), 3, &single).code, Some(0));
    let one_of = run(other.path(), &["predict", "--model", "model", "--json", "a b"]).json()["answers"][0].clone();
    let of = |answer: &Value, name: &str| answer["probabilities"][name].as_f64().unwrap();
    // Softmax keeps the differences of the scores and sigmoids the scores: ln(p / (1 - p)).
    let score = |name| (of(&answer, name) / (1.0 - of(&answer, name))).ln();
    for (a, b) in [("toxic", "insult"), ("insult", "threat")] {
        let difference = (of(&one_of, a) / of(&one_of, b)).ln();
        assert!((score(a) - score(b) - difference).abs() < 1e-5, "{answer} {one_of}");
    }
    let likely: Vec<&str> = ["toxic", "insult", "threat"].into_iter().filter(|name| of(&answer, name) >= 0.5).collect();
    assert_eq!(answer["labels"], json!(likely));
    let plain = run_with_input(dir.path(), &["predict", "--model", "model"], b"a b\n").stdout;
    assert_eq!(plain.trim_end().split(", ").count(), likely.len().max(1), "{plain}");
}

#[test]
fn heads_that_would_be_answered_otherwise_than_they_were_trained_are_refused() {
    for (outputs, keys, parts) in [
        (3, json!({ "problem_type": "regression" }), &["problem_type", "regression of 3 numbers"][..]),
        (1, json!({ "problem_type": "single_label_classification" }), &["problem_type", "one class"]),
        (3, json!({ "problem_type": "ranking" }), &["problem_type", "`ranking` is not known"]),
        (3, json!({ "id2label": { "0": "a", "1": "b" } }), &["id2label", "2 names", "3 outputs"]),
        (2, json!({ "id2label": { "0": "a", "1": "a" } }), &["id2label", "both called `a`"]),
        (2, json!({ "id2label": { "1": "a", "2": "b" } }), &["id2label", "no name for output 0"]),
        (1, json!({ "architectures": ["BertForTokenClassification"] }), &["has one output; tags need two"]),
        (1, json!({ "architectures": ["BertForMultipleChoice"] }), &["BertForMultipleChoice", "--task toxicity"]),
        (2, json!({ "architectures": ["BertForQuestionAnswering"] }), &["BertForQuestionAnswering", "--task toxicity"]),
    ] {
        let dir = folder();
        import(dir.path(), outputs, &keys).fails_with(2, &[&["config.json"], parts].concat());
        assert!(!dir.path().join("model").exists());
    }
}

#[test]
fn a_token_classifier_tags_words() {
    let dir = folder();
    let names = json!({ "0": "O", "1": "B-X", "2": "I-X" });
    let keys = json!({ "architectures": ["BertForTokenClassification"], "id2label": names });
    let outcome = import(dir.path(), 3, &keys);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let config: Value = serde_json::from_slice(&std::fs::read(dir.path().join("model/config.json")).unwrap()).unwrap();
    let head = json!({ "task": "toxicity", "kind": "tags", "labels": ["O", "B-X", "I-X"] });
    assert_eq!(
        (&config["task_heads"], &config["architectures"]),
        (&json!([head]), &json!(["BertForTokenClassification"]))
    );
    let answer = run(dir.path(), &["predict", "--model", "model", "--json", "a b"]).json()["answers"][0].clone();
    assert!(answer["entities"].is_array(), "{answer}");
}

#[test]
fn a_classifier_without_a_pooler_is_refused() {
    let dir = folder();
    let mut tensors = with_classifier(2);
    tensors.0.retain(|name, _| !name.contains("pooler"));
    let mut config = tiny_config();
    config.as_object_mut().unwrap().remove("architectures");
    write_checkpoint(dir.path(), &config, &tensors);
    import_tiny(dir.path(), &["--task", "sst-2"]).fails_with(2, &["no pooler", "--task sst-2", "--encoder-only"]);
    assert_eq!(import_tiny(dir.path(), &["--encoder-only"]).code, Some(0));
}

#[test]
fn an_output_without_names_is_called_as_other_programs_call_it() {
    let dir = folder();
    assert_eq!(import(dir.path(), 2, &json!({ "architectures": ["BertForSequenceClassification"] })).code, Some(0));
    let said = run(dir.path(), &["predict", "--model", "model", "a b"]).stdout;
    assert!(said.starts_with("LABEL_"), "{said}");
}

#[test]
fn a_task_that_the_head_cannot_be_for_is_refused_and_a_name_that_is_none_is_said() {
    for (task, outputs, parts) in [
        ("squad-v1", 2, &["--task squad-v1", "marks spans"][..]),
        ("sts-b", 2, &["--task sts-b: is a regression", "classification with 2 outputs"]),
        ("mrpc", 1, &["--task mrpc: is a classification", "regression with 1 outputs"]),
    ] {
        let dir = folder();
        write_checkpoint(dir.path(), &tiny_config(), &with_classifier(outputs));
        import_tiny(dir.path(), &["--task", task]).fails_with(2, parts);
    }
    let dir = folder();
    write_checkpoint(dir.path(), &tiny_config(), &with_classifier(2));
    let done = import_tiny(dir.path(), &["--task", "mrcp"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    done.says(&["warning: --task mrcp: no task that this program knows", "did you mean mrpc?"]);
}
