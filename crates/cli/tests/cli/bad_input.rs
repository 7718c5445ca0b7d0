//! Inputs that a person gets wrong: one clear message that says where, and nothing changed.

use std::path::Path;
use std::process::Stdio;

use glue_squad::task::TaskKind;

use crate::support::{Outcome, command, folder, pocket_folder, run, snapshot, wait_for};

/// Replaces line `number` (from 1) of a file.
fn replace_line(path: &Path, number: usize, line: &[u8]) {
    let bytes = std::fs::read(path).unwrap();
    let mut lines: Vec<&[u8]> = bytes.split(|b| *b == b'\n').collect();
    lines[number - 1] = line;
    std::fs::write(path, lines.join(&b'\n')).unwrap();
}

#[test]
fn damaged_task_files_name_file_line_and_field_in_every_command() {
    let cases: [(&str, &[u8], &[&str]); 3] = [
        ("truncated", b"the soup was", &["SST-2/dev.tsv:5: 1 tab-separated columns instead of 2", "sentence label"]),
        ("label", b"the soup was good\tgood", &["SST-2/dev.tsv:5: field `label` is `good`; allowed: 0, 1"]),
        ("bytes", b"the soup was \xff\t1", &["SST-2/dev.tsv:5: byte 14 of the line (tab-separated field 1)", "UTF-8"]),
    ];
    for (name, line, parts) in cases {
        let dir = pocket_folder(&[TaskKind::Sst2]);
        replace_line(&dir.path().join("pocket/SST-2/dev.tsv"), 5, line);
        let before = snapshot(dir.path());
        for command in [
            &["eval", "--model", "bert", "--task", "sst-2", "--data", "pocket", "--predictions", "p.tsv"][..],
            &["teacher", "--model", "bert", "--task", "sst-2", "--data", "pocket", "--out", "out", "--steps", "2"],
            &[
                "distill",
                "--teacher",
                "bert",
                "--init",
                "bert",
                "--task",
                "sst-2",
                "--data",
                "pocket",
                "--out",
                "out",
                "--steps",
                "2",
            ],
        ] {
            run(dir.path(), command).fails_with(1, parts);
            assert_eq!(snapshot(dir.path()), before, "{name}: {command:?}");
        }
    }
}

#[test]
fn a_damaged_tokenizer_is_one_message_with_nothing_of_the_library_before_it() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let path = dir.path().join("bert/tokenizer.json");
    let text = std::fs::read_to_string(&path).unwrap();
    // Cut off in the middle of a part that the library panics over.
    let cut = text.find("\"decoder\"").unwrap() + "\"decoder\": {".len();
    std::fs::write(&path, &text[..cut]).unwrap();
    for args in [
        &["eval", "--model", "bert", "--task", "sst-2", "--data", "pocket"][..],
        &["predict", "--model", "bert", "a text"],
        &["data", "pack", "pocket/corpus.txt", "--tokenizer", "bert", "--out", "shards"],
    ] {
        for backtrace in ["0", "1"] {
            let output = command(dir.path()).args(args).env("RUST_BACKTRACE", backtrace).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
            let first = said.lines().next().unwrap_or_default();
            assert!(
                first.starts_with("error: bert/tokenizer.json") && first.contains("library failed on it"),
                "{said}"
            );
            assert!(!said.contains("panicked") && !said.contains("stack backtrace"), "{said}");
        }
    }
}

#[test]
fn a_missing_task_file_lists_what_is_there() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    std::fs::remove_file(dir.path().join("pocket/SST-2/train.tsv")).unwrap();
    let before = snapshot(dir.path());
    let args = ["teacher", "--model", "bert", "--task", "sst-2", "--data", "pocket", "--out", "out"];
    run(dir.path(), &args).fails_with(1, &["pocket/SST-2: train.tsv", "is missing", "the folder holds dev.tsv"]);
    assert_eq!(snapshot(dir.path()), before);
}

fn search(dir: &Path, args: &[&str]) -> Outcome {
    run(dir, &[&["search"], args].concat())
}

#[test]
fn a_recipe_that_is_not_usable_names_file_and_key_or_line() {
    let dir = folder();
    let smoke = include_str!("../../../pipeline/recipes/smoke.toml");
    for (name, text, parts) in [
        (
            "key.toml",
            smoke.replace("hold_out =", "hold_uot ="),
            &["key.toml", "hold_uot", "did you mean `hold_out`?"][..],
        ),
        ("top.toml", format!("speed = 3\n{smoke}"), &["top.toml", "speed"]),
        ("broken.toml", "seed = 7\n[data\n".into(), &["broken.toml", "line 2"]),
        ("prose.toml", "Dear reader,\nthis is no recipe.\n".into(), &["prose.toml", "line 1"]),
        ("empty.toml", String::new(), &["empty.toml", "missing field"]),
        ("type.toml", smoke.replace("trials = 4", "trials = \"four\""), &["type.toml", "four", "search.stage1"]),
        ("task.toml", smoke.replace("\"sts-b\"", "\"sts\""), &["task.toml", "unknown task `sts`", "sts-b"]),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
        let before = snapshot(dir.path());
        search(dir.path(), &["--recipe", name, "--out", "run"]).fails_with(2, parts);
        assert_eq!(snapshot(dir.path()), before, "{name}");
    }
    search(dir.path(), &["--recipe", "none.toml"]).fails_with(2, &["none.toml"]);
    search(dir.path(), &["--recipe", "smok"]).fails_with(2, &["smok: no such recipe", "did you mean smoke?"]);
    search(dir.path(), &["--recipe", "smoke", "--set", "search.stage9.trials=1"]).fails_with(2, &["stage9"]);
    assert!(!dir.path().join("runs").exists());
}

