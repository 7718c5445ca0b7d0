//! `runs`: what stands below a folder.

use std::path::Path;
use std::process::Stdio;

use glue_squad::task::TaskKind;
use serde_json::{Value, json};

use crate::support::{command, pocket_folder, run, snapshot, wait_for};

fn teacher<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let args = ["teacher", "--model", "bert", "--task", "sst-2", "--data", "pocket", "--batch-size", "8"];
    [&args[..], &["--max-len", "16", "--threads", "1"], more].concat()
}

fn listed(dir: &Path, args: &[&str]) -> Vec<Value> {
    let found = run(dir, &[&["runs", "--json"], args].concat()).json();
    found.as_array().expect("a list").clone()
}

#[test]
fn runs_are_listed_with_how_far_they_are_what_became_of_them_and_their_scores() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    run(dir.path(), &["runs"]).fails_with(2, &["runs: no such folder", "efficientbert search"]);
    std::fs::create_dir(dir.path().join("runs")).unwrap();
    assert_eq!(run(dir.path(), &["runs"]).stdout, "runs holds no run\n");

    let done = run(dir.path(), &teacher(&["--out", "runs/a/done", "--steps", "20", "--eval-every", "10"])).json();
    let diverged = ["--out", "runs/diverged", "--steps", "40", "--learning-rate", "1e30"];
    assert_eq!(run(dir.path(), &teacher(&diverged)).code, Some(1));
    let args = teacher(&["--out", "runs/killed", "--steps", "90000", "--checkpoint-every", "40", "--eval-every", "20"]);
    let mut child = command(dir.path()).args(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for(|| dir.path().join("runs/killed.training/checkpoints/step-000080").exists());
    let running = listed(dir.path(), &["runs/killed.training"]).remove(0);
    assert_eq!((&running["name"], &running["state"]), (&json!("."), &json!("running")), "{running}");
    assert_eq!(running["process"]["pid"], json!(child.id()));
    child.kill().unwrap();
    child.wait().unwrap();
    let search = ["search", "--recipe", "smoke", "--out", "runs/short", "--set", "teacher.fine_tune.steps=60000"];
    let mut child = command(dir.path()).args(search).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let log = dir.path().join("runs/short/log.jsonl");
    wait_for(|| std::fs::read_to_string(&log).is_ok_and(|log| log.contains("\"step\":20,")));
    child.kill().unwrap();
    child.wait().unwrap();
    // Damaged ones.
    for name in ["garbled", "bare"] {
        std::fs::create_dir(dir.path().join("runs").join(name)).unwrap();
    }
    std::fs::write(dir.path().join("runs/garbled/recipe.toml"), "seed = = 1\n").unwrap();
    std::fs::write(dir.path().join("runs/garbled/log.jsonl"), "no record\n").unwrap();
    std::fs::write(dir.path().join("runs/garbled/run.json"), "{").unwrap();
    std::fs::write(dir.path().join("runs/bare/study.sqlite"), "").unwrap();
    std::fs::create_dir(dir.path().join("runs/other")).unwrap();

    let before = snapshot(dir.path());
    let found = listed(dir.path(), &[]);
    let table = run(dir.path(), &["runs"]);
    assert_eq!(snapshot(dir.path()), before, "nothing is written");
    let names: Vec<&str> = found.iter().filter_map(|run| run["name"].as_str()).collect();
    assert_eq!(names, ["a/done", "bare", "diverged", "garbled", "killed", "short"]);
    let of = |name: &str| found.iter().find(|run| run["name"] == name).unwrap();
    let column = |key: &str| found.iter().map(|run| run[key].as_str().unwrap_or("-")).collect::<Vec<_>>();
    let states = ["finished", "interrupted", "failed", "interrupted", "interrupted", "interrupted"];
    assert_eq!(column("state"), states);
    assert_eq!(column("kind"), ["teacher", "search", "teacher", "search", "teacher", "search"]);

    assert_eq!(of("a/done")["tasks"], json!(["sst-2"]));
    assert_eq!((&of("a/done")["teacher"]["score"], &of("a/done")["student"]["score"]), (&done["score"], &Value::Null));
    assert_eq!(of("a/done")["teacher"]["metrics"]["sst-2/accuracy"], done["metrics"]["sst-2/accuracy"]);
    assert_eq!((&of("a/done")["done"], &of("a/done")["total"]), (&json!(20), &json!(20)));
    let bytes = |folder: &str| -> u64 {
        let inside = before.iter().filter(|(path, _)| path.starts_with(folder));
        inside.filter_map(|(_, content)| Some(content.as_ref()?.len() as u64)).sum()
    };
    assert_eq!(of("a/done")["bytes"], json!(bytes("runs/a/done")));
    assert_eq!(of("killed")["bytes"], json!(bytes("runs/killed.training")));
    let killed = of("killed");
    assert!(killed["done"].as_u64().unwrap() >= 80 && killed["total"] == 90_000, "{killed}");
    assert!(killed["teacher"]["score"].is_f64() && killed["age_seconds"].as_f64().unwrap() < 600.0, "{killed}");
    assert!(of("diverged")["error"].as_str().unwrap().contains("not finite"));
    let short = of("short");
    assert_eq!((&short["phase"], &short["tasks"]), (&json!("teacher"), &json!(["sst-2", "sts-b"])), "{short}");
    let problems = |name: &str| of(name)["problems"].as_array().unwrap().len();
    assert_eq!((problems("garbled"), problems("bare"), problems("short")), (3, 1, 0), "{}", of("garbled"));

    assert_eq!(table.code, Some(0), "{}", table.stderr);
    let row = |name: &str| table.stdout.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap().to_owned();
    assert!(row("killed").contains("interrupted") && row("killed").contains("/90000 ("), "{}", table.stdout);
    assert!(row("diverged").contains("failed") && row("diverged").contains("not finite"), "{}", table.stdout);
    assert!(row("garbled").contains("recipe.toml:"), "{}", table.stdout);
    let score = format!("{:.2}", done["score"].as_f64().unwrap() * 100.0);
    assert!(row("a/done").contains("finished") && row("a/done").contains(&score), "{}", table.stdout);

    // What is there is named where something else was meant.
    run(dir.path(), &["search", "--resume", "--out", "runs/shrot"]).fails_with(
        2,
        &["runs/shrot holds no run to resume; runs/ holds: short (interrupted)", "did you mean --out runs/short?"],
    );
    run(dir.path(), &["predict", "--model", "runs/short", "x"])
        .fails_with(2, &["--model runs/short: is the folder of a run", "efficientbert runs"]);
    // As a finished run has them.
    for model in ["student", "teacher/model"] {
        std::fs::create_dir_all(dir.path().join("runs/short").join(model)).unwrap();
        std::fs::copy(
            dir.path().join("bert/config.json"),
            dir.path().join("runs/short").join(model).join("config.json"),
        )
        .unwrap();
    }
    let eval = ["eval", "--task", "sst-2", "--data", "pocket", "--model", "runs/short"];
    run(dir.path(), &eval).fails_with(2, &["use runs/short/student or runs/short/teacher/model"]);
    for args in [&["bench", "--model", "runs/short"][..], &["arch", "show", "runs/short"]] {
        run(dir.path(), args).fails_with(2, &["is the folder of a run", "use runs/short/student or"]);
    }
    let distill = ["distill", "--arch", "efficientbert", "--teacher", "runs/short", "--corpus", "pocket/corpus.txt"];
    run(dir.path(), &[&distill[..], &["--out", "x"]].concat())
        .fails_with(2, &["use runs/short/teacher/model or runs/short/student"]);
    let search = ["search", "--recipe", "minilm-quick", "--teacher", "runs/short", "--data", "pocket", "--out", "x"];
    run(dir.path(), &[&search[..], &["--corpus", "pocket/corpus.txt"]].concat())
        .fails_with(2, &["is the folder of a run", "short/teacher/model or "]);
}
