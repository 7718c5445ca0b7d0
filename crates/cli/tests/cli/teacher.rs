//! `teacher`.

use std::path::Path;
use std::time::Duration;

use bert_core::weights::Tensors;
use glue_squad::task::TaskKind;
use serde_json::json;

use crate::support::{Outcome, command, pocket_folder, run, snapshot, wait_for};

const SHORT: [&str; 15] = [
    "teacher",
    "--model",
    "bert",
    "--task",
    "sst-2",
    "--data",
    "pocket",
    "--out",
    "out",
    "--learning-rate",
    "1e-3",
    "--batch-size",
    "8",
    "--max-len",
    "16",
];

fn teacher(dir: &Path, more: &[&str]) -> crate::support::Outcome {
    run(dir, &[&SHORT[..], more].concat())
}

#[test]
fn a_model_directory_with_the_head_comes_out_and_nothing_else() {
    let dir = pocket_folder(&[]);
    let done = teacher(dir.path(), &["--steps", "6"]).json();
    assert_eq!(done["steps"], json!(6));
    let eval = ["eval", "--model", "out", "--task", "sst-2", "--data", "pocket", "--max-len", "16", "--json"];
    assert_eq!(run(dir.path(), &eval).json()["metrics"]["accuracy"], done["metrics"]["sst-2/accuracy"]);
    assert!(!dir.path().join("out.training").exists(), "checkpoints of a finished training are removed");
    let card = std::fs::read_to_string(dir.path().join("out/README.md")).unwrap();
    assert!(card.contains("sst-2") && card.contains("6 steps"), "{card}");
    let epoch = run(dir.path(), &[&SHORT[..8], &["other", "--batch-size", "32"]].concat()).json();
    assert_eq!(epoch["steps"], json!(3), "96 examples in batches of 32, once");
}

#[test]
fn a_killed_training_goes_on_to_the_same_weights() {
    let dir = pocket_folder(&[]);
    let args = ["--steps", "300", "--checkpoint-every", "5", "--eval-every", "50", "--threads", "1"];
    let start = || {
        let mut command = command(dir.path());
        command.args(SHORT).args(args).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        command.spawn().unwrap()
    };
    let mut child = start();
    let checkpoints = dir.path().join("out.training/checkpoints");
    wait_for(|| checkpoints.join("step-000010").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!dir.path().join("out").exists(), "a killed training leaves no half model");

    let before = snapshot(dir.path());
    teacher(dir.path(), &args).fails_with(2, &["out.training holds the checkpoints", "--resume"]);
    teacher(dir.path(), &["--resume", "--steps", "301"]).fails_with(2, &["`training.steps` was 300 and is now 301"]);
    let same = |(path, bytes): &(&std::path::PathBuf, &Option<Vec<u8>>)| {
        snapshot(dir.path()).get(*path) == Some(*bytes) || path.ends_with("lock.json")
    };
    assert!(before.iter().all(|entry| same(&entry)), "refusals change nothing");
    // As if the first process had died while it wrote the model.
    std::fs::write(dir.path().join("out.training/finished"), "").unwrap();
    std::fs::create_dir(dir.path().join("out")).unwrap();
    std::fs::write(dir.path().join("out/config.json"), "{").unwrap();
    let resumed = teacher(dir.path(), &[&args[..], &["--resume"]].concat());
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    resumed.says(&["continuing after step"]);

    let whole = run(dir.path(), &[&SHORT[..8], &["whole"], &SHORT[9..], &args[..]].concat());
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);
    let weights = |name: &str| std::fs::read(dir.path().join(name).join("model.safetensors")).unwrap();
    assert!(weights("out") == weights("whole"), "weights of a resumed and of an undisturbed training");
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_a_checkpoint_and_exits_with_130() {
    let dir = pocket_folder(&[]);
    let args = ["--steps", "100000", "--checkpoint-every", "0"];
    let mut command = command(dir.path());
    command.args(SHORT).args(args).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    wait_for(|| dir.path().join("out.training/recipe.toml").exists());
    std::thread::sleep(Duration::from_millis(300));
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(text.contains("a checkpoint was saved") && text.contains("--resume"), "{text}");
    assert_eq!(std::fs::read_dir(dir.path().join("out.training/checkpoints")).unwrap().count(), 1);
}

#[test]
fn wrong_usage_is_said_before_any_work_and_changes_nothing() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    std::fs::create_dir(dir.path().join("full")).unwrap();
    std::fs::write(dir.path().join("full/thesis.txt"), "mine").unwrap();
    let before = snapshot(dir.path());
    let with = |option: &str, value: &str, code: i32, parts: &[&str]| {
        teacher(dir.path(), &[option, value]).fails_with(code, parts);
    };
    run(dir.path(), &[&SHORT[..8], &["full"]].concat()).fails_with(2, &["--out full", "not an empty folder"]);
    run(dir.path(), &[&SHORT[..8], &["bert/.."]].concat()).fails_with(2, &["--out bert/.."]);
    teacher(dir.path(), &["--resume"]).fails_with(2, &["out.training holds no training"]);
    with("--steps", "0", 2, &["--steps"]);
    with("--dropout", "1", 2, &["--dropout 1"]);
    with("--dropout", "NaN", 2, &["--dropout NaN"]);
    with("--task", "sst2", 2, &["sst-2: is given twice"]);
    with("--seed", "18446744073709551615", 2, &["--seed"]);
    run(dir.path(), &["teacher", "--model", "bert", "--task", "cola", "--data", "pocket", "--out", "out"])
        .fails_with(1, &["CoLA"]);
    let zero = run(dir.path(), &[&SHORT[..9], &["--learning-rate", "0"]].concat());
    zero.fails_with(2, &["learning_rate", "above 0"]);
    assert_eq!(snapshot(dir.path()), before);
}

