//! `search`: what is refused before it begins, and what a finished run stays.

use std::path::Path;

use serde_json::{Value, json};

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
            &["`final.general`", "the smallest student"],
        ),
        ("tasks=[\"cola\"]".into(), &["the generated data have sst-2, sts-b, rte, not cola", "data.glue"]),
        ("data.hold_out=0.0001".into(), &["holding out", "data.hold_out"]),
    ] {
        smoke(dir.path(), &["--set", &setting]).fails_with(2, parts);
        assert!(snapshot(dir.path()).is_empty(), "{setting}");
    }
}

#[test]
fn a_latency_that_nothing_meets_is_refused_before_anything_is_trained_with_what_the_fastest_takes() {
    let dir = folder();
    let outcome = smoke(dir.path(), &["--max-latency-ms", "0.000001"]);
    outcome.fails_with(
        2,
        &[
            "no student of this recipe is within max_latency_ms 0.000001: the fastest takes 0.",
            "max_latency_ms comes from --max-latency-ms",
        ],
    );
    assert!(snapshot(dir.path()).is_empty(), "no folder is left");
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
    first.says(&["on the disk: up to", "teacher cache: at most"]);
    let first = first.json();
    the_cache_has_room_for_what_candidates_ask_again(&dir.path().join("run"));
    nothing_is_left_of_trainings(&dir.path().join("run"));
    the_phases_are_those_of_the_list(&dir.path().join("run"));
    let file = |name: &str| std::fs::read(dir.path().join("run").join(name)).unwrap();
    let run_json: Value = serde_json::from_slice(&file("run.json")).unwrap();
    assert_eq!(run_json["latency"]["seq"], 32);
    for model in ["student", "teacher/model"] {
        crate::tokenizer::is_whole(&dir.path().join("run").join(model), true);
    }
    let page = String::from_utf8(file("report.html")).unwrap();
    assert!(page.contains("A pass: 1 x 32 tokens, f32, the median time of"), "sizes of a pass");
    // The page is about the run: its tasks, teacher and limits, and what was changed; the recipe's words come after.
    for text in [
        "<h1>EfficientBERT search on SST-2 and STS-B</h1>",
        "<dd>2 layers of 32 channels, from scratch</dd>",
        "with 5 changed settings",
        "The recipe says of itself: <q>Every phase of a run in about a minute",
        "<code>teacher.fine_tune.steps</code></td><td class=\"left\" data-label=\"this run\">3</td>\
         <td class=\"left\" data-label=\"the recipe\">40</td>",
    ] {
        assert!(page.contains(text), "{text}");
    }
    let changed = run_json["changed"].as_array().unwrap();
    assert_eq!(changed.len(), 5);
    assert_eq!(changed[4], json!({ "key": "latency.seq", "value": "500", "recipe": "32" }));
    // The last row is no model: the majority class of the 400 training examples that are used, and a constant, on the dev sets.
    let labels = |split: &str, most: usize| -> Vec<bool> {
        let text = String::from_utf8(file(&format!("data/SST-2/{split}.tsv"))).unwrap();
        text.lines().skip(1).take(most).map(|line| line.ends_with("\t1")).collect()
    };
    let share = |labels: &[bool]| labels.iter().filter(|l| **l).count() as f64 / labels.len() as f64;
    let (train, dev) = (share(&labels("train", 400)), share(&labels("dev", usize::MAX)));
    let wanted = if train > 0.5 { dev } else { 1.0 - dev };
    let rows = first["comparison"].as_array().unwrap();
    let majority = rows.last().unwrap();
    assert_eq!((&majority["role"], &majority["params"]), (&json!("majority"), &json!(null)));
    for score in majority["scores"].as_array().unwrap() {
        let value = score["value"].as_f64().unwrap();
        assert!((value - if score["task"] == "sst-2" { wanted } else { 0.0 }).abs() < 1e-12, "{score}");
    }
    assert_eq!(majority["scores"].as_array().unwrap().len(), 3);
    let warnings: usize = rows.iter().map(|row| row["warnings"].as_array().unwrap().len()).sum();
    assert_eq!(first["warnings"].as_array().unwrap().len(), warnings);

    let log = dir.path().join("run/log.jsonl");
    let lines = std::fs::read_to_string(&log).unwrap();
    let (head, tail) = lines.split_once('\n').unwrap();
    std::fs::write(&log, format!("{head}\ngarbage\n{tail}")).unwrap();
    let before = [file("run.json"), file("student/model.safetensors")];
    // From wherever the folder was moved to.
    std::fs::create_dir(dir.path().join("elsewhere")).unwrap();
    std::fs::rename(dir.path().join("run"), dir.path().join("elsewhere/moved")).unwrap();
    let again = run(&dir.path().join("elsewhere"), &["search", "--resume", "--out", "moved", "--json"]);
    again.says(&["this run is already finished"]);
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

    // The command line that started it, with --resume added, and others.
    let resume = |more: &[&str]| smoke(dir.path(), &[&["--resume"], more].concat());
    resume(&[&set[..], &more].concat()).json();
    resume(&[&set[..], &more, &["--seed", "7", "--max-params", "40k"]].concat()).says(&["already finished"]);
    run(dir.path(), &["search", "--resume", "--out", "run", "--seed", "7"]).says(&["already finished"]);
    resume(&[&set[..], &more, &["--seed", "9", "--min-params", "3"]].concat()).fails_with(
        2,
        &[
            "the run in run",
            "`seed` is 7 in the run and 9 here",
            "`budget.min_params` is not set in the run and 3 here",
        ],
    );
    let other = resume(&[]);
    other.fails_with(
        2,
        &["`latency.seq` is 500 in the run and 32 here", "`search.stage1.trials` is 2", "--resume --out run"],
    );
    run(dir.path(), &["search", "--resume", "--out", "run", "--recipe", "none.toml"]).fails_with(2, &["none.toml"]);
    run(dir.path(), &["search", "--resume", "--out", "run", "--set", "tasks=[\"mrpc\"]"])
        .fails_with(2, &["`tasks` is"]);
}