#[test]
fn a_setting_that_is_not_usable_says_how_it_was_meant() {
    let dir = folder();
    for (set, parts) in [
        ("tasks=mrpc", &["`tasks` cannot be set to mrpc", "a list is expected", "--set 'tasks=[\"mrpc\"]'"][..]),
        ("tasks=sst-2, rte", &["--set 'tasks=[\"sst-2\", \"rte\"]'"]),
        ("name=5", &["--set 'name=\"5\"'"]),
        ("search.stage1.trails=5", &["unknown field `trails`", "did you mean --set search.stage1.trials=5?"]),
        ("serach.stage1.trials=5", &["unknown field `serach`", "did you mean --set search.stage1.trials=5?"]),
        ("search.strategy=rnadom", &["unknown variant `rnadom`", "did you mean `random`?"]),
        ("seed=many", &["`seed` cannot be set to many", "a whole number is expected"]),
    ] {
        search(dir.path(), &["--recipe", "smoke", "--set", "max_len=16", "--set", set]).fails_with(2, parts);
    }
    search(dir.path(), &["--recipe", "smoke", "--set", "budget.min_params=9000000", "--max-params", "5M"]).fails_with(
        2,
        &[
            "min_params 9000000 is above max_params 5000000",
            "min_params comes from --set budget.min_params, max_params comes from --max-params",
        ],
    );
    let text = include_str!("../../../pipeline/recipes/smoke.toml")
        .replace("[budget]\n", "[budget]\nmin_params = 9_000_000\n");
    std::fs::write(dir.path().join("mine.toml"), text).unwrap();
    search(dir.path(), &["--recipe", "mine.toml", "--max-params", "5M"])
        .fails_with(2, &["min_params comes from the recipe `smoke`, max_params comes from --max-params"]);
    assert!(!dir.path().join("runs").exists());
}

#[test]
fn a_misspelt_name_or_number_says_what_was_meant() {
    let dir = pocket_folder(&[]);
    let teacher = ["teacher", "--model", "bert", "--task", "sst-2", "--out", "out", "--data"];
    let with = |data: &str, more: &[&str]| run(dir.path(), &[&teacher[..], &[data], more].concat());
    with(".", &[]).fails_with(1, &["SST-2: no such folder", "did you mean --data ./pocket? It holds SST-2"]);
    with("pocket", &["--steps", "0"]).fails_with(2, &["'--steps <N>': a whole number, at least 1"]);
    with("pocket", &["--method", "mobilebert-join"]).fails_with(2, &["did you mean mobilebert-joint?"]);
    std::fs::write(dir.path().join("mine.toml"), "[train]\nstep = 5\n").unwrap();
    with("pocket", &["--method", "mine.toml"]).fails_with(2, &["unknown field `step`", "did you mean `steps`?"]);
    std::fs::write(dir.path().join("zero.toml"), "[train]\nlog_every = 0\n").unwrap();
    with("pocket", &["--method", "zero.toml"]).fails_with(2, &["`train.log_every` must be"]);
    run(dir.path(), &["arch", "show", "mobilbert"]).fails_with(2, &["did you mean mobilebert?"]);
    let distill =
        ["distill", "--arch", "efficientbert", "--teacher", "bert", "--out", "out", "--corpus", "pocket/corpus.txt"];
    let objective = |name: &str| run(dir.path(), &[&distill[..], &["--objective", name]].concat());
    objective("tinybret").fails_with(2, &["did you mean tinybert?"]);
    std::fs::write(dir.path().join("objective.toml"), "[distill]\npresett = \"minilm\"\n").unwrap();
    objective("objective.toml").fails_with(2, &["did you mean `preset`?"]);
}

#[test]
fn a_budget_that_nothing_meets_names_the_nearest_size_and_leaves_no_run_behind() {
    let dir = folder();
    let outcome = search(dir.path(), &["--recipe", "smoke", "--max-params", "1k", "--out", "run"]);
    outcome.fails_with(2, &["at most 1000 parameters", "the nearest reachable architecture has"]);
    assert!(!dir.path().join("run").exists(), "the folder stays free for the corrected command");
}

