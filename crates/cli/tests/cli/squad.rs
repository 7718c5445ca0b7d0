//! SQuAD through `teacher`, `distill`, `eval`, `predict` and `score`.

use std::path::Path;

use glue_squad::task::TaskKind;
use serde_json::{Value, json};

use crate::support::{Outcome, command, pocket_folder, run, run_with_input, snapshot, wait_for};

const COLORS: [&str; 4] = ["red", "blue", "green", "yellow"];
const THINGS: [&str; 6] = ["lamp", "book", "clock", "picture", "mirror", "candle"];
/// Windows of 24 tokens with room for 14 to 17 of the text; longer texts get several.
const WINDOWS: [&str; 6] = ["--max-len", "24", "--max-query-length", "6", "--doc-stride", "8"];

/// Texts with one color each, which is the answer; without one where the question has none.
fn file(questions: usize, version: &str) -> Value {
    let mut paragraphs = Vec::new();
    for number in 0..questions {
        let (color, thing) = (COLORS[number % 4], THINGS[number % 6]);
        let before = ["", "nobody thought that the soup was good and the hotel was dull . "][number / 4 % 2];
        let impossible = version == "v2.0" && number % 3 == 0;
        let word = if impossible { "heavy" } else { color };
        let context = format!("{before}anna said the {thing} is {word} and the chair is behind the table .");
        let start = context.find(word).expect("it was put there");
        let answers = if impossible { json!([]) } else { json!([{ "text": word, "answer_start": start }]) };
        let mut question =
            json!({ "id": format!("q{number}"), "question": format!("the {thing} is"), "answers": answers });
        if version == "v2.0" {
            question["is_impossible"] = json!(impossible);
        }
        paragraphs.push(json!({ "context": context, "qas": [question] }));
    }
    json!({ "version": version, "data": [{ "title": "t", "paragraphs": paragraphs }] })
}

/// A folder with the tiny BERT and both versions of the data.
pub fn folder() -> tempfile::TempDir {
    let dir = pocket_folder(&[]);
    std::fs::create_dir(dir.path().join("squad")).unwrap();
    for (version, name) in [("v1.1", "v1.1"), ("v2.0", "v2.0")] {
        for (split, questions) in [("train", 96), ("dev", 36)] {
            let path = dir.path().join(format!("squad/{split}-{name}.json"));
            std::fs::write(path, file(questions, version).to_string()).unwrap();
        }
    }
    dir
}

fn teacher(dir: &Path, task: &str, out: &str, more: &[&str]) -> Outcome {
    let base = ["teacher", "--model", "bert", "--task", task, "--data", "squad", "--out", out, "--batch-size", "16"];
    run(dir, &[&base[..], &["--learning-rate", "5e-3", "--dropout", "0"], &WINDOWS, more].concat())
}

fn close(a: &Value, b: &Value) -> bool {
    (a.as_f64().expect("a number") - b.as_f64().expect("a number")).abs() < 1e-9
}

