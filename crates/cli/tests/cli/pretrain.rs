//! `pretrain`.

use std::path::Path;
use std::process::Stdio;

use bert_core::{BertConfig, Parts};
use glue_squad::task::TaskKind;
use serde_json::{Value, json};

use crate::support::{Outcome, command, folder, pocket, pocket_folder, run, snapshot, wait_for};

const SIZES: [&str; 8] = ["--hidden", "16", "--layers", "4", "--heads", "2", "--intermediate", "32"];
const SHORT: [&str; 6] = ["--steps", "4", "--batch-size", "8", "--max-len", "16"];

/// A pre-training with the tokenizer of the model `bert`.
fn pretrain(dir: &Path, out: &str, more: &[&str]) -> Outcome {
    let base = ["pretrain", "--corpus", "pocket/corpus.txt", "--out", out];
    run(dir, &[&base[..], &SHORT, more].concat())
}

fn new(dir: &Path, out: &str, more: &[&str]) -> Outcome {
    pretrain(dir, out, &[&["--tokenizer", "bert"][..], &SIZES, more].concat())
}

fn config(dir: &Path, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(dir.join(name).join("config.json")).unwrap()).unwrap()
}

fn weights(dir: &Path, name: &str) -> Vec<u8> {
    std::fs::read(dir.join(name).join("model.safetensors")).unwrap()
}

#[test]
fn a_new_encoder_learns_text_and_a_teacher_goes_on_from_it() {
    let dir = pocket_folder(&[]);
    let done = new(dir.path(), "small", &["--eval-corpus", "pocket/corpus.txt", "--eval-every", "2"]).json();
    assert_eq!(done["steps"], json!(4));
    let metrics = done["metrics"].as_object().unwrap();
    let (loss, accuracy) = (metrics["words/loss"].as_f64().unwrap(), metrics["words/accuracy"].as_f64().unwrap());
    assert!(loss > 1.0 && (0.0..1.0).contains(&accuracy), "{done}");
    let score = done["score"].as_f64().unwrap();
    assert!((score - (-loss).exp()).abs() < 1e-12, "the best weights are those of the least loss: {done}");
    let made = config(dir.path(), "small");
    assert_eq!((&made["hidden_size"], &made["num_hidden_layers"]), (&json!(16), &json!(4)));
    assert_eq!(made["vocab_size"], config(dir.path(), "bert")["vocab_size"]);
    assert_eq!(model_dir::outline(&dir.path().join("small")).unwrap().1.parts(), Parts { mlm: true, ..Parts::NONE });
    let card = std::fs::read_to_string(dir.path().join("small/README.md")).unwrap();
    assert!(card.contains("Pre-trained by `efficientbert pretrain`") && card.contains("words/loss"), "{card}");

    let teacher = ["teacher", "--model", "small", "--task", "sst-2", "--data", "pocket", "--out", "teacher"];
    let taught = run(dir.path(), &[&teacher[..], &SHORT].concat());
    assert_eq!(taught.code, Some(0), "{}", taught.stderr);
}

#[test]
fn tokens_are_dropped_in_every_way_and_the_seed_makes_it_repeatable() {
    let dir = pocket_folder(&[]);
    let ways: [&[&str]; 5] = [
        &[],
        &["--token-drop", "0.5"],
        &["--token-drop", "0.5", "--token-drop-compatible", "--max-predictions", "5"],
        &["--token-drop", "0.5", "--token-drop-by", "frequency"],
        &["--token-drop", "0.5", "--token-drop-by", "random"],
    ];
    let mut found: Vec<Vec<u8>> = Vec::new();
    for (i, way) in ways.iter().enumerate() {
        let [name, again] = [format!("a{i}"), format!("b{i}")];
        for out in [&name, &again] {
            let done = new(dir.path(), out, way);
            assert_eq!(done.code, Some(0), "{way:?}: {}", done.stderr);
        }
        let made = weights(dir.path(), &name);
        assert!(made == weights(dir.path(), &again), "{way:?}: one seed, one result");
        assert!(found.iter().all(|other| *other != made), "{way:?}: as another way");
        found.push(made);
    }
}

