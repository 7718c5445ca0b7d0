//! `distill --mlm`: students that learn hidden words, and what becomes of them.

use std::path::Path;
use std::process::Stdio;

use bert_core::weights::{HostTensor, NameFormat};
use bert_core::{BertConfig, ModelDir, Package, Parts, TaskModel};
use serde_json::{Value, json};

use crate::support::{Outcome, command, folder, mobile, pocket, pocket_tokenizer, run, save_bert, snapshot, wait_for};

const ARCH: &str = "linear1_1(gelu(linear1_1(x,wb1)),wb2); tanh(linear2_2(gelu(linear2_2(x,wb1)),wb2))";
const SEARCHED: [&str; 6] = ["--arch", ARCH, "--hidden", "12", "--embed", "8"];

fn bert() -> BertConfig {
    BertConfig { max_position_embeddings: 24, ..BertConfig::bert(synthetic_tasks::vocabulary().len(), 16, 2, 2, 32) }
}

fn save(dir: &Path, name: &str, config: &BertConfig, words: bool) {
    let parts = Parts::POOLER;
    let parts = if words { parts.with_words(config) } else { parts };
    let model = TaskModel::new(config, parts, &burn::tensor::Device::flex()).unwrap();
    let files = [pocket_tokenizer(dir)];
    let package = Package { card: "# test", files: &files, keep_fit: true };
    ModelDir::save(&dir.join(name), config, &model.initialized(config, 3), package).unwrap();
}

/// Pocket data, the teacher `words` with a masked-language-model head and `bert` without.
fn words_folder() -> tempfile::TempDir {
    let dir = folder();
    pocket(dir.path());
    save(dir.path(), "words", &bert(), true);
    save_bert(dir.path(), "bert", &bert());
    dir
}

fn distill(dir: &Path, teacher: &str, out: &str, more: &[&str]) -> Outcome {
    let base = ["distill", "--teacher", teacher, "--corpus", "pocket/corpus.txt", "--out", out];
    run(dir, &[&base[..], &["--steps", "4", "--batch-size", "8", "--max-len", "16"], more].concat())
}

fn parts(dir: &Path, name: &str) -> Parts {
    model_dir::outline(&dir.join(name)).unwrap().1.parts()
}

