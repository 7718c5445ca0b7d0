//! `objective`, and `distill --objective`.

use std::path::Path;
use std::process::Stdio;

use bert_core::BertConfig;
use glue_squad::task::TaskKind;
use kd::objective::Preset;
use predict::heads::task_head;
use serde_json::{Value, json};

use crate::support::{Outcome, command, folder, plain_bert, pocket, pocket_folder, run, save_bert, snapshot, wait_for};

const ARCH: &str = "linear1_1(gelu(linear1_1(x,wb1)),wb2); tanh(linear2_2(gelu(linear2_2(x,wb1)),wb2))";

/// A short training of a student of two layers by `bert`, into `out`.
fn distill(dir: &Path, objective: &str, out: &str, more: &[&str]) -> Outcome {
    let base = ["distill", "--teacher", "bert", "--steps", "6", "--batch-size", "8", "--max-len", "16", "--out", out];
    let args = ["--objective", objective, "--arch", ARCH, "--hidden", "12", "--embed", "8"];
    run(dir, &[&base[..], &args, more].concat())
}

const TASK: [&str; 4] = ["--task", "sst-2", "--data", "pocket"];
const TEXT: [&str; 2] = ["--corpus", "pocket/corpus.txt"];

fn weights(dir: &Path, name: &str) -> Vec<u8> {
    std::fs::read(dir.join(name).join("model.safetensors")).unwrap()
}

#[test]
fn every_preset_trains_a_student_on_a_task_and_on_text() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let mut seen: Vec<Vec<u8>> = Vec::new();
    for preset in Preset::ALL {
        let name = &preset.to_string();
        let done = distill(dir.path(), name, name, &TASK).json();
        let scored = preset != Preset::TinyBertIntermediate;
        assert_eq!(done["score"].is_number(), scored, "{name}: {done}");
        let card = std::fs::read_to_string(dir.path().join(name).join("README.md")).unwrap();
        assert!(card.contains(&format!("`{name}`")), "{card}");
        let text = format!("{name}-text");
        let on_text = distill(dir.path(), name, &text, &TEXT);
        if preset.has_layers() {
            assert_eq!(on_text.json()["steps"], json!(6));
            seen.push(weights(dir.path(), &text));
        } else {
            on_text.fails_with(2, &[name, "tasks"]);
            assert!(!dir.path().join(text).exists());
        }
        seen.push(weights(dir.path(), name));
    }
    // TinyBERT's first stage is EfficientBERT's on text, in one training and alone.
    let same = |a: &str, b: &str| weights(dir.path(), a) == weights(dir.path(), b);
    assert!(same("efficientbert-text", "tinybert-text") && same("tinybert-text", "tinybert-intermediate-text"));
    assert!(
        same("mobilebert-text", "mobilebert-joint-text"),
        "without answers there is nothing to come after the layers"
    );
    seen.sort();
    let all = seen.len();
    seen.dedup();
    assert_eq!(all - seen.len(), 3, "every other objective teaches something else");
}

#[test]
fn labels_need_no_head_of_the_teacher_and_no_pass_of_it() {
    let dir = pocket_folder(&[]);
    assert!(distill(dir.path(), "labels", "student", &TASK).json()["score"].is_number());
    distill(dir.path(), "logits", "other", &TASK).fails_with(2, &["no head for task sst-2"]);
    // Another teacher of the same sizes leaves the student as it is.
    let before = weights(dir.path(), "student");
    std::fs::remove_dir_all(dir.path().join("bert")).unwrap();
    let config = BertConfig {
        task_heads: vec![task_head(TaskKind::Sst2.task())],
        max_position_embeddings: 24,
        initializer_range: 0.5,
        ..BertConfig::bert(synthetic_tasks::vocabulary().len(), 16, 2, 2, 32)
    };
    save_bert(dir.path(), "bert", &config);
    distill(dir.path(), "labels", "again", &TASK).json();
    assert!(weights(dir.path(), "again") == before);
    distill(dir.path(), "logits", "taught", &TASK).json();
    assert!(weights(dir.path(), "taught") != before);
}

#[test]
fn an_objective_that_was_written_out_trains_the_same_student() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    for name in ["efficientbert", "mobilebert-progressive", "minilm"] {
        let sizes = ["--hidden", "12", "--embed", "8", "--heads", "2"];
        let show = ["objective", "show", name, "--student", ARCH, "--teacher", "bert"];
        let shown = run(dir.path(), &[&show[..], &sizes, &["--fit", "16"]].concat());
        assert_eq!(shown.code, Some(0), "{}", shown.stderr);
        assert!(shown.stdout.starts_with(&format!("# {name} on tasks: 2 layers")), "{}", shown.stdout);
        std::fs::write(dir.path().join("mine.toml"), &shown.stdout).unwrap();
        let files = [format!("{name}-preset"), format!("{name}-file")];
        distill(dir.path(), name, &files[0], &TASK).json();
        distill(dir.path(), "mine.toml", &files[1], &TASK).json();
        assert!(weights(dir.path(), &files[0]) == weights(dir.path(), &files[1]), "{name}");
    }
}

