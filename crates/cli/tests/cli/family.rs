//! The students of the papers, trained their own way.

use std::path::Path;

use bert_core::{BertConfig, ModelDir};
use glue_squad::task::TaskKind;
use predict::heads::task_head;
use serde_json::{Value, json};

use crate::support::{Outcome, folder, mobile, pocket, run, save_bert};

/// Pocket data, the teacher `ib` and the configuration `mobile.json` of its student.
fn mobile_folder() -> tempfile::TempDir {
    let dir = folder();
    pocket(dir.path());
    save_bert(dir.path(), "ib", &mobile("ib-bert-large", 16));
    std::fs::write(dir.path().join("mobile.json"), mobile("mobilebert", 8).to_json().unwrap()).unwrap();
    dir
}

fn config(dir: &Path, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(dir.join(name).join("config.json")).unwrap()).unwrap()
}

/// A published method with other numbers: what is published is data.
fn shortened(dir: &Path, name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../pipeline/recipes/methods/{name}.toml"));
    let mut text = std::fs::read_to_string(path).unwrap();
    for (from, to) in [("240_000", "6"), ("500_000", "6"), ("10_000", "3"), ("2048", "8")] {
        text = text.replace(from, to);
    }
    std::fs::write(dir.join(format!("{name}.toml")), text).unwrap();
}

const TASK: [&str; 4] = ["--task", "sst-2", "--data", "pocket"];
const TEXT: [&str; 2] = ["--corpus", "pocket/corpus.txt"];
const SHORT: [&str; 6] = ["--steps", "2", "--batch-size", "4", "--max-len", "16"];

#[test]
fn mobilebert_is_taught_by_its_inverted_bottleneck_teacher_in_all_three_ways() {
    let dir = mobile_folder();
    let fine_tuned =
        run(dir.path(), &[&["teacher", "--model", "ib", "--out", "tuned"][..], &TASK, &SHORT].concat()).json();
    assert!(fine_tuned["score"].is_number(), "{fine_tuned}");
    // `transformers` has no class for it, so it is written for those that stand beside it.
    let tuned = config(dir.path(), "tuned");
    assert_eq!([&tuned["model_type"], &tuned["encoder_type"]], ["efficientbert", "mobilebert"]);
    let distill = |teacher: &str, method: &str, out: &str, more: &[&str]| -> Outcome {
        shortened(dir.path(), method);
        let file = format!("{method}.toml");
        let base = ["distill", "--teacher", teacher, "--method", &file, "--out", out, "--max-len", "16"];
        run(dir.path(), &[&base[..], more].concat())
    };
    let arch = ["--arch", "mobile.json"];
    let auxiliary = distill("tuned", "mobilebert-auxiliary", "auxiliary", &[&arch[..], &TASK].concat()).json();
    assert!(auxiliary["score"].is_number() && auxiliary["steps"] == json!(6), "{auxiliary}");
    for method in ["mobilebert-joint", "mobilebert-progressive"] {
        let first = format!("{method}-layers");
        let layers = distill("ib", method, &first, &[&arch[..], &TEXT].concat()).json();
        assert_eq!((&layers["steps"], &layers["score"]), (&json!(6), &json!(null)), "the file's own number of steps");
        let card = std::fs::read_to_string(dir.path().join(&first).join("README.md")).unwrap();
        assert!(card.contains(&format!("{method}.toml")), "{card}");
        let second = [&["--init", &first][..], &TASK].concat();
        assert!(distill("tuned", "mobilebert-answers", method, &second).json()["score"].is_number());
        assert_eq!(config(dir.path(), method)["normalization_type"], "no_norm");
    }
    // Only the progressive transfer leaves the embedding as the teacher has it.
    let device = burn::tensor::Device::flex();
    let table = |name: &str| {
        let tensors = ModelDir::load(&dir.path().join(name), &device).unwrap().model.collect_internal();
        tensors.0["encoder.embeddings.word_embeddings.weight"].clone()
    };
    assert!(table("mobilebert-progressive-layers") == table("ib"));
    assert!(table("mobilebert-joint-layers") != table("ib"));
}