#[test]
fn a_folder_that_holds_something_else_is_refused() {
    let dir = folder();
    std::fs::create_dir(dir.path().join("run")).unwrap();
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    std::fs::create_dir(dir.path().join("mine")).unwrap();
    std::fs::write(dir.path().join("mine/thesis.txt"), "mine").unwrap();
    std::fs::write(dir.path().join("run/recipe.toml"), "seed = 1\n").unwrap();
    let before = snapshot(dir.path());
    let smoke = |more: &[&str]| search(dir.path(), &[&["--recipe", "smoke", "--out"], more].concat());
    smoke(&["run"]).fails_with(2, &["run already holds a run", "--resume"]);
    smoke(&["mine"]).fails_with(2, &["mine is not empty", "thesis.txt"]);
    search(dir.path(), &["--resume", "--out", "empty"]).fails_with(2, &["empty holds no run to resume"]);
    search(dir.path(), &["--resume", "--out", "none"]).fails_with(2, &["none holds no run to resume"]);
    assert_eq!(snapshot(dir.path()), before);
}

#[test]
fn a_second_search_does_not_start_over_the_first_one() {
    let dir = folder();
    let args = ["search", "--recipe", "smoke", "--out", "run"];
    let mut first = command(dir.path()).args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for(|| dir.path().join("run/run.json").exists());
    run(dir.path(), &args).fails_with(2, &["run already holds a run", "--resume"]);
    run(dir.path(), &["search", "--resume", "--out", "run"]).fails_with(1, &["run is in use by process"]);
    first.kill().unwrap();
    first.wait().unwrap();
    let before = snapshot(dir.path());
    run(dir.path(), &args).fails_with(2, &["run already holds a run", "--resume"]);
    let other = ["search", "--resume", "--out", "run", "--seed", "9"];
    run(dir.path(), &other).fails_with(2, &["`seed` is 7 in the run and 9 here"]);
    assert_eq!(snapshot(dir.path()), before);
}

#[test]
fn a_wrong_path_of_a_search_leaves_no_run_behind() {
    let dir = pocket_folder(&[]);
    let before = snapshot(dir.path());
    let quick = |teacher: &str, data: &str, corpus: &str| {
        let args =
            ["--recipe", "minilm-quick", "--out", "run", "--teacher", teacher, "--data", data, "--corpus", corpus];
        search(dir.path(), &args)
    };
    quick("brt", "pocket", "pocket/corpus.txt").fails_with(2, &["--teacher", "brt: no such file or folder"]);
    quick("bert", "poket", "pocket/corpus.txt").fails_with(2, &["--data", "poket: no such file or folder"]);
    quick("bert", "pocket", "pocket/corps.txt")
        .fails_with(2, &["--corpus", "pocket/corps.txt: no such file or folder"]);
    // The task files are there; the tiny teacher has too few positions for the recipe.
    let tasks = ["--set", "tasks=[\"sst-2\"]"];
    let args =
        ["--recipe", "minilm-quick", "--out", "run", "--teacher", "bert", "--data", "pocket", "--corpus", "pocket"];
    let outcome = search(dir.path(), &[&args[..], &tasks].concat());
    outcome.fails_with(2, &["max_len", "24 positions"]);
    assert_eq!(snapshot(dir.path()), before);
}

/// A file system of 256 kB; `None` where this user may not mount one.
#[cfg(target_os = "linux")]
struct SmallDisk(std::path::PathBuf);

#[cfg(target_os = "linux")]
impl SmallDisk {
    fn mount(at: &Path) -> Option<Self> {
        let mut command = std::process::Command::new("mount");
        let command = command.args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(at);
        let done = command.stderr(std::process::Stdio::null()).status().ok()?;
        done.success().then(|| Self(at.to_owned()))
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_and_leaves_what_was_there() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let disk = dir.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let Some(_mounted) = SmallDisk::mount(&disk) else {
        test_support::skipped("no tmpfs can be mounted here");
        return;
    };
    std::fs::write(disk.join("old.tsv"), "mine\n").unwrap();
    std::fs::write(disk.join("ballast"), vec![0; 160_000]).unwrap();
    let teacher = ["teacher", "--model", "bert", "--task", "sst-2", "--data", "pocket", "--steps", "2", "--out"];
    let outcome = run(dir.path(), &[&teacher[..], &["disk/out"]].concat());
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    outcome.says(&["no space left", "disk/out.training/checkpoints", "free some space"]);
    assert!(!disk.join("out").exists());
    let outcome = search(dir.path(), &["--recipe", "smoke", "--out", "disk/run"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    outcome.says(&["no space left", "disk/run"]);
    std::fs::write(disk.join("fill"), vec![0; 300_000]).unwrap_err();
    let eval = ["eval", "--model", "bert", "--task", "sst-2", "--data", "pocket", "--predictions", "disk/old.tsv"];
    run(dir.path(), &eval).fails_with(1, &["no space left", "disk/old.tsv"]);
    assert_eq!(std::fs::read_to_string(disk.join("old.tsv")).unwrap(), "mine\n");
}