#[test]
fn objectives_are_listed_and_shown_for_any_two_architectures() {
    let dir = folder();
    let list = run(dir.path(), &["objective", "list"]);
    let names: Value = run(dir.path(), &["objective", "list", "--json"]).json();
    for (i, preset) in Preset::ALL.iter().enumerate() {
        assert!(list.stdout.contains(&format!("\n{preset}  ")), "{}", list.stdout);
        assert_eq!(names["objectives"][i]["name"], preset.to_string());
        let show = ["objective", "show", &preset.to_string(), "--student", "tinybert-4", "--teacher", "bert-base"];
        let shown = run(dir.path(), &show);
        assert_eq!(shown.code, Some(0), "{}", shown.stderr);
        std::fs::write(dir.path().join("shown.toml"), &shown.stdout).unwrap();
        let again = run(dir.path(), &[&["objective", "show", "shown.toml"][..], &show[3..]].concat());
        let body = |text: &str| text.lines().skip(1).collect::<Vec<_>>().join("\n");
        assert_eq!(body(&again.stdout), body(&shown.stdout), "{}", again.stderr);
    }
    let uneven = ["objective", "show", "tinybert", "--student", "tinybert-4", "--teacher", "minilm-l6"];
    run(dir.path(), &uneven).fails_with(2, &["6 layers", "student's 4", "map = [2, 3, 5, 6]"]);
    // Sizes by hand leave the projection to the user, as everywhere; MiniLM compares no widths.
    let by_hand = ["--student", ARCH, "--hidden", "12", "--heads", "2", "--teacher", "bert"];
    pocket(dir.path());
    plain_bert(dir.path(), "bert", &[]);
    let show = |name| run(dir.path(), &[&["objective", "show", name][..], &by_hand].concat());
    show("mobilebert").fails_with(2, &["entry 1", "equal widths", "768", "16"]);
    assert_eq!(show("minilm").code, Some(0));
    let mapped = run(dir.path(), &[&uneven[..], &["--map", "2,3,5,6"]].concat());
    assert!(mapped.stdout.contains("teacher = 5"), "{}{}", mapped.stdout, mapped.stderr);
    let text = run(dir.path(), &["objective", "show", "tinybert", "--on", "text"]);
    assert!(!text.stdout.contains("87%"), "{}", text.stdout);
    run(dir.path(), &["objective", "show", "logits", "--on", "text"]).fails_with(2, &["logits", "tasks"]);
}

#[test]
fn what_does_not_fit_is_refused_before_any_training_and_changes_nothing() {
    let dir = folder();
    pocket(dir.path());
    plain_bert(dir.path(), "bert", &[TaskKind::Sst2]);
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let entry = |rest: &str| format!("[[distill.match]]\nteacher = 2\nstudent = 2\n{rest}\n");
    let good = entry("feature = \"hidden\"\nloss = \"mse\"");
    write("layer.toml", &format!("{good}{}", good.replace("teacher = 2", "teacher = 3")));
    write("loss.toml", &format!("{good}{}", entry("feature = \"attention_scores\"\nloss = \"kl\"")));
    write("word.toml", &format!("{good}{}", entry("feature = \"hiden\"\nloss = \"mse\"")));
    write("late.toml", &format!("{good}weight = {{ value = 1.0, end = 3 }}\n"));
    write("heads.toml", &entry("feature = \"value_relation\"\nloss = \"kl\""));
    write("nothing.toml", "[distill]\n");
    write("broken.toml", "[distill\n");
    write("layers-only.toml", &good);
    let before = snapshot(dir.path());
    let fails = |objective: &str, more: &[&str], parts: &[&str]| {
        distill(dir.path(), objective, "out", more).fails_with(2, parts);
        assert_eq!(snapshot(dir.path()), before);
    };
    fails("layer.toml", &TASK, &["entry 2", "teacher layer 3 is outside 1..=2"]);
    fails("loss.toml", &TASK, &["loss.toml", "entry 2", "attention_probs"]);
    fails("word.toml", &TASK, &["word.toml", "entry 2", "hiden"]);
    fails("late.toml", &TASK, &["step 3 of 6"]);
    fails("heads.toml", &[&TASK[..], &["--heads", "4"]].concat(), &["entry 1", "value_relation needs equal heads"]);
    fails("nothing.toml", &TASK, &["nothing.toml", "nothing to learn"]);
    fails("broken.toml", &TASK, &["broken.toml", "line 1"]);
    fails("tinybret", &TASK, &["`tinybret` is no objective", "tinybert", "objective show"]);
    fails("layers-only.toml", &[&TASK[..], &["--eval-every", "2"]].concat(), &["--eval-every", "no prediction term"]);
}

