//! `search`: what is refused before it begins, and what a finished run stays.

use std::path::Path;

use serde_json::Value;

use crate::support::{Outcome, folder, pocket_folder, run, snapshot};

fn smoke(dir: &Path, more: &[&str]) -> Outcome {
    run(dir, &[&["search", "--recipe", "smoke", "--out", "run"], more].concat())
}

#[test]
fn what_would_fail_hours_later_is_refused_before_anything_is_trained_and_leaves_no_folder() {
    let dir = folder();
    let pattern = |key: &str, pattern: &str| format!("{key}.groups=[{{ pattern = \"{pattern}\", frozen = true }}]");
    for (setting, parts) in [
        (pattern("final.task", "nothing.*"), &["`final.task`", "pattern `nothing.*`", "the largest student"][..]),
        (pattern("teacher.fine_tune", "encoder.fit_dense.*"), &["`teacher.fine_tune`", "the teacher"]),
        (
            pattern("final.general", "encoder.layers.0.feed_forward.blocks.1.*"),
            &["`final.general`", "the uniform baseline"],
        ),
        ("tasks=[\"cola\"]".into(), &["the generated data have sst-2, sts-b, rte, not cola", "data.glue"]),
        ("data.hold_out=0.0001".into(), &["holding out", "data.hold_out"]),
    ] {
        smoke(dir.path(), &["--set", &setting]).fails_with(2, parts);
        assert!(snapshot(dir.path()).is_empty(), "{setting}");
    }
}

#[test]
fn a_latency_that_nothing_meets_ends_with_what_was_measured() {
    let dir = folder();
    let short = ["--set", "teacher.fine_tune.steps=2", "--set", "warm_up.steps=1", "--max-latency-ms", "0.000001"];
    let outcome = smoke(dir.path(), &short);
    outcome.fails_with(
        1,
        &["stage 1: none of 10000 drawn architectures", "at most 0.000001 ms", "too slow", "the fastest takes"],
    );
}

#[test]
fn a_finished_run_is_not_measured_again_and_lives_with_a_damaged_log() {
    let dir = folder();
    let few =
        ["teacher.fine_tune.steps=3", "search.stage1.trials=2", "search.stage2.trials=2", "search.stage3.trials=2"];
    let set: Vec<&str> = few.iter().flat_map(|setting| ["--set", setting]).collect();
    // The models have fewer positions.
    let more = ["--set", "latency.seq=500", "--json"];
    let first = smoke(dir.path(), &[&set[..], &more].concat());
    first.says(&["latency.seq 500: cut to the models' 32 positions"]);
    let first = first.json();
    let file = |name: &str| std::fs::read(dir.path().join("run").join(name)).unwrap();
    let run_json: Value = serde_json::from_slice(&file("run.json")).unwrap();
    assert_eq!(run_json["latency"]["seq"], 32);
    let page = String::from_utf8(file("report.html")).unwrap();
    assert!(page.contains("A pass: 1 x 32 tokens, f32, the median time of"), "sizes of a pass");

    let log = dir.path().join("run/log.jsonl");
    let lines = std::fs::read_to_string(&log).unwrap();
    let (head, tail) = lines.split_once('\n').unwrap();
    std::fs::write(&log, format!("{head}\ngarbage\n{tail}")).unwrap();
    let before = [file("run.json"), file("student/model.safetensors")];
    // From wherever the folder was moved to.
    std::fs::create_dir(dir.path().join("elsewhere")).unwrap();
    std::fs::rename(dir.path().join("run"), dir.path().join("elsewhere/moved")).unwrap();
    let again = run(&dir.path().join("elsewhere"), &["search", "--resume", "--out", "moved", "--json"]);
    again.says(&["this run was finished before"]);
    let again = again.json();
    let names = || {
        let entries = std::fs::read_dir(dir.path().join("elsewhere/moved")).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let left = names();
    for name in ["lock.json", "study.sqlite-wal", "study.sqlite-shm"] {
        assert!(!left.iter().any(|other| other == name), "{name} is left: {left:?}");
    }
    assert!(left.contains(&"study.sqlite".to_owned()), "{left:?}");
    assert_eq!(run(&dir.path().join("elsewhere"), &["report", "moved"]).code, Some(0));
    assert_eq!(names(), left, "`report` leaves something behind");
    for key in ["architecture", "comparison"] {
        assert_eq!(again[key], first[key], "{key}");
    }
    std::fs::rename(dir.path().join("elsewhere/moved"), dir.path().join("run")).unwrap();
    assert!([file("run.json"), file("student/model.safetensors")] == before);
    let page = String::from_utf8(file("report.html")).unwrap();
    assert!(page.contains("log.jsonl, line 2: no valid record"));
}

#[test]
fn a_run_goes_on_where_its_inputs_were_moved_if_they_are_the_same() {
    let dir = pocket_folder(&[]);
    let smoke = include_str!("../../../../recipes/smoke.toml");
    let scratch = smoke.find("[teacher.scratch]").unwrap()..smoke.find("[teacher.fine_tune]").unwrap();
    let mut recipe = smoke.replace("max_len = 32", "max_len = 16");
    recipe.replace_range(scratch, "");
    std::fs::write(dir.path().join("own.toml"), recipe).unwrap();
    std::fs::write(dir.path().join("pocket/more.txt"), "One more text. It has two sentences.\n").unwrap();
    let few =
        ["teacher.fine_tune.steps=2", "search.stage1.trials=2", "search.stage2.trials=2", "search.stage3.trials=2"];
    let set = few.iter().flat_map(|setting| ["--set", setting]);
    let inputs = |folder: &str, texts: [&str; 2]| {
        let texts = texts.map(|name| format!("{folder}/{name}.txt"));
        ["--teacher".into(), "bert".into(), "--data".into(), folder.into(), "--corpus".into()].into_iter().chain(texts)
    };
    let search = |more: Vec<String>| {
        let more: Vec<&str> = ["search", "--out", "run"].into_iter().chain(more.iter().map(String::as_str)).collect();
        run(dir.path(), &more)
    };
    let first = ["--recipe", "own.toml"].into_iter().chain(set).map(String::from);
    let first = search(first.chain(inputs("pocket", ["more", "corpus"])).collect());
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    std::fs::rename(dir.path().join("pocket"), dir.path().join("elsewhere")).unwrap();
    let resume = |more: Vec<String>| search([vec!["--resume".into()], more].concat());
    resume(vec![]).fails_with(2, &["`data.glue` (--data)", "no such file or folder", "--resume takes --teacher"]);
    let turned = resume(inputs("elsewhere", ["corpus", "more"]).collect());
    turned.fails_with(2, &["corpus 1", "is not what this run was started with"]);
    let right = || resume(inputs("elsewhere", ["more", "corpus"]).collect());
    right().says(&["this run was finished before"]);
    // As if it had been killed before its last trainings, which now read what was moved.
    let student = || std::fs::read(dir.path().join("run/student/model.safetensors")).unwrap();
    let before = student();
    for folder in ["student", "final"] {
        std::fs::remove_dir_all(dir.path().join("run").join(folder)).unwrap();
    }
    let again = right();
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(!again.stderr.contains("finished before") && student() == before);
}

#[test]
fn a_recipe_has_no_effect_on_a_run_that_goes_on() {
    let dir = folder();
    let args = ["search", "--resume", "--recipe", "smoke", "--out", "run"];
    run(dir.path(), &args).fails_with(2, &["--recipe has no effect with --resume"]);
}