#[test]
fn options_go_before_a_method_and_what_does_not_fit_is_refused() {
    let dir = mobile_folder();
    shortened(dir.path(), "mobilebert-joint");
    let base = ["distill", "--teacher", "ib", "--arch", "mobile.json", "--method", "mobilebert-joint.toml"];
    let distill = |more: &[&str]| run(dir.path(), &[&base[..], &TEXT, &["--max-len", "16"], more].concat());
    assert_eq!(distill(&["--out", "a", "--steps", "4"]).json()["steps"], json!(4));
    assert_eq!(distill(&["--out", "b", "--epochs", "1", "--batch-size", "64"]).json()["steps"], json!(2));
    let other = distill(&["--out", "c", "--objective", "minilm"]);
    assert_eq!(other.code, Some(0), "{}", other.stderr);
    let card = std::fs::read_to_string(dir.path().join("c/README.md")).unwrap();
    assert!(card.contains("`minilm`"), "{card}");
    run(dir.path(), &[&base[..], &TEXT, &["--method", "mobilebret", "--out", "d"]].concat()).fails_with(2, &["method"]);
    let unknown = ["distill", "--teacher", "ib", "--arch", "mobile.json", "--out", "d", "--method", "mobilebret"];
    run(dir.path(), &[&unknown[..], &TEXT].concat()).fails_with(2, &["mobilebret", "mobilebert-progressive"]);
    let labels = ["teacher", "--model", "ib", "--out", "d", "--method", "mobilebert-joint.toml"];
    run(dir.path(), &[&labels[..], &TASK].concat()).fails_with(2, &["mobilebert-joint.toml", "labels"]);
    // A teacher of another width cannot give its embedding.
    let wide = BertConfig { embedding_size: Some(6), ..mobile("ib-bert-large", 16) };
    save_bert(dir.path(), "wide", &wide);
    let wide = ["distill", "--teacher", "wide", "--arch", "mobile.json", "--out", "d", "--teacher-embedding"];
    run(dir.path(), &[&wide[..], &TEXT, &SHORT].concat())
        .fails_with(1, &["wide", "projection.weight", "[12, 18]", "[12, 24]"]);
    assert!(!dir.path().join("d").exists());
}

/// A teacher that any published EfficientBERT can learn from: 12 layers, 12 heads.
fn published_folder() -> tempfile::TempDir {
    let dir = folder();
    pocket(dir.path());
    let config = BertConfig {
        task_heads: vec![task_head(TaskKind::Sst2.task())],
        max_position_embeddings: 24,
        ..BertConfig::bert(synthetic_tasks::vocabulary().len(), 24, 12, 12, 24)
    };
    save_bert(dir.path(), "bert", &config);
    dir
}

#[test]
fn every_published_efficientbert_trains_a_step() {
    let dir = published_folder();
    for (name, layers, hidden) in
        [("efficientbert", 6, 540), ("efficientbert-tiny", 6, 360), ("efficientbert++", 12, 360)]
    {
        let base = ["distill", "--teacher", "bert", "--arch", name, "--out", name];
        let done =
            run(dir.path(), &[&base[..], &TASK, &["--steps", "1", "--batch-size", "2", "--max-len", "8"]].concat());
        assert!(done.json()["score"].is_number());
        let config = config(dir.path(), name);
        assert_eq!((&config["num_hidden_layers"], &config["hidden_size"]), (&json!(layers), &json!(hidden)));
        if name != "efficientbert" {
            std::fs::remove_dir_all(dir.path().join(name)).unwrap();
        }
    }
    // The smaller one begins with the first channels of the larger, the deeper one has each of its layers twice.
    let inherit = |arch: &str, how: &str, out: &str| {
        let base =
            ["distill", "--teacher", "bert", "--arch", arch, "--init", "efficientbert", "--inherit", how, "--out", out];
        let short = ["--steps", "1", "--batch-size", "2", "--max-len", "8", "--learning-rate", "1e-30"];
        run(dir.path(), &[&base[..], &TASK, &short].concat())
    };
    let device = burn::tensor::Device::flex();
    let weights = |name: &str| ModelDir::load(&dir.path().join(name), &device).unwrap().model.collect_internal().0;
    let source = weights("efficientbert");
    for (name, how, times) in [("efficientbert-tiny", "cut", 1), ("efficientbert++", "doubled", 2)] {
        let done = inherit(name, how, "smaller");
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        let found = weights("smaller");
        for layer in 0..6 * times {
            for part in ["attention.query.weight", "feed_forward.blocks.0.dense1.weight"] {
                let (ours, theirs) = (
                    &found[&format!("encoder.layers.{layer}.{part}")],
                    &source[&format!("encoder.layers.{}.{part}", layer / times)],
                );
                let (row, wide) = (ours.shape[1], theirs.shape[1]);
                assert_eq!((row, wide), (360, 540));
                let last = ours.shape[0] - 1;
                for r in [0, 1, last] {
                    let same = ours.data[r * row..(r + 1) * row] == theirs.data[r * wide..r * wide + row];
                    assert!(same, "{name}: row {r} of {part} in layer {layer}");
                }
            }
        }
        std::fs::remove_dir_all(dir.path().join("smaller")).unwrap();
    }
    inherit("efficientbert++", "cut", "out").fails_with(2, &["6 layers", "12"]);
    inherit("efficientbert-tiny", "doubled", "out").fails_with(2, &["become the student's", "6"]);
    inherit("efficientbert-tiny", "same", "out").fails_with(1, &["--init does not fit", "encoder."]);
    inherit("tinybert-6", "cut", "out").fails_with(1, &["searched feed-forwards"]);
    let random = ["distill", "--teacher", "bert", "--arch", "efficientbert", "--inherit", "cut", "--out", "out"];
    run(dir.path(), &[&random[..], &TASK].concat()).fails_with(2, &["--inherit", "--init"]);
}