#[test]
fn a_training_that_diverges_says_at_which_step() {
    let dir = pocket_folder(&[]);
    let diverged =
        run(dir.path(), &[&SHORT[..9], &["--learning-rate", "1e30", "--steps", "40", "--batch-size", "4"]].concat());
    assert_eq!(diverged.code, Some(1), "{}", diverged.stderr);
    diverged.says(&["step ", "not finite", "lower the learning rate"]);
    assert!(!dir.path().join("out").exists());
}

/// A fine-tuning on the pocket's SST-2 with more options.
fn tuned(dir: &Path, out: &str, more: &[&str]) -> Outcome {
    let base =
        ["teacher", "--model", "bert", "--task", "sst-2", "--data", "pocket", "--max-len", "16", "--threads", "1"];
    run(dir, &[&base[..], &["--out", out], more].concat())
}

#[test]
fn method_options_change_the_training_and_parts_of_a_step_do_not() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let weights = |out: &str, more: &[&str]| {
        let base = ["--steps", "3", "--batch-size", "8", "--dropout", "0", "--learning-rate", "1e-2"];
        let done = tuned(dir.path(), out, &[&base[..], more].concat());
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        Tensors::read_safetensors(&dir.path().join(out).join("model.safetensors")).unwrap()
    };
    let plain = weights("plain", &[]);
    let halves = weights("halves", &["--accumulate", "2"]);
    let difference = |other: &Tensors| -> f32 {
        let pairs = plain.0.iter().flat_map(|(name, t)| t.data.iter().zip(&other.0[name].data));
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    // Adam divides by the root of tiny moments, so rounding shows in weights that hardly have a gradient.
    assert!(difference(&halves) < 2e-3, "{}", difference(&halves));
    for (out, more) in [
        ("lamb", &["--optimizer", "lamb"][..]),
        ("constant", &["--schedule", "constant"]),
        ("frozen", &["--group", "{ pattern = \"encoder.*\", frozen = true }"]),
        ("slow", &["--warmup-steps", "3"]),
        ("random", &["--length-window", "1"]),
    ] {
        assert!(difference(&weights(out, more)) > 5e-3, "{out}");
    }
}

#[test]
fn a_training_that_gets_no_better_stops_early_and_says_how_long_it_was() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let more = ["--steps", "50", "--eval-every", "1", "--patience", "2", "--min-delta", "1", "--batch-size", "8"];
    let done = tuned(dir.path(), "out", &more);
    assert_eq!((done.code, &done.json()["steps"]), (Some(0), &json!(3)), "{}", done.stderr);
    assert!(done.stderr.contains("stopped early after step 3"), "{}", done.stderr);
    let card = std::fs::read_to_string(dir.path().join("out/README.md")).unwrap();
    assert!(card.contains("3 steps"), "{card}");
}

#[test]
fn method_options_that_cannot_be_are_refused_before_anything_is_written() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    for (more, word) in [
        (&["--schedule", "cosinus"][..], "cosine"),
        (&["--optimizer", "{ kind = \"lamb\", beta1 = 2.0 }"], "optimizer.beta1"),
        (&["--patience", "2"], "eval_every"),
        (&["--min-delta", "0.1"], "`patience`"),
        (&["--warmup-ratio", "0.2", "--warmup-steps", "2"], "--warmup-steps"),
        (&["--on-not-finite", "hope"], "skip"),
    ] {
        let done = tuned(dir.path(), "out", more);
        assert!(done.code == Some(2) && done.stderr.contains(word), "{word}: {:?} {}", done.code, done.stderr);
        assert!(!dir.path().join("out.training").exists());
    }
}

#[test]
fn a_training_that_saved_nothing_is_begun_anew_by_the_corrected_command() {
    let dir = pocket_folder(&[]);
    let steps = ["--steps", "2"];
    let wrong = [&steps[..], &["--group", "{ pattern = \"nothing.*\", frozen = true }"]].concat();
    teacher(dir.path(), &wrong).fails_with(1, &["nothing.*", "matches no parameter of the model"]);
    let done = teacher(dir.path(), &steps);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(dir.path().join("out/model.safetensors").is_file() && !dir.path().join("out.training").exists());
}

#[test]
fn dropout_in_front_of_heads_is_that_of_the_training_and_not_of_the_file_it_begins_with() {
    let dir = pocket_folder(&[]);
    let config = dir.path().join("bert/config.json");
    let plain = std::fs::read_to_string(&config).unwrap();
    let other = plain.replacen('{', "{\n  \"classifier_dropout\": 0.9,", 1);
    let train = |out: &str, text: &str, dropout: &str| {
        std::fs::write(&config, text).unwrap();
        let args =
            ["teacher", "--model", "bert", "--task", "sst-2", "--data", "pocket", "--steps", "2", "--threads", "1"];
        let done = run(dir.path(), &[&args[..], &["--dropout", dropout, "--out", out]].concat());
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        std::fs::read(dir.path().join(out).join("model.safetensors")).unwrap()
    };
    let without = train("a", &plain, "0");
    assert!(train("b", &other, "0") == without);
    assert!(train("c", &plain, "0.5") != without, "dropout shows after so few steps");
}
