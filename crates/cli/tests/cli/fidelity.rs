//! `fidelity`: what is measured, how it goes on, and what is refused.

use serde_json::{Value, json};

use crate::support::{arg, folder, run, snapshot};

const SMALL: [&str; 10] =
    ["fidelity", "--recipe", "smoke", "--networks", "4", "--steps", "0,3", "--out", "m", "--json"];

fn rows(dir: &std::path::Path) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join("m/scores.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What does not depend on the clock.
fn timeless(rows: &[Value]) -> Vec<Value> {
    let without = |row: &Value| {
        let mut row = row.clone();
        row.as_object_mut().unwrap().remove("seconds");
        row
    };
    rows.iter().map(without).collect()
}

#[test]
fn a_measurement_that_lost_its_last_scores_measures_them_again_and_the_rest_stays() {
    let dir = folder();
    let found = run(dir.path(), &SMALL).json();
    assert_eq!(found["findings"]["networks"], json!(4));
    let ranked = found["findings"]["probability"].as_array().unwrap();
    let names: Vec<&str> = ranked.iter().map(|row| row["fidelity"].as_str().unwrap()).collect();
    let expected = [
        "parameters",
        "w-pca",
        "w-pca/teacher",
        "nuclear-norm",
        "nuclear-norm/teacher",
        "stable-rank",
        "stable-rank/teacher",
        "teacher/0",
        "teacher/3",
        "slice/0",
        "slice/3",
        "final/held-out",
    ];
    assert_eq!(names, expected);
    assert_eq!(ranked[0]["verdict"], json!("control"));
    let whole = rows(dir.path());
    assert_eq!(whole.len(), 4 * (1 + expected.len() + 1), "each network, its scores and the final one");
    let architectures: std::collections::BTreeSet<_> =
        whole.iter().filter_map(|row| row["architecture"].as_str()).collect();
    assert_eq!(architectures.len(), 4, "networks differ");

    // Killed in the middle of network 2, in the middle of a line.
    let text = std::fs::read_to_string(dir.path().join("m/scores.jsonl")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let kept = 2 * (expected.len() + 2) + 9;
    let torn = format!("{}\n{}", lines[..kept].join("\n"), &lines[kept][..20]);
    std::fs::write(dir.path().join("m/scores.jsonl"), torn).unwrap();
    let again = run(dir.path(), &SMALL).json();
    let resumed = rows(dir.path());
    assert_eq!(resumed[..kept], whole[..kept], "what was there stays, with its times");
    assert_eq!(timeless(&resumed), timeless(&whole), "the same scores to the bit");
    let estimates = |found: &Value| {
        let rows = found["findings"]["probability"].as_array().unwrap().clone();
        rows.iter().map(|row| (row["spearman"].clone(), row["gain"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(estimates(&again), estimates(&found));

    // Nothing is left to do, and more is added.
    let before = snapshot(&dir.path().join("m"))[&std::path::PathBuf::from("scores.jsonl")].clone();
    let more = run(dir.path(), &[&SMALL[..], &["--networks", "5"]].concat());
    assert!(more.stderr.contains("cannot be used multiple times"), "{}", more.stderr);
    let text = run(dir.path(), &SMALL[..9]);
    text.says(&[]);
    assert!(text.stdout.contains("rank correlation with the tasks' metrics") && text.stdout.contains("the control"));
    assert_eq!(snapshot(&dir.path().join("m"))[&std::path::PathBuf::from("scores.jsonl")], before);
    let more = ["fidelity", "--recipe", "smoke", "--networks", "5", "--steps", "2", "--out", "m", "--json"];
    assert_eq!(run(dir.path(), &more).json()["findings"]["networks"], json!(5));
    let added = rows(dir.path());
    assert_eq!(added[..whole.len()], resumed[..]);
    // Two scores of the new length for each of the four, and all of the fifth.
    assert_eq!(added.len(), whole.len() + 4 * 2 + 1 + 7 + 2 + 2);

    run(dir.path(), &[&SMALL[..], &["--seed", "9"]].concat())
        .fails_with(2, &["begun with other settings", "`seed`", "another folder"]);
    run(dir.path(), &[&SMALL[..], &["--spread"]].concat()).fails_with(2, &["within the budget", "of all sizes"]);
}

#[test]
fn whole_encoders_are_drawn_from_choices_and_networks_of_all_sizes_are_spread() {
    let dir = folder();
    let choices = "search.encoder={layers=[2], hidden=[12, 24], embed=[8, 16], heads=[2], base=[8, 16, 32]}";
    let sets = [
        choices,
        "search.stage3.trials=1",
        "search.stage3.general.checkpoint_every=0",
        "search.stage3.task.checkpoint_every=0",
        "warm_up.steps=0",
        "final.inherit=teacher",
    ];
    let mut args = vec!["--spread", "--steps", "0"];
    args.extend(sets.iter().flat_map(|set| ["--set", set]));
    let small = ["fidelity", "--recipe", "smoke", "--networks", "5", "--out", "m", "--json"];
    run(dir.path(), &[&small[..], &args[..]].concat()).json();
    let rows = rows(dir.path());
    let sizes: Vec<u64> = rows.iter().filter_map(|row| row["params"].as_u64()).collect();
    assert_eq!(sizes.len(), 5);
    assert!(sizes[0] < sizes[2] && sizes[2] < sizes[1] && sizes[1] < sizes[3], "by windows 0, 8, 4 and 12: {sizes:?}");
    let first = rows[0]["architecture"].as_str().unwrap();
    assert!(first.starts_with("hidden=") && first.contains("base="), "{first}");
}

#[test]
fn what_cannot_be_measured_is_refused_before_anything_is_written() {
    let dir = folder();
    let refused = |more: &[&str], parts: &[&str]| {
        run(dir.path(), &[&["fidelity", "--recipe", "smoke", "--out", "m"], more].concat()).fails_with(2, parts);
        assert!(!dir.path().join("m").exists(), "{more:?}");
    };
    refused(
        &["--teacher", "nowhere", "--data", "neither"],
        &["2 inputs are missing", "--teacher nowhere", "--data neither"],
    );
    refused(&["--networks", "3"], &["--networks", "4"]);
    refused(&["--steps", "0,many"], &["--steps", "many"]);
    refused(&["--set", "final.task.stepz=3"], &["stepz"]);
    refused(&["--set", "budget.max_params=100"], &["at most 100 parameters", "11991"]);
    let other = folder();
    std::fs::write(other.path().join("notes.txt"), "mine").unwrap();
    run(dir.path(), &["fidelity", "--recipe", "smoke", "--out", arg(other.path())])
        .fails_with(2, &["not empty", "notes.txt"]);
    assert_eq!(snapshot(other.path()).len(), 1);
}
