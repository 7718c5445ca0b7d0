//! What a search is given is read and judged before it begins, and may be replaced until something has used it.

use std::path::Path;
use std::process::Stdio;

use bert_core::{BertConfig, student_config};
use glue_squad::task::TaskKind;
use mlp_space::Architecture;

use crate::support::{Outcome, command, pocket_folder, run, save_bert, snapshot, wait_for};

/// Settings that make a run short.
const FEW: [&str; 4] =
    ["teacher.fine_tune.steps=2", "search.stage1.trials=2", "search.stage2.trials=2", "search.stage3.trials=2"];

/// A folder with pocket data, the teacher `bert` and the recipe `own.toml`, which takes both.
fn real_data() -> tempfile::TempDir {
    let dir = pocket_folder(&[]);
    let smoke = include_str!("../../../pipeline/recipes/smoke.toml");
    let scratch = smoke.find("[teacher.scratch]").unwrap()..smoke.find("[teacher.fine_tune]").unwrap();
    let mut recipe = smoke.replace("max_len = 32", "max_len = 16");
    recipe.replace_range(scratch, "");
    std::fs::write(dir.path().join("own.toml"), recipe).unwrap();
    dir
}

fn args<'a>(teacher: &'a str, data: &'a str, corpus: &'a str) -> Vec<&'a str> {
    let first =
        ["search", "--recipe", "own.toml", "--out", "run", "--teacher", teacher, "--data", data, "--corpus", corpus];
    first.into_iter().chain(FEW.iter().flat_map(|setting| ["--set", setting])).collect()
}

fn search(dir: &Path, (teacher, data, corpus): (&str, &str, &str)) -> Outcome {
    run(dir, &args(teacher, data, corpus))
}

#[test]
fn a_corpus_that_cannot_be_used_is_refused_before_anything_is_trained() {
    let dir = real_data();
    let good = std::fs::read(dir.path().join("pocket/corpus.txt")).unwrap();
    let torn = {
        let lines: Vec<&[u8]> = good.split(|b| *b == b'\n').collect();
        [&lines[..6].join(&b'\n')[..], b"\ncaf\xe9 au lait\n", &lines[6..].join(&b'\n')].concat()
    };
    for (name, bytes, code, parts) in [
        (
            "a.txt",
            b"\x1f\x8b\x08\0rest".to_vec(),
            1,
            &["a.txt: is compressed with gzip", "efficientbert data pack"][..],
        ),
        ("b.txt", b"\x28\xb5\x2f\xfdrest".to_vec(), 1, &["b.txt: is compressed with zstd", "data pack"]),
        ("c.txt", torn, 1, &["c.txt:7: byte 4", "UTF-8"]),
        ("d.txt", Vec::new(), 1, &["d.txt: the file is empty"]),
        ("e.txt", b"\n \n\n".to_vec(), 1, &["e.txt", "empty"]),
        ("f.txt", b"One text. It is short.\n".to_vec(), 2, &["f.txt: only 1 sequence", "a batch has 16", "more text"]),
        ("g.txt", b"One\0two\0".to_vec(), 1, &["g.txt: byte 4 is 0"]),
        ("h.jsonl", b"{\"text\": \"one\"}\n".to_vec(), 1, &["h.jsonl: is JSON Lines", "data pack"]),
    ] {
        std::fs::write(dir.path().join(name), bytes).unwrap();
        let before = snapshot(dir.path());
        search(dir.path(), ("bert", "pocket", name)).fails_with(code, parts);
        assert_eq!(snapshot(dir.path()), before, "{name}: nothing is left behind");
        if name != "f.txt" && name != "c.txt" {
            // `distill` reads the same.
            let distill =
                ["distill", "--teacher", "bert", "--init", "bert", "--corpus", name, "--out", "out", "--steps", "2"];
            run(dir.path(), &distill).fails_with(1, parts);
            assert_eq!(snapshot(dir.path()), before, "{name}");
        }
    }
    std::fs::create_dir(dir.path().join("packed")).unwrap();
    std::fs::write(dir.path().join("packed/a.txt.gz"), "x").unwrap();
    search(dir.path(), ("bert", "pocket", "packed"))
        .fails_with(1, &["a .txt file is missing", "efficientbert data pack"]);
    let few =
        ["distill", "--teacher", "bert", "--init", "bert", "--corpus", "f.txt", "--out", "out", "--batch-size", "8"];
    run(dir.path(), &few).fails_with(1, &["f.txt: only 1 sequence", "a batch has 8"]);
}

