//! `distill`.

use std::path::Path;

use bert_core::{AttentionShape, BertConfig, LayerParts};
use glue_squad::task::TaskKind;
use mlp_space::StudentShape;
use serde_json::{Value, json};

use crate::support::{folder, plain_bert, pocket, pocket_folder, run, save_bert, snapshot};

const ARCH: &str = "linear1_1(gelu(linear1_1(x,wb1)),wb2); tanh(linear2_2(gelu(linear2_2(x,wb1)),wb2))";

/// Options that make a training short, and a student that the teacher of [`pocket_folder`] can teach.
fn distill<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let base = ["distill", "--teacher", "bert", "--steps", "4", "--batch-size", "8", "--max-len", "16"];
    [&base[..], more].concat()
}

#[test]
fn text_first_then_the_task_then_eval_and_predict() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let sizes = ["--hidden", "12", "--embed", "8"];
    let text = ["--arch", ARCH, "--corpus", "pocket/corpus.txt", "--out", "general"];
    let general = run(dir.path(), &[&distill(&text)[..], &sizes].concat()).json();
    assert_eq!((&general["steps"], &general["score"]), (&json!(4), &json!(null)));
    let config = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(dir.path().join(name).join("config.json")).unwrap()).unwrap()
    };
    assert_eq!(config("general")["fit_size"], json!(16), "text leaves the projection for the task");
    assert_eq!(config("general")["vocab_size"], config("bert")["vocab_size"]);

    let task = ["--init", "general", "--task", "sst-2", "--data", "pocket", "--out", "student"];
    let done = run(dir.path(), &distill(&task)).json();
    assert!(config("student").get("fit_size").is_none_or(Value::is_null), "a finished student needs no projection");
    let eval = ["eval", "--model", "student", "--task", "sst-2", "--data", "pocket", "--max-len", "16", "--json"];
    assert_eq!(run(dir.path(), &eval).json()["metrics"]["accuracy"], done["metrics"]["sst-2/accuracy"]);
    assert_eq!(run(dir.path(), &["predict", "--model", "student", "the soup was good"]).code, Some(0));
    for leftover in ["general.training", "student.training"] {
        assert!(!dir.path().join(leftover).exists(), "{leftover}");
    }
}

#[test]
fn the_start_decides_the_weights_and_the_seed_makes_them_repeatable() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let weights = |out: &str, more: &[&str]| {
        let base = ["--task", "sst-2", "--data", "pocket", "--out", out, "--threads", "1"];
        let done = run(dir.path(), &[&distill(&base)[..], more].concat());
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        std::fs::read(dir.path().join(out).join("model.safetensors")).unwrap()
    };
    let sized = ["--arch", ARCH, "--hidden", "12", "--embed", "8"];
    let first = weights("a", &sized);
    assert!(first == weights("b", &sized), "one seed, one result");
    assert!(first != weights("c", &[&sized[..], &["--seed", "1"]].concat()));
    assert!(first != weights("d", &["--init", "a"]), "another start");
}

#[test]
fn a_plain_student_and_a_searched_teacher_work_too() {
    let dir = pocket_folder(&[TaskKind::Stsb]);
    plain_bert(dir.path(), "small", &[]);
    let plain = ["--init", "small", "--task", "sts-b", "--data", "pocket", "--out", "plain"];
    assert_eq!(run(dir.path(), &distill(&plain)).code, Some(0));
    let searched =
        ["--arch", ARCH, "--hidden", "12", "--embed", "8", "--task", "sts-b", "--data", "pocket", "--out", "s"];
    assert_eq!(run(dir.path(), &distill(&searched)).code, Some(0));
    let args = ["distill", "--teacher", "s", "--init", "plain", "--steps", "2", "--task", "sts-b", "--data", "pocket"];
    let assistant = run(dir.path(), &[&args[..], &["--out", "t", "--max-len", "16"]].concat());
    assert_eq!(assistant.code, Some(0), "{}", assistant.stderr);
}