#[test]
fn teacher_student_and_their_answers_score_the_same_in_every_command() {
    for (task, exact, dev) in
        [("squad-v1", "exact_match", "squad/dev-v1.1.json"), ("squad-v2", "exact", "squad/dev-v2.0.json")]
    {
        let dir = folder();
        let taught = teacher(dir.path(), task, "taught", &["--steps", "160"]).json();
        let distill =
            ["distill", "--teacher", "taught", "--init", "bert", "--task", task, "--data", "squad", "--out", "student"];
        let rest = ["--steps", "160", "--batch-size", "16", "--learning-rate", "5e-3"];
        let student = run(dir.path(), &[&distill[..], &rest, &WINDOWS].concat()).json();
        for (model, training) in [("taught", taught), ("student", student)] {
            let files = ["--predictions", "p.json", "--nbest-predictions", "n.json"];
            let odds: &[&str] = if task == "squad-v2" { &["--na-probs", "odds.json"] } else { &[] };
            let files = [&files[..], odds].concat();
            let base = ["eval", "--model", model, "--task", task, "--data", "squad", "--json"];
            let eval = run(dir.path(), &[&base[..], &WINDOWS, &files].concat()).json();
            assert_eq!(eval["examples"], json!(36), "{eval}");
            assert!(eval["windows"].as_u64().unwrap() > 36, "long texts have several windows: {eval}");
            for name in [exact, "f1"] {
                let trained = training["metrics"][format!("{task}/{name}")].as_f64().unwrap();
                let evaluated = eval["metrics"][name].as_f64().unwrap();
                assert!((trained * 100.0 - evaluated).abs() < 1e-9, "{name} of the training and of eval");
            }
            let score = ["score", "--task", task, "--data", dev, "--predictions", "p.json", "--json"];
            let scored = run(dir.path(), &score).json();
            for (name, value) in scored.as_object().unwrap() {
                assert!(close(value, &eval["metrics"][name]), "{name} of score and of eval");
            }
            let predict = ["predict", "--model", model, "--data", dev, "--predictions", "again.json", "--json"];
            let predicted = run(dir.path(), &[&predict[..], &WINDOWS].concat()).json();
            assert_eq!((&predicted["questions"], &predicted["windows"]), (&json!(36), &eval["windows"]));
            let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
            assert!(read("p.json") == read("again.json"), "predictions of eval and of predict");
            let nbest: Value = serde_json::from_slice(&read("n.json")).unwrap();
            assert!(nbest["q1"][0]["probability"].as_f64().unwrap() > 0.0, "{nbest}");
            if task == "squad-v2" {
                best_threshold_is_reached(dir.path(), model, &eval);
            }
            // Any answer but the color scores nothing: without learning this is out of reach.
            assert!(eval["metrics"]["f1"].as_f64().unwrap() > 80.0, "{model} has learned the task: {eval}");
        }
    }
}

/// The threshold that `eval` advises reaches what it promises.
fn best_threshold_is_reached(dir: &Path, model: &str, eval: &Value) {
    let threshold = eval["metrics"]["best_f1_thresh"].to_string();
    let base = ["eval", "--model", model, "--task", "squad-v2", "--data", "squad", "--json"];
    let again = run(dir, &[&base[..], &WINDOWS, &["--null-threshold", &threshold]].concat()).json();
    assert!(close(&again["metrics"]["f1"], &eval["metrics"]["best_f1"]), "{again}");
    let silent = run(dir, &[&base[..], &WINDOWS, &["--null-threshold=-1e9"]].concat()).json();
    assert_eq!(silent["metrics"]["HasAns_f1"], json!(0.0), "{silent}");
    assert_eq!(silent["metrics"]["NoAns_f1"], json!(100.0));
}

#[test]
fn a_question_and_a_text_are_answered_with_a_piece_of_it() {
    let dir = folder();
    assert_eq!(teacher(dir.path(), "squad-v1", "taught", &["--steps", "160"]).code, Some(0));
    let base = ["predict", "--model", "taught", "--max-query-length", "6"];
    let text = "Ben said  the clock is GREEN and the sofa is behind the table.";
    let value = run(dir.path(), &[&base[..], &["--json", "the clock is", text]].concat()).json();
    let answer = &value["answers"][0];
    assert_eq!(answer["answer"], json!("GREEN"), "{value}");
    let [start, end] = ["start", "end"].map(|side| answer[side].as_u64().unwrap() as usize);
    assert_eq!(&text[start..end], "GREEN");
    assert!(answer["n_best"].as_array().unwrap().len() > 1 && answer["null_odds"].is_null(), "{value}");
    let input = format!("the clock is\t{text}\nthe lamp is\tthe lamp is red .\n");
    let lines = run_with_input(dir.path(), &base, input.as_bytes());
    assert_eq!(lines.code, Some(0), "{}", lines.stderr);
    let found: Vec<&str> = lines.stdout.lines().map(|l| l.split(' ').next().unwrap()).collect();
    assert_eq!(found, ["GREEN", "red"]);
    run_with_input(dir.path(), &base, b"only one text\n").fails_with(1, &["standard input:1", "needs two"]);
    run(dir.path(), &[&base[..], &["--na-probs", "o.json", "a", "b"]].concat())
        .fails_with(2, &["--na-probs", "squad-v2"]);
    run(dir.path(), &[&base[..], &["--nbest-predictions", "o.json", "a", "b"]].concat())
        .fails_with(2, &["--data FILE"]);
}