/// Names of the loss terms of the last step in the log of the model directory `name`.
fn terms(dir: &Path, name: &str) -> Vec<String> {
    let log = std::fs::read_to_string(dir.join(name).join("log.jsonl")).unwrap();
    let mut lines = log.lines().rev().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let step = lines.find(|line| line.get("terms").is_some()).expect("a step was logged");
    let terms = step["terms"].as_array().unwrap();
    terms.iter().map(|term| term[0].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_searched_student_gets_a_head_that_augmentation_uses_and_keeps_it_for_the_next_text() {
    let dir = words_folder();
    let first = distill(dir.path(), "words", "first", &[&SEARCHED[..], &["--mlm"]].concat());
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert_eq!(terms(dir.path(), "first"), ["attention", "hidden", "mlm"]);
    assert_eq!(parts(dir.path(), "first"), Parts { pooler: true, mlm: true, mlm_extra: false });
    let shown = run(dir.path(), &["arch", "show", "first", "--seq", "16", "--json"]).json();
    // 8 x 12 and its bias, a norm of 8, one bias for each word.
    let head = 12 * 8 + 8 + 16 + synthetic_tasks::vocabulary().len();
    assert_eq!(shown["parts"]["masked_lm"], json!({ "params": head, "macs": 0 }));
    let text = run(dir.path(), &["arch", "show", "first", "--seq", "16"]).stdout;
    assert!(text.contains("masked-language-model head") && text.contains("which tasks do not need"), "{text}");

    let augment = ["data", "augment", "--data", "pocket", "--task", "sst-2", "--teacher", "first", "--limit", "10"];
    let report = run(dir.path(), &[&augment[..], &["--out", "more", "--json"]].concat()).json();
    assert_eq!(report["source"], json!("mlm and embeddings"), "{report}");

    // It goes on from the words that it knows, with --mlm, and leaves the head behind without.
    let next = distill(dir.path(), "words", "next", &["--init", "first", "--mlm", "--learning-rate", "1e-12"]);
    assert!(!next.stderr.contains("left behind"), "{}", next.stderr);
    let device = burn::tensor::Device::flex();
    let tensor = |name: &str| {
        let tensors = ModelDir::load(&dir.path().join(name), &device).unwrap().model.collect_internal();
        tensors.0["mlm.dense.weight"].clone()
    };
    let close = tensor("first").data.iter().zip(&tensor("next").data).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(close, "a rate of nothing changes nothing");
    std::fs::write(dir.path().join("words-alone.toml"), "[distill.mlm]\n").unwrap();
    let layers: Vec<&str> = ARCH.split("; ").flat_map(|layer| [layer, layer]).collect();
    let layers = layers.join("; ");
    let doubled = ["--arch", &layers, "--hidden", "12", "--embed", "8", "--init", "first", "--inherit", "doubled"];
    let slow = ["--objective", "words-alone.toml", "--learning-rate", "1e-12"];
    let doubled = distill(dir.path(), "words", "doubled", &[&doubled[..], &slow].concat());
    assert_eq!(doubled.code, Some(0), "{}", doubled.stderr);
    assert!(tensor("first").data.iter().zip(&tensor("doubled").data).all(|(a, b)| (a - b).abs() < 1e-6));
    let without = distill(dir.path(), "words", "without", &["--init", "first"]);
    without.says(&["the heads of --init are left behind"]);
    assert!(!parts(dir.path(), "without").mlm);
}

#[test]
fn without_the_option_nothing_of_it_is_in_the_student() {
    let dir = words_folder();
    assert_eq!(distill(dir.path(), "words", "plain", &SEARCHED).code, Some(0));
    assert_eq!(terms(dir.path(), "plain"), ["attention", "hidden"]);
    assert_eq!(parts(dir.path(), "plain"), Parts::POOLER);
    // A teacher that has a head gives the student what one without it gives.
    let bare = ModelDir::load(&dir.path().join("words"), &burn::tensor::Device::flex()).unwrap();
    let model = bert_core::TaskModel { mlm: None, ..bare.model };
    let files = [pocket_tokenizer(dir.path())];
    let package = Package { card: "", files: &files, keep_fit: true };
    ModelDir::save(&dir.path().join("bare"), &bert(), &model, package).unwrap();
    assert_eq!(distill(dir.path(), "bare", "same", &SEARCHED).code, Some(0));
    let weights = |name: &str| std::fs::read(dir.path().join(name).join("model.safetensors")).unwrap();
    assert!(weights("plain") == weights("same"));
}

#[test]
fn plain_students_learn_words_alone_from_a_teacher_without_a_head() {
    let dir = words_folder();
    std::fs::write(dir.path().join("alone.toml"), "[distill.mlm]\nteacher = 0.0\n").unwrap();
    let alone = distill(dir.path(), "bert", "alone", &["--init", "bert", "--objective", "alone.toml"]);
    assert_eq!(alone.code, Some(0), "{}", alone.stderr);
    assert_eq!(terms(dir.path(), "alone"), ["mlm"]);
    let config: Value = serde_json::from_slice(&std::fs::read(dir.path().join("alone/config.json")).unwrap()).unwrap();
    assert_eq!(config["architectures"], json!(["BertForMaskedLM"]));
}

#[test]
fn what_cannot_be_learnt_is_refused_before_any_training_and_changes_nothing() {
    let dir = words_folder();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("share.toml", "[distill.mlm]\nteacher = 1.5\n");
    write("mask.toml", "[distill.mlm]\nmask = { probability = 2.0 }\n");
    write("key.toml", "[distill.mlm]\nalpha = 0.5\n");
    write("task.toml", "[distill]\npreset = \"efficientbert\"\n[distill.mlm]\n");
    let pack =
        ["data", "pack", "pocket/corpus.txt", "--tokenizer", "bert", "--max-len", "16", "--mask", "--out", "packed"];
    assert_eq!(run(dir.path(), &pack).code, Some(0));
    let before = snapshot(dir.path());
    let fails = |teacher: &str, more: &[&str], code: i32, parts: &[&str]| {
        distill(dir.path(), teacher, "out", more).fails_with(code, parts);
        assert!(snapshot(dir.path()) == before);
    };
    let with = |more: &[&'static str]| [&SEARCHED[..], more].concat();
    let missing = ["--teacher bert cannot teach", "the teacher has no masked-language-model head", "teacher = 0.0"];
    fails("bert", &with(&["--mlm"]), 2, &missing);
    fails("words", &with(&["--objective", "share.toml"]), 2, &["share.toml", "mlm: `teacher`"]);
    fails("words", &with(&["--objective", "mask.toml"]), 2, &["mask.toml", "probability is 2"]);
    fails("words", &with(&["--objective", "key.toml"]), 2, &["key.toml", "alpha"]);
    fails("words", &with(&["--vocab", "900", "--mlm"]), 2, &["900 word pieces, the teacher"]);
    let task = ["distill", "--teacher", "words", "--out", "out", "--task", "sst-2", "--data", "pocket"];
    let task = |more: &[&str]| run(dir.path(), &[&task[..], &SEARCHED, more].concat());
    task(&["--objective", "task.toml"]).fails_with(2, &["`mlm`", "training on text"]);
    task(&["--mlm"]).fails_with(2, &["cannot be used with"]);
    let packed = ["distill", "--teacher", "words", "--corpus", "packed", "--out", "out", "--steps", "2", "--mlm"];
    run(dir.path(), &[&packed[..], &SEARCHED].concat())
        .fails_with(2, &["hidden in these shards already", "without --mask"]);
    assert!(snapshot(dir.path()) == before);
    let search = ["search", "--recipe", "smoke", "--out", "run", "--set", "distill.preset=efficientbert", "--set"];
    let search = run(dir.path(), &[&search[..], &["distill.mlm={ teacher = 0.0 }"]].concat());
    search.fails_with(2, &["`warm_up`", "a search gives none"]);
}

#[test]
fn a_killed_training_hides_the_words_that_it_would_have_hidden() {
    let dir = words_folder();
    let args = |out: &'static str| {
        let base = ["distill", "--teacher", "words", "--corpus", "pocket/corpus.txt", "--out", out, "--mlm"];
        let short = ["--steps", "200", "--batch-size", "8", "--accumulate", "2", "--max-len", "16"];
        [&base[..], &short, &["--checkpoint-every", "10", "--objective", "mobilebert-joint"], &SEARCHED].concat()
    };
    let mut child = command(dir.path()).args(args("out")).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    wait_for(|| dir.path().join("out.training/checkpoints/step-000080").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!dir.path().join("out").exists(), "the kill came too late");
    let resumed = run(dir.path(), &[&args("out")[..], &["--resume"]].concat());
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    assert_eq!(run(dir.path(), &args("whole")).code, Some(0));
    let weights = |name: &str| std::fs::read(dir.path().join(name).join("model.safetensors")).unwrap();
    assert!(weights("out") == weights("whole"));
}

#[test]
fn an_objective_with_words_is_shown_and_trains_the_same_student() {
    let dir = words_folder();
    let show = ["objective", "show", "mobilebert-progressive", "--on", "text", "--student", ARCH, "--teacher", "words"];
    let sizes = ["--hidden", "12", "--embed", "8", "--heads", "2", "--fit", "16"];
    let shown = run(dir.path(), &[&show[..], &["--mlm"], &sizes].concat());
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    for words in ["[distill.mlm", "teacher = 0.5", "begin = \"32.4%\"", "probability = 0.15"] {
        assert!(shown.stdout.contains(words), "{words} in {}", shown.stdout);
    }
    std::fs::write(dir.path().join("mine.toml"), &shown.stdout).unwrap();
    let steps = ["--steps", "6"];
    let train = |out: &str, objective: &[&str]| {
        let base = ["distill", "--teacher", "words", "--corpus", "pocket/corpus.txt", "--out", out, "--max-len", "16"];
        let done = run(dir.path(), &[&base[..], &["--batch-size", "8"], &steps, &SEARCHED, objective].concat());
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        std::fs::read(dir.path().join(out).join("model.safetensors")).unwrap()
    };
    assert!(
        train("a", &["--objective", "mobilebert-progressive", "--mlm"]) == train("b", &["--objective", "mine.toml"])
    );
    let bare = run(dir.path(), &[&show[..8], &["bert", "--mlm"], &sizes].concat());
    bare.fails_with(2, &["the teacher has no masked-language-model head"]);
    run(dir.path(), &["objective", "show", "mobilebert", "--mlm"]).fails_with(2, &["training on text"]);
}

#[test]
fn held_out_text_is_asked_for_its_hidden_words_and_the_best_weights_are_kept() {
    let dir = words_folder();
    let more = ["--mlm", "--eval-corpus", "pocket/corpus.txt", "--eval-every", "2", "--learning-rate", "1e-3"];
    let done = distill(dir.path(), "words", "out", &[&SEARCHED[..], &more].concat()).json();
    let score = done["metrics"]["words/accuracy"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&score) && done["score"] == done["metrics"]["words/accuracy"], "{done}");
    let card = std::fs::read_to_string(dir.path().join("out/README.md")).unwrap();
    assert!(card.contains("held-out text: words/accuracy"), "{card}");
    let cached = ["--mlm", "--teacher-cache", "cache"];
    distill(dir.path(), "words", "cached", &[&SEARCHED[..], &cached].concat()).says(&["hidden words is not kept"]);
    let refused = |more: &[&str], words: &[&str]| {
        distill(dir.path(), "words", "other", &[&SEARCHED[..], more].concat()).fails_with(2, words);
    };
    refused(&["--eval-corpus", "pocket/corpus.txt"], &["--eval-corpus", "hides none", "--mlm"]);
    refused(&["--mlm", "--eval-every", "2"], &["--eval-every", "--eval-corpus"]);
    let missing = distill(dir.path(), "words", "other", &[&SEARCHED[..], &["--mlm", "--eval-corpus", "none"]].concat());
    missing.fails_with(2, &["none: no such file or folder"]);
}

#[test]
fn mobilebert_is_pre_trained_as_published_layers_first_and_words_then() {
    let dir = folder();
    pocket(dir.path());
    save(dir.path(), "ib", &mobile("ib-bert-large", 16), true);
    std::fs::write(dir.path().join("mobile.json"), mobile("mobilebert", 8).to_json().unwrap()).unwrap();
    let step = |method: &str, out: &str, more: &[&str]| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../pipeline/recipes/methods/{method}.toml"));
        let text = std::fs::read_to_string(path).unwrap();
        let text = [("240_000", "6"), ("500_000", "6"), ("10_000", "3"), ("2048", "8")]
            .into_iter()
            .fold(text, |text, (from, to)| text.replace(from, to));
        let file = format!("{method}.toml");
        std::fs::write(dir.path().join(&file), text).unwrap();
        let base = ["distill", "--teacher", "ib", "--corpus", "pocket/corpus.txt", "--max-len", "16", "--out", out];
        let done = run(dir.path(), &[&base[..], &["--method", &file], more].concat());
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        terms(dir.path(), out)
    };
    let arch = ["--arch", "mobile.json"];
    assert_eq!(step("mobilebert-progressive", "layers", &arch), ["attention", "hidden", "mean", "variance"]);
    assert!(!parts(dir.path(), "layers").mlm);
    assert_eq!(step("mobilebert-words", "words", &["--init", "layers"]), ["mlm"]);
    assert_eq!(parts(dir.path(), "words"), Parts { pooler: true, mlm: true, mlm_extra: true });
    let auxiliary = step("mobilebert-auxiliary", "auxiliary", &[&arch[..], &["--mlm"]].concat());
    assert_eq!(auxiliary, ["attention", "hidden", "mean", "variance", "mlm"]);
    let augment = ["data", "augment", "--data", "pocket", "--task", "sst-2", "--teacher", "words", "--limit", "10"];
    let report = run(dir.path(), &[&augment[..], &["--out", "more", "--json"]].concat()).json();
    assert_eq!(report["source"], json!("mlm and embeddings"), "{report}");
}