#[test]
fn a_model_goes_on_with_its_own_sizes_head_and_tokenizer() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let first = pretrain(dir.path(), "first", &["--init", "bert", "--spans", "--max-span", "3"]);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let made = config(dir.path(), "first");
    assert_eq!(made["hidden_size"], config(dir.path(), "bert")["hidden_size"]);
    assert!(made.get("task_heads").is_none_or(|heads| heads.as_array().is_none_or(Vec::is_empty)), "{made}");
    let parts = |name: &str| model_dir::outline(&dir.path().join(name)).unwrap().1.parts();
    assert_eq!(parts("first"), Parts { mlm: true, ..Parts::POOLER }, "the pooler stays");
    let second = pretrain(dir.path(), "second", &["--init", "first"]);
    assert_eq!(second.code, Some(0), "{}", second.stderr);
    assert!(weights(dir.path(), "first") != weights(dir.path(), "second"));
}

#[test]
fn an_architecture_of_the_list_gets_the_table_of_the_tokenizer() {
    let dir = pocket_folder(&[]);
    let expression = "linear1_1(gelu(linear1_1(x,wb1)),wb2)";
    let arch = [expression; 3].join("; ");
    let more = ["--tokenizer", "bert", "--arch", &arch, "--token-drop", "0.4"];
    let done = pretrain(dir.path(), "searched", &more);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let made = config(dir.path(), "searched");
    assert_eq!(made["vocab_size"], config(dir.path(), "bert")["vocab_size"]);
}

#[test]
fn what_cannot_be_is_said_before_anything_is_read_and_changes_nothing() {
    let dir = folder();
    pocket(dir.path());
    crate::support::plain_bert(dir.path(), "bert", &[]);
    let modern = BertConfig::modernbert(synthetic_tasks::vocabulary().len(), 16, 2, 2, 24);
    crate::support::save_bert(dir.path(), "modern", &modern);
    let before = snapshot(dir.path());
    let fails = |more: &[&str], parts: &[&str]| {
        new(dir.path(), "out", more).fails_with(2, parts);
        assert!(snapshot(dir.path()) == before, "{more:?} left something behind");
    };
    fails(&["--token-drop", "1.5"], &["--token-drop 1.5", "below 1"]);
    fails(&["--token-drop", "0"], &["--token-drop 0", "above 0"]);
    fails(&["--token-drop-by", "random"], &["--token-drop"]);
    fails(&["--token-drop", "0.5", "--token-drop-by", "random", "--token-drop-compatible"], &["dropping by loss"]);
    fails(&["--eval-every", "2"], &["--eval-corpus"]);
    fails(&["--dropout", "1"], &["--dropout 1"]);
    fails(&["--mask-probability", "1.5"], &["probability is 1.5"]);
    fails(&["--mask-probability", "0"], &["--mask-probability 0"]);
    fails(&["--spans", "--max-span", "0"], &["max of spans is 0"]);
    fails(&["--span-p", "0.5"], &["--spans"]);
    fails(&["--arch", "minilm-l6"], &["--hidden", "no effect"]);
    fails(&["--init", "bert"], &["--init"]);
    fails(&["--eval-corpus", "pocket/corpus.tx"], &["--eval-corpus pocket/corpus.tx", "no such file"]);
    let small = |more: &[&str], parts: &[&str]| {
        pretrain(dir.path(), "out", more).fails_with(2, parts);
        assert!(snapshot(dir.path()) == before, "{more:?} left something behind");
    };
    small(&["--tokenizer", "bert", "--layers", "2", "--token-drop", "0.5"], &["at least 3 layers", "has 2"]);
    small(&["--tokenizer", "bert", "--hidden", "20", "--heads", "3"], &["the sizes of the encoder", "heads"]);
    small(&["--init", "modern"], &["--init", "table of positions"]);
    small(&[], &["--tokenizer"]);
}