#[test]
fn what_does_not_fit_is_said_before_any_training_and_changes_nothing() {
    let dir = folder();
    pocket(dir.path());
    plain_bert(dir.path(), "bert", &[TaskKind::Sst2]);
    let base = BertConfig::bert(synthetic_tasks::vocabulary().len(), 16, 3, 2, 32);
    save_bert(dir.path(), "three-layers", &BertConfig { max_position_embeddings: 24, ..base.clone() });
    save_bert(dir.path(), "four-heads", &BertConfig { num_hidden_layers: 2, num_attention_heads: 4, ..base.clone() });
    let before = snapshot(dir.path());
    let fails = |more: &[&str], code: i32, parts: &[&str]| {
        let out = ["--out", "out"];
        run(dir.path(), &[&distill(more)[..], &out].concat()).fails_with(code, parts);
    };
    let task = ["--task", "sst-2", "--data", "pocket"];
    let with_task = |more: &[&'static str]| [more, &task[..]].concat();
    fails(&with_task(&[]), 2, &["neither --arch nor --init", "give --arch efficientbert or --init DIR"]);
    fails(&with_task(&["--arch", "efficientbret"]), 2, &["`efficientbret` is no preset"]);
    fails(
        &with_task(&["--arch", ARCH, "--heads", "4", "--hidden", "12"]),
        2,
        &["equal heads", "the student has 4, the teacher 2"],
    );
    fails(&with_task(&["--arch", ARCH, "--hidden", "12", "--fit", "8"]), 2, &["equal widths", "8", "16"]);
    fails(&with_task(&["--arch", ARCH, "--hidden", "12", "--vocab", "9"]), 1, &["`vocab_size` is 9"]);
    fails(&with_task(&["--arch", "gelu("]), 1, &["layer 1"]);
    fails(&with_task(&["--init", "three-layers"]), 2, &["2 layers are no multiple of the student's 3"]);
    fails(&with_task(&["--init", "four-heads"]), 2, &["equal heads", "the student has 4, the teacher 2"]);
    fails(&with_task(&["--init", "none"]), 2, &["--init none: no such folder"]);
    fails(&with_task(&["--init", "bert", "--hidden", "12"]), 2, &["--hidden has no effect without --arch"]);
    let other = ["--arch", ARCH, "--hidden", "12", "--init", "bert"];
    fails(&with_task(&other), 1, &["--init does not fit the student", "plain feed-forwards"]);
    fails(&["--init", "bert", "--task", "rte", "--data", "pocket"], 2, &["no head for task rte", "its heads: sst-2"]);
    fails(&["--init", "bert", "--task", "sst-2"], 2, &["--data"]);
    fails(&["--init", "bert"], 2, &["--corpus"]);
    fails(&["--init", "bert", "--corpus", "none"], 2, &["--corpus none: no such file or folder"]);
    fails(&["--init", "bert", "--corpus", "pocket/corpus.txt", "--eval-every", "2"], 2, &["--eval-every"]);
    fails(
        &["--init", "bert", "--corpus", "pocket", "--task", "sst-2", "--data", "pocket"],
        2,
        &["cannot be used with"],
    );
    assert_eq!(snapshot(dir.path()), before);
}

#[test]
fn a_second_student_of_the_same_batches_asks_no_teacher_and_the_first_is_no_other_for_it() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let student = |out: &str, more: &[&str]| {
        let base = ["--task", "sst-2", "--data", "pocket", "--out", out, "--threads", "1"];
        let sized = ["--arch", ARCH, "--hidden", "12", "--embed", "8", "--progress", "json"];
        let done = run(dir.path(), &[&distill(&base)[..], &sized, more].concat());
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        (std::fs::read(dir.path().join(out).join("model.safetensors")).unwrap(), done.stderr)
    };
    let cache = ["--teacher-cache", "answers"];
    let (plain, _) = student("a", &[]);
    let (first, said) = student("b", &cache);
    assert!(first == plain && said.contains("0 of 4 came from the cache; it now holds 4"), "{said}");
    let (second, said) = student("c", &cache);
    assert!(second == plain && said.contains("4 of 4 came from the cache"), "{said}");
    let (_, said) = student("d", &[&cache[..], &["--objective", "minilm", "--teacher-cache-bytes", "1 kB"]].concat());
    assert!(said.contains("4 did not fit"), "{said}");
    let rounded = [&cache[..], &["--teacher-cache-format", "f16"]].concat();
    let (other, said) = student("e", &rounded);
    assert!(other != plain && said.contains("0 of 4 came from the cache; it now holds 8"), "{said}");

    let torn = std::fs::read_dir(dir.path().join("answers")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&torn, "torn").unwrap();
    let (again, said) = student("f", &cache);
    let (halves, said_of_halves) = student("g", &rounded);
    assert!(again == plain && halves == other, "what is torn is not used");
    assert!(format!("{said}{said_of_halves}").contains("it is computed again"), "{said}{said_of_halves}");
    let outcome =
        run(dir.path(), &[&distill(&["--arch", ARCH, "--out", "h"])[..], &["--teacher-cache-bytes", "2 GiB"]].concat());
    outcome.fails_with(2, &["--teacher-cache"]);
}