#[test]
fn mobileberts_head_is_imported_from_a_pre_training_checkpoint() {
    let dir = folder();
    pocket(dir.path());
    let config = mobile("mobilebert", 8);
    save(dir.path(), "own", &config, true);
    let device = burn::tensor::Device::flex();
    let own = ModelDir::load(&dir.path().join("own"), &device).unwrap().model;
    // As Hugging Face saves `MobileBertForPreTraining`: a prefix, copies of what is tied, and a next-sentence head.
    let mut tensors = own.collect(NameFormat::HuggingFace(config.model_type));
    let head = |name: &str| name.starts_with("cls.");
    let all = std::mem::take(&mut tensors.0).into_iter();
    tensors.0.extend(all.map(|(name, t)| (if head(&name) { name } else { format!("mobilebert.{name}") }, t)));
    let table = tensors.0["mobilebert.embeddings.word_embeddings.weight"].clone();
    let bias = tensors.0["cls.predictions.bias"].clone();
    tensors.0.insert("cls.predictions.decoder.weight".into(), table);
    tensors.0.insert("cls.predictions.decoder.bias".into(), bias);
    tensors.0.insert("cls.seq_relationship.weight".into(), HostTensor { shape: vec![2, 12], data: vec![0.5; 24] });
    tensors.0.insert("cls.seq_relationship.bias".into(), HostTensor { shape: vec![2], data: vec![0.5; 2] });
    std::fs::write(dir.path().join("config.json"), config.to_json().unwrap()).unwrap();
    tensors.write_safetensors(&dir.path().join("weights.safetensors")).unwrap();
    let import = ["import", "weights.safetensors", "--config", "config.json", "--format", "hf"];
    let done = run(dir.path(), &[&import[..], &["--out", "model"]].concat());
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let read = ModelDir::load(&dir.path().join("model"), &device).unwrap().model;
    assert_eq!(read.parts(), Parts { pooler: true, mlm: true, mlm_extra: true });
    assert_eq!(read.collect_internal(), own.collect_internal());
    // A decoder of its own would be another model.
    tensors.0.get_mut("cls.predictions.decoder.weight").unwrap().data[0] += 1.0;
    tensors.write_safetensors(&dir.path().join("weights.safetensors")).unwrap();
    let untied = run(dir.path(), &[&import[..], &["--out", "other"]].concat());
    untied.fails_with(1, &["cls.predictions.decoder.weight", "word_embeddings.weight"]);
}