#[test]
fn all_inputs_that_cannot_be_used_are_named_in_one_message() {
    let dir = real_data();
    std::fs::write(dir.path().join("a.gz"), b"\x1f\x8b\x08\0rest").unwrap();
    let before = snapshot(dir.path());
    search(dir.path(), ("brt", "poket", "corps.txt")).fails_with(
        2,
        &[
            "3 inputs cannot be used",
            "`teacher.model` (--teacher) ",
            "brt: no such file or folder",
            "`data.glue` (--data) ",
            "poket: no such file or folder",
            "`data.corpus` (--corpus) ",
            "corps.txt: no such file or folder",
        ],
    );
    search(dir.path(), ("bert", "poket", "a.gz"))
        .fails_with(2, &["2 inputs", "poket", "a.gz: is compressed with gzip"]);
    let teacher = ["teacher", "--model", "brt", "--task", "sst-2", "--data", "poket", "--out", "out"];
    run(dir.path(), &teacher).fails_with(2, &["2 inputs are missing", "--model brt", "--data poket"]);
    let distill = ["distill", "--teacher", "brt", "--init", "int", "--corpus", "corps.txt", "--out", "out"];
    run(dir.path(), &distill)
        .fails_with(2, &["3 inputs are missing", "--teacher brt", "--init int", "--corpus corps.txt"]);
    assert_eq!(snapshot(dir.path()), before);

    // What shows only while files are read: two splits of two tasks, the text, the teacher's weights.
    let replace = |file: &str, line: &[u8]| {
        let path = dir.path().join("pocket").join(file);
        let bytes = std::fs::read(&path).unwrap();
        let mut lines: Vec<&[u8]> = bytes.split(|b| *b == b'\n').collect();
        lines[4] = line;
        std::fs::write(path, lines.join(&b'\n')).unwrap();
    };
    replace("SST-2/dev.tsv", b"the soup was good\tgood");
    replace("STS-B/train.tsv", b"torn");
    std::fs::write(dir.path().join("b.txt"), "One text.\n").unwrap();
    let two = ["teacher", "--model", "bert", "--task", "sst-2", "--task", "sts-b", "--data", "pocket", "--out", "out"];
    run(dir.path(), &two).fails_with(1, &["2 inputs cannot be used", "SST-2/dev.tsv:5", "STS-B/train.tsv:5"]);
    let weights = dir.path().join("bert/model.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..bytes.len() - 9]).unwrap();
    let before = snapshot(dir.path());
    let parts = [
        "4 inputs cannot be used",
        "SST-2/dev.tsv:5",
        "STS-B/train.tsv:5",
        "b.txt: only 1 sequence",
        "a batch has 16",
        "model.safetensors",
    ];
    let outcome = search(dir.path(), ("bert", "pocket", "b.txt"));
    outcome.fails_with(outcome.code.unwrap(), &parts);
    assert_eq!(snapshot(dir.path()), before);
}

#[test]
fn a_run_whose_teacher_is_trained_goes_on_with_another_corpus_and_keeps_the_teacher() {
    let dir = real_data();
    let text = std::fs::read_to_string(dir.path().join("pocket/corpus.txt")).unwrap();
    let half: String = text.split_inclusive('\n').take(120).collect();
    std::fs::write(dir.path().join("other.txt"), half).unwrap();
    let begin = |more: &[&'static str]| [&args("bert", "pocket", "pocket/corpus.txt")[..], more].concat();
    let long = ["--set", "warm_up.steps=300"];
    let mut child = command(dir.path()).args(begin(&long)).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let log = || std::fs::read_to_string(dir.path().join("run/log.jsonl")).unwrap_or_default();
    let started = |phase: &str| format!("\"event\":\"phase_started\",\"phase\":\"{phase}\"");
    wait_for(|| log().contains(&started("supernet/warm-up")));
    child.kill().unwrap();
    child.wait().unwrap();
    let teacher = || std::fs::read(dir.path().join("run/teacher/model/model.safetensors")).unwrap();
    let before = teacher();

    // Other data are refused: the teacher learned from them.
    let replace = |data: &str| run(dir.path(), &["search", "--resume", "--out", "run", "--data", data]);
    std::fs::create_dir(dir.path().join("changed")).unwrap();
    for task in ["SST-2", "STS-B"] {
        let from = dir.path().join("pocket").join(task);
        let to = dir.path().join("changed").join(task);
        std::fs::create_dir(&to).unwrap();
        for split in ["train.tsv", "dev.tsv"] {
            let lines = std::fs::read_to_string(from.join(split)).unwrap();
            let cut: String = lines.split_inclusive('\n').take(40).collect();
            std::fs::write(to.join(split), cut).unwrap();
        }
    }
    replace("changed").fails_with(2, &["is not what this run was started with", "teacher has used it"]);

    std::fs::write(dir.path().join("bad.txt"), b"\x1f\x8b\x08\0rest").unwrap();
    let bad = run(dir.path(), &["search", "--resume", "--out", "run", "--corpus", "bad.txt"]);
    bad.fails_with(1, &["bad.txt: is compressed with gzip", "can be replaced: --resume takes"]);
    let resumed = run(dir.path(), &["search", "--resume", "--out", "run", "--corpus", "other.txt"]);
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    resumed.says(&[
        "the corpus: differs from what the run was started with",
        "no finished phase has used",
        "other.txt",
    ]);
    let report = std::fs::read_to_string(dir.path().join("run/report.html")).unwrap();
    assert!(report.contains("other.txt"), "the report says what was read");
    assert!(teacher() == before, "the trained teacher stays");
    assert_eq!(log().matches(&started("teacher")).count(), 1, "and is not trained again");
    // Where the corpus is now is known from now on.
    std::fs::remove_file(dir.path().join("pocket/corpus.txt")).unwrap();
    run(dir.path(), &["search", "--resume", "--out", "run"]).says(&["this run is already finished"]);
    std::fs::write(dir.path().join("pocket/corpus.txt"), text).unwrap();
    // The first command line again is no wish to go back to the first corpus.
    run(dir.path(), &[&begin(&long)[..], &["--resume"]].concat()).says(&[
        "--corpus: the run was given",
        "other.txt",
        "this run is already finished",
    ]);
}

#[test]
fn a_searched_student_may_be_the_teacher_of_the_next_search() {
    let dir = real_data();
    let plain = BertConfig {
        max_position_embeddings: 24,
        ..BertConfig::bert(synthetic_tasks::vocabulary().len(), 16, 2, 2, 16)
    };
    let layers = ["linear2_2(gelu(linear2_2(x,wb1)),wb2)", "linear1_1(relu(linear1_1(max(x,tanh(x)),wb1)),wb2)"];
    let found = Architecture::new(layers.map(|layer| layer.parse().unwrap()).to_vec()).unwrap();
    save_bert(dir.path(), "searched", &student_config(&plain, &found).unwrap());
    let outcome = search(dir.path(), ("searched", "pocket", "pocket/corpus.txt"));
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let config = std::fs::read_to_string(dir.path().join("run/teacher/model/config.json")).unwrap();
    assert!(layers.iter().all(|layer| config.contains(layer)), "{config}");
    assert!(dir.path().join("run/student/model.safetensors").is_file());
}

#[test]
fn a_training_that_saved_nothing_goes_on_with_other_inputs() {
    let dir = pocket_folder(&[TaskKind::Sst2]);
    let train =
        ["teacher", "--model", "bert", "--task", "sst-2", "--out", "out", "--batch-size", "8", "--max-len", "16"];
    let endless = ["--data", "pocket", "--steps", "100000", "--checkpoint-every", "0"];
    let mut child =
        command(dir.path()).args(train).args(endless).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for(|| dir.path().join("out.training/log.jsonl").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::rename(dir.path().join("pocket"), dir.path().join("other")).unwrap();
    let dev = dir.path().join("other/SST-2/dev.tsv");
    let cut: String = std::fs::read_to_string(&dev).unwrap().split_inclusive('\n').take(30).collect();
    std::fs::write(dev, cut).unwrap();
    let resumed = run(dir.path(), &[&train[..], &["--data", "other", "--steps", "2", "--resume"]].concat());
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    resumed.says(&["no step was saved", "on the disk: up to"]);
    assert!(dir.path().join("out/model.safetensors").is_file());
}