#[test]
fn a_training_that_is_killed_in_any_stage_goes_on_to_the_same_weights() {
    let dir = pocket_folder(&[]);
    let stages = "[[grow.stage]]\nsteps = 150\nlayers = 3\n[[grow.stage]]\nsteps = 150\n";
    std::fs::write(dir.path().join("grow.toml"), format!("[grow]\nmoments = \"grown\"\n{stages}")).unwrap();
    let base =
        ["pretrain", "--corpus", "pocket/corpus.txt", "--tokenizer", "bert", "--batch-size", "8", "--max-len", "16"];
    let more = ["--token-drop", "0.5", "--checkpoint-every", "10", "--keep-last", "40", "--threads", "1"];
    let plain = ["--steps", "300"];
    for (name, how, places) in [
        ("plain", &plain[..], &["checkpoints/step-000020"][..]),
        ("grown", &["--grow", "grow.toml"], &["stage-1/step-000030", "stage-2/step-000170"]),
    ] {
        let args = |out: &str| -> Vec<String> {
            let all = [&base[..], &SIZES, &more, how, &["--out", out]].concat();
            all.into_iter().map(str::to_owned).collect()
        };
        let words =
            |args: &[String]| -> Outcome { run(dir.path(), &args.iter().map(String::as_str).collect::<Vec<_>>()) };
        let whole = format!("{name}-whole");
        assert_eq!(words(&args(&whole)).code, Some(0));
        for (i, place) in places.iter().enumerate() {
            let out = format!("{name}-{i}");
            let mut child =
                command(dir.path()).args(args(&out)).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
            wait_for(|| dir.path().join(format!("{out}.training")).join(place).exists());
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(!dir.path().join(&out).exists(), "the kill came too late");
            let resumed = words(&[&args(&out)[..], &["--resume".to_owned()]].concat());
            assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
            assert!(weights(dir.path(), &out) == weights(dir.path(), &whole), "{out}");
        }
    }
}

#[test]
fn an_encoder_grows_through_the_stages_of_a_file() {
    let dir = pocket_folder(&[]);
    let stages = "[grow]\nmoments = \"grown\"\n[grow.operators]\nnoise = 0.01\n\
        [[grow.stage]]\nsteps = 3\nlayers = 2\nfeed_forward = 0.5\npool = 2\n[[grow.stage]]\nsteps = 2\nmax_len = 12\n[[grow.stage]]\nsteps = 3\n";
    std::fs::write(dir.path().join("grow.toml"), stages).unwrap();
    let base =
        ["pretrain", "--corpus", "pocket/corpus.txt", "--tokenizer", "bert", "--batch-size", "8", "--max-len", "16"];
    let grow = |out: &str, file: &str, more: &[&str]| {
        run(dir.path(), &[&base[..], &SIZES, &["--out", out, "--grow", file], more].concat())
    };
    let done = grow("grown", "grow.toml", &["--eval-corpus", "pocket/corpus.txt"]).json();
    assert_eq!(done["steps"], json!(8));
    assert!(done["metrics"]["words/loss"].is_number(), "{done}");
    let made = config(dir.path(), "grown");
    assert_eq!((&made["num_hidden_layers"], &made["intermediate_size"]), (&json!(4), &json!(32)));
    let log = std::fs::read_to_string(dir.path().join("grown/log.jsonl")).unwrap();
    let steps = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let last: Vec<u64> =
        steps.filter(|line| line["event"] == "step").filter_map(|line| line["step"].as_u64()).collect();
    assert_eq!(last, [3, 5, 8], "a report at the end of each stage");
    assert!(!dir.path().join("grown.training").exists());

    let dropped = grow("dropped", "grow.toml", &["--token-drop", "0.5"]);
    assert_eq!(dropped.code, Some(0), "{}", dropped.stderr);
    assert!(weights(dir.path(), "grown") != weights(dir.path(), "dropped"));

    let before = snapshot(dir.path());
    grow("other", "grow.tml", &[]).fails_with(2, &["--grow grow.tml", "no such file"]);
    grow("other", "grow.toml", &["--steps", "9"]).fails_with(2, &["--steps"]);
    std::fs::write(dir.path().join("wrong.toml"), "[grow]\n[[grow.stage]]\nstep = 3\n").unwrap();
    grow("other", "wrong.toml", &[]).fails_with(2, &["wrong.toml", "step"]);
    std::fs::remove_file(dir.path().join("wrong.toml")).unwrap();
    assert!(snapshot(dir.path()) == before);
}