/// A student of three layers that differ: narrow attention, feed-forward alone, wide attention alone.
fn layers_that_differ(dir: &Path) {
    let shape = StudentShape {
        vocab: synthetic_tasks::vocabulary().len(),
        embed: 8,
        hidden: 12,
        base: 48,
        heads: 2,
        max_positions: 24,
        segments: 2,
        fit: Some(16),
    };
    let frame = bert_core::student_frame(&shape, 2);
    let usual = LayerParts::usual(&frame);
    let parts = [
        LayerParts { attention: Some(AttentionShape { heads: 1, width: 6 }), ..usual },
        LayerParts { attention: None, ..usual },
    ];
    let expressions = ["linear1_1(gelu(linear1_1(x,wb1)),wb2)"; 2].join("; ").parse().unwrap();
    let config = bert_core::layered_config(&frame, &expressions, &parts).unwrap();
    std::fs::write(dir.join("student.json"), config.to_json().unwrap()).unwrap();
}

#[test]
fn a_student_whose_layers_differ_is_shown_distilled_scored_and_measured() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    layers_that_differ(dir.path());
    let shown = run(dir.path(), &["arch", "show", "student.json", "--json", "--seq", "16"]).json();
    let heads: Vec<_> = (0..2).map(|i| shown["layers"][i]["attention_heads"].clone()).collect();
    assert_eq!(heads, [json!(1), json!(0)]);
    assert_eq!(shown["layers"][0]["attention_size"], json!(6));
    let text = run(dir.path(), &["arch", "show", "student.json", "--seq", "16"]).stdout;
    assert!(text.contains("attention by layer") && text.contains("1 heads of 6") && text.contains("none"), "{text}");
    let checked = run(dir.path(), &["arch", "check", "student.json"]).stdout;
    assert!(checked.contains("valid, 2 layers") && checked.contains("1 without attention"), "{checked}");

    // What compares heads has nothing to compare.
    let refused = distill(&["--arch", "student.json", "--corpus", "pocket/corpus.txt", "--out", "text"]);
    run(dir.path(), &refused).fails_with(2, &["head by head", "hidden states"]);
    let task =
        ["--task", "sst-2", "--data", "pocket", "--out", "student", "--objective", "logits", "--inherit", "teacher"];
    let done = run(dir.path(), &[&distill(&["--arch", "student.json"])[..], &task].concat()).json();
    for more in [&[][..], &["--precision", "int8"]] {
        let eval = ["eval", "--model", "student", "--task", "sst-2", "--data", "pocket", "--max-len", "16", "--json"];
        let scored = run(dir.path(), &[&eval[..], more].concat()).json();
        if more.is_empty() {
            assert_eq!(scored["metrics"]["accuracy"], done["metrics"]["sst-2/accuracy"]);
        }
    }
    assert_eq!(run(dir.path(), &["predict", "--model", "student", "the soup was good"]).code, Some(0));
    let timed = run(dir.path(), &["bench", "--model", "student", "--seq", "16", "--runs", "2"]);
    assert_eq!(timed.code, Some(0), "{}", timed.stderr);
}

#[test]
fn a_layer_that_cannot_be_built_is_refused_with_its_number() {
    let dir = folder();
    layers_that_differ(dir.path());
    let text = std::fs::read_to_string(dir.path().join("student.json")).unwrap();
    let mut value: Value = serde_json::from_str(&text).unwrap();
    value["layers"][0]["attention_heads"] = json!(4);
    std::fs::write(dir.path().join("student.json"), value.to_string()).unwrap();
    let shown = run(dir.path(), &["arch", "check", "student.json"]);
    shown.fails_with(1, &["layer 1", "must divide the attention width 6, is 4"]);
}
