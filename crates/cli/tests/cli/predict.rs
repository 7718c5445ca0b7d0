//! `predict`.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use glue_squad::task::TaskKind;
use serde_json::{Value, json};

use crate::support::{command, folder, plain_bert, pocket, pocket_folder, run, run_with_input};

#[test]
fn a_text_is_answered_with_label_and_probability() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let plain = run(dir.path(), &["predict", "--model", "bert", "the soup was good"]);
    assert_eq!(plain.code, Some(0), "{}", plain.stderr);
    let (label, probability) = plain.stdout.trim_end().split_once(' ').unwrap();
    assert!(["0", "1"].contains(&label) && probability.parse::<f64>().unwrap() >= 0.5, "{}", plain.stdout);
    let value = run(dir.path(), &["predict", "--model", "bert", "--json", "the soup was good"]).json();
    let answer = &value["answers"][0];
    assert_eq!(
        (&value["text"], &answer["task"], &answer["label"]),
        (&json!("the soup was good"), &json!("sst-2"), &json!(label))
    );
    let sum: f64 = ["0", "1"].iter().map(|l| answer["probabilities"][l].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-5, "{sum}");
}

#[test]
fn all_heads_answer_unless_one_is_asked() {
    let dir = pocket_folder(&[TaskKind::Rte, TaskKind::Stsb]);
    let pair = ["the lamp is above the chair", "the chair is below the lamp"];
    let both = run(dir.path(), &[&["predict", "--model", "bert"], &pair[..]].concat());
    assert_eq!((both.code, both.stderr.as_str()), (Some(0), ""));
    assert!(both.stdout.starts_with("rte ") && both.stdout.contains("\tsts-b "), "{}", both.stdout);
    let one =
        run(dir.path(), &[&["predict", "--model", "bert", "--task", "STSB", "--json"], &pair[..]].concat()).json();
    assert!(one["answers"][0]["score"].is_number() && one["answers"].as_array().unwrap().len() == 1, "{one}");
    let single = run(dir.path(), &["predict", "--model", "bert", "the lamp is new"]);
    assert_eq!(single.code, Some(0));
    single.says(&["`rte` learned on two texts", "`sts-b` learned on two texts"]);
}

#[test]
fn lines_give_the_answers_that_single_texts_give() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let texts = ["the soup was good", "nobody thought that the film was bad", "x", "the room was very dull"];
    let lines = run_with_input(dir.path(), &["predict", "--model", "bert"], (texts.join("\r\n") + "\n").as_bytes());
    assert_eq!(lines.code, Some(0), "{}", lines.stderr);
    let singles: String = texts.iter().map(|t| run(dir.path(), &["predict", "--model", "bert", t]).stdout).collect();
    assert_eq!(lines.stdout, singles);
    let pairs = run_with_input(dir.path(), &["predict", "--model", "bert", "--json"], b"a man\tthe dog\n");
    let value: Value = serde_json::from_str(&pairs.stdout).unwrap();
    assert_eq!((&value["text"], &value["text_b"]), (&json!("a man"), &json!("the dog")));
    assert_eq!(run_with_input(dir.path(), &["predict", "--model", "bert"], b"").stdout, "");
}

#[test]
fn a_line_is_answered_before_the_next_one_is_written() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let mut command = command(dir.path());
    let command = command.args(["predict", "--model", "bert"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    for text in ["the soup was good", "the soup was bad"] {
        writeln!(input, "{text}").unwrap();
        let mut answer = String::new();
        output.read_line(&mut answer).unwrap();
        assert!(answer.ends_with('\n') && answer.len() > 4, "{answer}");
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn long_texts_are_cut_with_a_warning() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let long = "soup ".repeat(3000);
    let outcome = run(dir.path(), &["predict", "--model", "bert", &long]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    outcome.says(&["warning: TEXT: 3002 tokens, cut to 24"]);
    let lines =
        run_with_input(dir.path(), &["predict", "--model", "bert"], format!("good\n{long}\t{long}\n").as_bytes());
    assert_eq!((lines.code, lines.stdout.lines().count()), (Some(0), 2), "{}", lines.stderr);
    lines.says(&["standard input:2: 6003 tokens, cut to 24"]);
}

#[test]
fn lines_that_cannot_be_answered_are_named_after_those_before_them_were() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let huge = "a".repeat((1 << 20) + 1);
    for (input, part) in [
        (b"good\n\xff\n".to_vec(), "standard input:2: byte 1 of the line"),
        (b"good\n\nbad\n".to_vec(), "standard input:2: the text is empty"),
        (b"good\na\t \n".to_vec(), "standard input:2: the second text is empty"),
        (b"good\na\tb\tc\n".to_vec(), "standard input:2: more than two texts"),
        (format!("good\n{huge}\n").into_bytes(), "standard input:2: the line is longer than"),
    ] {
        let outcome = run_with_input(dir.path(), &["predict", "--model", "bert"], &input);
        assert_eq!((outcome.code, outcome.stdout.lines().count()), (Some(1), 1), "{}", outcome.stderr);
        outcome.says(&[part]);
    }
    run(dir.path(), &["predict", "--model", "bert", ""]).fails_with(2, &["TEXT: the text is empty"]);
}

#[test]
fn a_head_that_is_not_there_lists_those_that_are() {
    let dir = folder();
    pocket(dir.path());
    plain_bert(dir.path(), "bare", &[]);
    plain_bert(dir.path(), "two", &[TaskKind::Sst2, TaskKind::Rte]);
    run(dir.path(), &["predict", "--model", "bare", "good"])
        .fails_with(2, &["--model bare: has no task head", "hint:"]);
    run(dir.path(), &["predict", "--model", "two", "--task", "cola", "good"])
        .fails_with(2, &["--task cola", "its heads: sst-2, rte"]);
}
