//! Models with one segment: single texts are theirs, pairs are not.

use bert_core::BertConfig;
use glue_squad::task::TaskKind;
use predict::heads::task_head;
use serde_json::json;

use crate::support::{
    filled, folder, import_tiny, pocket, run, run_with_input, save_bert, snapshot, tiny_config, tiny_tensors,
    write_checkpoint,
};

const NEED: &str = "`type_vocab_size` is 1; the pairs of texts of";

#[test]
fn a_single_text_is_answered_as_by_transformers() {
    let dir = folder();
    let mut config = tiny_config();
    config["type_vocab_size"] = json!(1);
    let mut tensors = tiny_tensors();
    tensors.0.insert("bert.embeddings.token_type_embeddings.weight".into(), filled(&[1, 4]));
    tensors.0.insert("classifier.weight".into(), filled(&[2, 4]));
    tensors.0.insert("classifier.bias".into(), filled(&[2]));
    write_checkpoint(dir.path(), &config, &tensors);
    let words = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\nd\ne\nf\n";
    std::fs::write(dir.path().join("vocab.txt"), words).unwrap();
    assert_eq!(import_tiny(dir.path(), &["--task", "sst-2"]).code, Some(0));
    let answer = run(dir.path(), &["predict", "--model", "model", "--json", "a b c"]).json();
    // BertForSequenceClassification of transformers 5.24.0 with these weights for [[2, 5, 6, 7, 3]], token_type_ids 0.
    let probability = answer["answers"][0]["probability"].as_f64().unwrap();
    assert!((probability - 0.510_037_660_6).abs() < 1e-6, "{answer}");
    // With token_type_ids of 1 it raises an IndexError.
    run(dir.path(), &["predict", "--model", "model", "a", "b"]).fails_with(1, &["--model: ", NEED, "TEXT need 2"]);
}

#[test]
fn commands_take_single_texts_and_refuse_pairs_before_the_work() {
    let dir = folder();
    pocket(dir.path());
    let config = BertConfig {
        task_heads: [TaskKind::Sst2, TaskKind::Rte].map(|task| task_head(task.task())).to_vec(),
        max_position_embeddings: 24,
        type_vocab_size: 1,
        ..BertConfig::bert(synthetic_tasks::vocabulary().len(), 16, 2, 2, 32)
    };
    save_bert(dir.path(), "bert", &config);
    let works = |args: &[&str]| {
        let done = run(dir.path(), args);
        assert_eq!(done.code, Some(0), "{args:?}: {}", done.stderr);
    };
    let on = |command: &'static str, model: &'static str, task: &'static str| {
        [command, model, "bert", "--task", task, "--data", "pocket"]
    };
    works(&on("eval", "--model", "sst-2"));
    let lines = run_with_input(dir.path(), &["predict", "--model", "bert", "--task", "sst-2"], b"the soup\na\tb\n");
    assert_eq!((lines.code, lines.stdout.lines().count()), (Some(1), 1), "the line before is answered");
    lines.says(&[NEED, "standard input:2"]);
    let short = ["--steps", "1", "--max-len", "16", "--out"];
    works(&[&on("teacher", "--model", "sst-2")[..], &short, &["tuned"]].concat());
    let arch = "linear1_1(gelu(linear1_1(x,wb1)),wb2); tanh(linear2_2(gelu(linear2_2(x,wb1)),wb2))";
    let student = ["--arch", arch, "--hidden", "12", "--embed", "8"];
    works(&[&on("distill", "--teacher", "sst-2")[..], &student, &short, &["student"]].concat());
    works(&["eval", "--model", "student", "--task", "sst-2", "--data", "pocket"]);
    let pack = ["data", "pack", "pocket/corpus.txt", "--tokenizer", "bert", "--out", "full", "--packing", "full"];
    works(&[&pack[..], &["--max-len", "16"]].concat());
    let text = |corpus: &'static str, out: &'static str| {
        [&["distill", "--teacher", "bert"], &student[..], &["--corpus", corpus], &short, &[out]].concat()
    };
    works(&text("full", "general"));

    let recipe = include_str!("../../../pipeline/recipes/smoke.toml");
    let scratch = recipe.find("[teacher.scratch]").unwrap()..recipe.find("[teacher.fine_tune]").unwrap();
    let mut recipe = recipe.replace("max_len = 32", "max_len = 16");
    recipe.replace_range(scratch, "");
    std::fs::write(dir.path().join("own.toml"), recipe).unwrap();
    let search = ["search", "--recipe", "own.toml", "--teacher", "bert", "--data", "pocket", "--corpus"];
    let search =
        |corpus: &'static str, tasks: &'static str| [&search[..], &[corpus, "--set", tasks, "--out", "run"]].concat();
    let before = snapshot(dir.path());
    for (args, code, whose) in [
        (on("eval", "--model", "rte").to_vec(), 1, "rte"),
        ([&on("teacher", "--model", "rte")[..], &short, &["none"]].concat(), 1, "rte"),
        ([&on("distill", "--teacher", "rte")[..], &student, &short, &["none"]].concat(), 1, "rte"),
        (text("pocket/corpus.txt", "none"), 1, "--corpus"),
        (search("pocket/corpus.txt", "tasks=[\"rte\"]"), 2, "rte"),
        (search("pocket/corpus.txt", "tasks=[\"sst-2\"]"), 2, "`data.corpus`"),
    ] {
        run(dir.path(), &args).fails_with(code, &["type_vocab_size", "is 1; the pairs of texts of", whose]);
    }
    assert_eq!(snapshot(dir.path()), before);
}