#[test]
fn a_student_begins_as_its_teacher() {
    let dir = published_folder();
    let layers = ["linear2_1(gelu(linear2_1(x,wb1)),wb2)"; 6].join("; ");
    let small = ["--arch", &layers, "--hidden", "12", "--embed", "8"];
    let distill = |arch: &[&str], more: &[&str]| {
        let base = ["distill", "--teacher", "bert", "--out", "student", "--learning-rate", "1e-30"];
        let _ = std::fs::remove_dir_all(dir.path().join("student"));
        run(
            dir.path(),
            &[&base[..], arch, &TASK, &["--steps", "1", "--batch-size", "4", "--max-len", "16"], more].concat(),
        )
    };
    let device = burn::tensor::Device::flex();
    let words = || {
        let model = ModelDir::load(&dir.path().join("student"), &device).unwrap().model.collect_internal();
        model.0["encoder.embeddings.word_embeddings.weight"].data.clone()
    };
    let begun = distill(&small, &["--inherit", "teacher"]);
    begun.says(&["the student begins as its teacher, by", "tokens of"]);
    let card = std::fs::read_to_string(dir.path().join("student/README.md")).unwrap();
    assert!(card.contains("weights computed of the teacher's"), "{card}");
    let whole = words();
    let drawn = distill(&small, &["--inherit", "teacher", "--inherit-without", "channels"]);
    assert_eq!(drawn.code, Some(0), "{}", drawn.stderr);
    assert!(whole != words(), "other channels");
    let again = distill(&small, &["--inherit", "teacher"]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(whole == words(), "the same again");
    distill(&["--arch", "efficientbert"], &["--inherit", "teacher"])
        .fails_with(2, &["--inherit teacher", "hidden width", "540", "24"]);
    distill(&["--arch", &layers, "--hidden", "12", "--embed", "8", "--init", "bert"], &["--inherit", "teacher"])
        .fails_with(2, &["--inherit teacher", "--init", "--arch"]);
    distill(&small, &["--inherit-without", "mending"]).fails_with(2, &["--inherit-without", "--inherit teacher"]);
    distill(&small, &["--inherit", "teacher", "--teacher-embedding"]).fails_with(2, &["--teacher-embedding"]);
    assert!(!dir.path().join("student").exists());
}

#[test]
fn found_feed_forwards_train_in_the_shape_of_a_plain_bert() {
    let dir = published_folder();
    let shape = BertConfig {
        max_position_embeddings: 24,
        ..BertConfig::bert(synthetic_tasks::vocabulary().len(), 24, 6, 12, 96)
    };
    std::fs::write(dir.path().join("shape.json"), shape.to_json().unwrap()).unwrap();
    let base = ["distill", "--teacher", "bert", "--arch", "efficientbert", "--into", "shape.json", "--out", "student"];
    let done = run(dir.path(), &[&base[..], &TASK, &SHORT].concat()).json();
    let written = config(dir.path(), "student");
    assert_eq!((&written["pad_operands"], &written["intermediate_size"]), (&json!(true), &json!(96)));
    assert!(written.get("embedding_size").is_none_or(Value::is_null), "the shape's own embedding");
    // What is written down is what was trained.
    let eval = ["eval", "--model", "student", "--task", "sst-2", "--data", "pocket", "--max-len", "16", "--json"];
    assert_eq!(run(dir.path(), &eval).json()["metrics"]["accuracy"], done["metrics"]["sst-2/accuracy"]);

    let show = |args: &[&str]| run(dir.path(), &[&["arch", "show", "--json"][..], args].concat());
    let transferred = show(&["efficientbert", "--into", "tinybert-6"]).json();
    assert_eq!(transferred["params"], json!(69_526_016));
    assert_eq!(show(&["efficientbert-tinybert-6"]).json()["params"], transferred["params"]);
    show(&["bert-base", "--into", "tinybert-6"]).fails_with(2, &["`bert-base` has no searched feed-forwards"]);
    show(&["efficientbert", "--into", "efficientbert"]).fails_with(2, &["name a plain BERT"]);
    show(&["efficientbert", "--into", "mobilebert"]).fails_with(2, &["--into mobilebert", "no bottleneck"]);
    show(&["efficientbert", "--into", "tinybert-6", "--hidden", "8"]).fails_with(2, &["cannot be used with"]);
    let sample = run(dir.path(), &["arch", "sample", "--into", "tinybert-6"]);
    sample.fails_with(2, &["--into has no effect"]);
}