#[test]
fn a_killed_training_goes_on_with_its_own_objective_only_and_ends_like_a_whole_one() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    // Two stages and a temperature that falls: what a step learns depends on where it is.
    let objective = "[distill]\npreset = \"tinybert\"\n[distill.prediction]\nweight = { value = 1.0, begin = \"87%\" }\n\
                     loss = \"kl\"\ntemperature = { from = 4.0, to = 1.0, begin = \"87%\" }\n";
    let write = |text: &str| std::fs::write(dir.path().join("mine.toml"), text).unwrap();
    write(objective);
    let args = |out: &'static str| {
        let base = ["distill", "--teacher", "bert", "--arch", ARCH, "--hidden", "12", "--embed", "8", "--out", out];
        let short = ["--steps", "300", "--batch-size", "8", "--max-len", "16", "--checkpoint-every", "10"];
        [&base[..], &short, &TASK, &["--objective", "mine.toml"]].concat()
    };
    let mut child = command(dir.path()).args(args("out")).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    wait_for(|| dir.path().join("out.training/checkpoints/step-000020").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!dir.path().join("out").exists(), "the kill came too late");
    let resume = || run(dir.path(), &[&args("out")[..], &["--resume"]].concat());
    write(&objective.replace("4.0", "3.0"));
    resume().fails_with(2, &["out.training was started with other options", "temperature"]);
    write(objective);
    for file in ["pocket/SST-2/train.tsv", "bert/model.safetensors"] {
        let path = dir.path().join(file);
        let before = std::fs::read(&path).unwrap();
        // The last byte: a file of the same size that is still read.
        let mut changed = before.clone();
        let at = changed.iter().rposition(u8::is_ascii_digit).unwrap();
        changed[at] ^= 1;
        std::fs::write(&path, changed).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        resume()
            .fails_with(2, &["out.training was started with other options or files", "is not what it was then", name]);
        std::fs::write(&path, before).unwrap();
    }
    std::fs::rename(dir.path().join("pocket"), dir.path().join("elsewhere")).unwrap();
    let moved = [&args("out")[..], &["--resume"]].concat();
    let moved: Vec<_> = moved.into_iter().map(|word| if word == "pocket" { "elsewhere" } else { word }).collect();
    let resumed = run(dir.path(), &moved);
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    std::fs::rename(dir.path().join("elsewhere"), dir.path().join("pocket")).unwrap();
    assert_eq!(run(dir.path(), &args("whole")).code, Some(0));
    assert!(weights(dir.path(), "out") == weights(dir.path(), "whole"));
}

#[test]
fn a_search_takes_an_objective_and_another_one_for_its_winner() {
    let dir = folder();
    let search = |more: &[&str]| {
        let short =
            ["search.stage1.trials=2", "search.stage2.trials=2", "search.stage3.trials=2", "teacher.fine_tune.steps=4"];
        let set = short.iter().chain(more).flat_map(|s| ["--set", s]).collect::<Vec<_>>();
        run(dir.path(), &[&["search", "--recipe", "smoke", "--out", "run"][..], &set].concat())
    };
    let logits = search(&["distill.preset=logits"]);
    assert!(logits.code != Some(0) && !dir.path().join("run").exists());
    logits.says(&["`warm_up`", "logits", "tasks"]);
    let heads = search(&["student.heads=4"]);
    heads.says(&["`warm_up`", "entry 2", "equal heads"]);
    let untrained = search(&["final.distill.preset=tinybert-intermediate"]);
    untrained.says(&["`final.task`", "no prediction term"]);
    let late =
        search(&["final.distill={ prediction = { weight = { value = 1.0, begin = 5 } } }", "final.general.steps=0"]);
    late.says(&["`final.", "nothing to learn"]);
    assert!(!dir.path().join("run").exists());

    // One layer of two: MiniLM needs no map, TinyBERT divides.
    let done = search(&["distill.preset=minilm", "final.distill.preset=tinybert", "student.layers=1"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let recipe = std::fs::read_to_string(dir.path().join("run/recipe.toml")).unwrap();
    assert!(recipe.contains("[distill]\npreset = \"minilm\"") && recipe.contains("preset = \"tinybert\""), "{recipe}");
    assert!(dir.path().join("run/student/model.safetensors").is_file());
}