#[test]
fn a_student_is_compared_with_networks_of_its_cost_each_with_several_seeds() {
    let dir = pocket_folder(&[]);
    let few = [
        "max_len=24",
        "teacher.fine_tune.steps=3",
        "search.stage1.trials=2",
        "search.stage2.trials=2",
        "search.stage3.trials=2",
        "final.task.steps=4",
        "compare.same_latency=true",
        "compare.random=2",
        "compare.checkpoints=[\"bert\"]",
        "compare.seeds=2",
    ];
    let set: Vec<&str> = few.iter().flat_map(|setting| ["--set", setting]).collect();
    let found = smoke(dir.path(), &[&set[..], &["--json"]].concat()).json();
    let names: Vec<&str> =
        found["comparison"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    // The plain network of equal latency is left out where none is as fast.
    let without: Vec<&str> = names.iter().copied().filter(|name| *name != "same latency").collect();
    assert_eq!(
        without,
        ["teacher", "same parameters", "random network", "bert", "found student", "majority class or mean"]
    );
    let student = found["comparison"].as_array().unwrap().iter().find(|row| row["role"] == "student").unwrap();
    assert!(student["scores"].as_array().unwrap().iter().all(|score| score["standard_error"].is_number()), "{student}");
    assert!(student["note"].as_str().unwrap().contains("mean of 2 seeds"), "{student}");
    let gains: Vec<&str> = found["gains"].as_array().unwrap().iter().map(|gain| gain.as_str().unwrap()).collect();
    assert_eq!(gains.len(), names.len() - 4, "{gains:?}");
    assert!(gains[0].contains("a plain network with as many parameters (2 seeds)"), "{gains:?}");
    for folder in
        ["same-params/seed-2", "random-1/seed-1", "random-2/seed-1", "random-best/seed-2", "checkpoint-1/seed-1"]
    {
        let model = format!("run/compare/{folder}/model");
        let scored = run(dir.path(), &["eval", "--model", &model, "--task", "sst-2", "--data", "pocket", "--json"]);
        assert_eq!(scored.code, Some(0), "{folder}: {}", scored.stderr);
    }
    assert!(!dir.path().join("run/compare/random-1/seed-2").exists(), "only the best has further seeds");
    let weights = |folder: &str| std::fs::read(dir.path().join(folder).join("model.safetensors")).unwrap();
    assert_ne!(weights("run/compare/same-params/seed-1/model"), weights("run/compare/same-params/seed-2/model"));
    let report = std::fs::read_to_string(dir.path().join("run/report.html")).unwrap();
    assert!(report.contains("the best network drawn at random") && report.contains("\u{b1}"));
    let set = ["--set", "final.baseline=true", "--out", "other"];
    run(dir.path(), &[&["search", "--recipe", "smoke"], &set[..]].concat()).fails_with(2, &["compare.same_params"]);
    let set = ["--set", "compare.checkpoints=[\"nowhere\"]", "--out", "other"];
    run(dir.path(), &[&["search", "--recipe", "smoke"], &set[..]].concat()).fails_with(1, &["nowhere"]);
    assert!(!dir.path().join("other").exists());
}

/// One after the other, in the order in which a recipe's phases are listed.
fn the_phases_are_those_of_the_list(run: &Path) {
    let recipe = pipeline::recipe::load(&run.join("recipe.toml").to_string_lossy(), &[]).unwrap();
    let listed: Vec<String> = pipeline::phases(&recipe).into_iter().map(|phase| phase.name).collect();
    let log = std::fs::read_to_string(run.join("log.jsonl")).unwrap();
    let events = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let started = events.filter(|event| event["event"] == "phase_started").map(|event| event["phase"].to_string());
    assert_eq!(started.map(|name| name.trim_matches('"').to_owned()).collect::<Vec<_>>(), listed);
}

/// Once a run is finished, its models are there and no checkpoints.
fn nothing_is_left_of_trainings(run: &Path) {
    let files = snapshot(run);
    let of_training = |path: &Path| path.iter().any(|part| part.to_string_lossy().starts_with("step-"));
    let left: Vec<_> = files.keys().filter(|path| of_training(path)).collect();
    assert!(left.is_empty(), "{left:?}");
    for gone in ["supernet", "final"] {
        assert!(!run.join(gone).exists(), "{gone}");
    }
    let compared = "compare/same-params/seed-1/model/model.safetensors";
    for kept in ["teacher/model/model.safetensors", "student/model.safetensors", compared, "study.sqlite"] {
        assert!(run.join(kept).is_file(), "{kept}");
    }
}

/// The room that is chosen without being told is enough: no batch of a candidate is asked for twice.
fn the_cache_has_room_for_what_candidates_ask_again(run: &Path) {
    let log = std::fs::read_to_string(run.join("log.jsonl")).unwrap();
    let events: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said = events.iter().filter_map(|e| e["message"].as_str()).find(|m| m.starts_with("teacher cache")).unwrap();
    let chosen = said.split_once("at most ").unwrap().1.split_once(" kB").unwrap().0;
    let chosen: u64 = chosen.parse::<u64>().unwrap() * 1000;
    let of = |phase: &str| {
        let event = events.iter().find(|e| e["event"] == "teacher_cache" && e["phase"] == phase).unwrap();
        ["hits", "misses", "bytes"].map(|key| event[key].as_u64().unwrap())
    };
    // Two candidates see 4 batches of tasks; one of those of the next stage no new ones.
    let [hits, _, bytes] = of("stage-1");
    assert!(hits >= 4 && bytes <= chosen && bytes > chosen / 2, "{said}: {hits} hits, {bytes} bytes");
    let [hits, misses, bytes] = of("stage-2");
    assert!(hits == 8 && misses == 0 && bytes <= chosen, "{said}: {hits} hits, {misses} misses");
}

#[test]
fn a_run_goes_on_where_its_inputs_were_moved_if_they_are_the_same() {
    let dir = pocket_folder(&[]);
    let smoke = include_str!("../../../pipeline/recipes/smoke.toml");
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
    right().says(&["this run is already finished"]);
    // As if it had been killed before its last trainings, which now read what was moved.
    let student = || std::fs::read(dir.path().join("run/student/model.safetensors")).unwrap();
    let before = student();
    let changed = || -> Value {
        let text = std::fs::read(dir.path().join("run/run.json")).unwrap();
        serde_json::from_slice::<Value>(&text).unwrap()["changed"].clone()
    };
    let started_with = changed();
    // Four settings, and teacher, data and text.
    assert_eq!(started_with.as_array().map(Vec::len), Some(7), "{started_with}");
    std::fs::remove_dir_all(dir.path().join("run/student")).unwrap();
    // Of a finished one nothing is left to make it again from.
    right().fails_with(1, &["run.json", "the run is finished", "student holds no model any more"]);
    let path = dir.path().join("run/run.json");
    let mut about: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    about["finished"] = false.into();
    std::fs::write(&path, about.to_string()).unwrap();
    let again = right();
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(!again.stderr.contains("already finished") && student() == before);
    assert_eq!(changed(), started_with, "where inputs were moved is no setting of the run");
}