#[test]
fn a_killed_training_goes_on_to_the_same_weights_and_with_the_same_windows_only() {
    let dir = folder();
    let args = ["--steps", "300", "--checkpoint-every", "5", "--threads", "1"];
    let base = ["teacher", "--model", "bert", "--task", "squad-v2", "--data", "squad", "--batch-size", "16", "--out"];
    let mut command = command(dir.path());
    command.args(base).arg("out").args(WINDOWS).args(args);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    wait_for(|| dir.path().join("out.training/checkpoints/step-000010").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    let resume = |windows: &[&str], more: &[&str]| {
        run(dir.path(), &[&base[..], &["out"], windows, &args, &["--resume"], more].concat())
    };
    resume(&WINDOWS[..4], &["--doc-stride", "9"]).fails_with(2, &["stride", "was 8 and is now 9"]);
    resume(&WINDOWS, &["--null-threshold", "1"]).fails_with(2, &["null_threshold"]);
    // The same files, named one by one where they were moved to, and then for one another.
    std::fs::rename(dir.path().join("squad"), dir.path().join("moved")).unwrap();
    let named = |train: &str, dev: &str| {
        let files = ["--data", &format!("moved/{train}"), "--dev-data", &format!("moved/{dev}")].map(str::to_owned);
        let words = base.iter().map(|word| (*word).to_owned());
        let words = words.filter(|word| word != "--data" && word != "squad").chain(["out".to_owned()]).chain(files);
        let words: Vec<String> =
            words.chain(WINDOWS.iter().chain(&args).chain(&["--resume"]).map(|word| (*word).to_owned())).collect();
        run(dir.path(), &words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let (train, dev) = ("train-v2.0.json", "dev-v2.0.json");
    named(dev, train).fails_with(2, &["other options or files", "is not among those of now"]);
    let resumed = named(train, dev);
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    std::fs::rename(dir.path().join("moved"), dir.path().join("squad")).unwrap();
    let whole = run(dir.path(), &[&base[..], &["whole"], &WINDOWS, &args].concat());
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);
    let weights = |name: &str| std::fs::read(dir.path().join(name).join("model.safetensors")).unwrap();
    assert!(weights("out") == weights("whole"), "weights of a resumed and of an undisturbed training");
}

#[test]
fn a_training_file_of_any_name_needs_a_dev_file() {
    let dir = folder();
    std::fs::rename(dir.path().join("squad/train-v1.1.json"), dir.path().join("mine.json")).unwrap();
    let base = ["teacher", "--model", "bert", "--task", "squad-v1", "--out", "out", "--steps", "2"];
    let with = |more: &[&str]| run(dir.path(), &[&base[..], &WINDOWS, more].concat());
    with(&["--data", "squad"]).fails_with(1, &["train-v1.1.json is missing", "dev-v1.1.json"]);
    with(&["--data", "mine.json"]).fails_with(2, &["--dev-data is missing", "hint:"]);
    with(&["--data", "mine.json", "--dev-data", "none.json"]).fails_with(2, &["--dev-data none.json"]);
    let done = with(&["--data", "mine.json", "--dev-data", "squad/dev-v1.1.json"]).json();
    assert!(done["metrics"]["squad-v1/f1"].is_number(), "{done}");
}

#[test]
fn what_makes_no_sense_is_said_before_the_work_and_changes_nothing() {
    let dir = folder();
    crate::support::plain_bert(dir.path(), "labels", &[TaskKind::Sst2]);
    let before = snapshot(dir.path());
    let train = |task: &str, more: &[&str]| teacher(dir.path(), task, "out", more);
    train("squad-v1", &["--task", "sst-2"]).fails_with(2, &["--task squad-v1: cannot be trained together"]);
    train("squad-v1", &["--task", "SQuAD1.1"]).fails_with(2, &["--task squad-v1: is given twice"]);
    train("squad-v1", &["--null-threshold", "1"]).fails_with(2, &["--null-threshold", "squad-v2"]);
    train("squad-v3", &[]).fails_with(2, &["unknown task `squad-v3`", "squad-v1, squad-v2"]);
    let glue = ["teacher", "--model", "bert", "--task", "sst-2", "--data", "pocket", "--out", "out"];
    for option in ["--n-best", "--doc-stride", "--dev-data", "--max-query-length", "--max-answer-length"] {
        run(dir.path(), &[&glue[..], &[option, "3"]].concat()).fails_with(2, &[option, "squad-v1 and squad-v2 only"]);
    }
    let base = ["teacher", "--model", "bert", "--task", "squad-v1", "--data", "squad", "--out", "out"];
    run(dir.path(), &base).fails_with(2, &["windows of questions and text", "24", "68", "--max-query-length"]);
    let distill =
        ["distill", "--teacher", "labels", "--init", "bert", "--task", "squad-v2", "--data", "squad", "--out", "out"];
    run(dir.path(), &distill).fails_with(2, &["no head for task squad-v2; its heads: sst-2", "hint:"]);
    let eval = |more: &[&str]| run(dir.path(), &[&["eval", "--model", "labels"][..], more].concat());
    eval(&["--task", "squad-v1", "--data", "squad"]).fails_with(2, &["no head for task squad-v1"]);
    eval(&["--task", "squad-v1", "--data", "squad", "--na-probs", "o"]).fails_with(2, &["--na-probs", "squad-v2"]);
    eval(&["--task", "squad-v1", "--data", "pocket"]).fails_with(1, &["dev-v1.1.json is missing"]);
    eval(&["--task", "sst-2", "--data", "pocket", "--nbest-predictions", "o"]).fails_with(2, &["--nbest-predictions"]);
    let predict = |more: &[&str]| run(dir.path(), &[&["predict", "--model", "labels"][..], more].concat());
    predict(&["--data", "squad/dev-v1.1.json"]).fails_with(2, &["--predictions"]);
    predict(&["--data", "squad/dev-v1.1.json", "--predictions", "p.json"]).fails_with(2, &["--data", "squad-v1"]);
    predict(&["--max-len", "9", "good"]).fails_with(2, &["--max-len"]);
    assert_eq!(snapshot(dir.path()), before);
}

#[test]
fn a_model_that_finds_no_answer_anywhere_is_compared_with_just_that() {
    let dir = folder();
    for task in ["squad-v1", "squad-v2"] {
        assert_eq!(teacher(dir.path(), task, task, &["--steps", "1"]).code, Some(0));
    }
    let eval = |task: &str, more: &[&str]| {
        run(
            dir.path(),
            &[&["eval", "--model", task, "--task", task, "--data", "squad", "--json"], &WINDOWS[..], more].concat(),
        )
    };
    let outcome = eval("squad-v2", &["--null-threshold", "-1000000"]);
    let found = outcome.json();
    let majority = &found["majority"];
    assert_eq!((&majority["answer"], &majority["chosen_by"]), (&json!("no answer"), &json!("nothing")));
    // 12 of 36 questions have none.
    for name in ["squad-v2/exact", "squad-v2/f1"] {
        assert!(close(&majority["metrics"][name], &json!(1.0 / 3.0)), "{majority}");
    }
    let warning =
        "squad-v2: all 36 answers are no answer; the score, 33.33, is not above the 33.33 of always no answer";
    assert_eq!(found["warnings"], json!([warning]));
    outcome.says(&[&format!("warning: {warning}")]);
    assert_eq!(eval("squad-v1", &[]).json()["majority"], json!(null), "every question of it has an answer");
}
