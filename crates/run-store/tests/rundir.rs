//! Run folders: nobody's files are overwritten, nobody's run is mixed with another.

use std::fs;
use std::path::Path;

use run_store::lock::{Holder, Previous};
use run_store::rundir::{RECIPE, RunFolder, RunPaths};
use run_store::{Error, hash};

const RECIPE_TEXT: &str = "seed = 1\n[student]\nhidden = 540\n";

fn me() -> Holder {
    Holder::this_process("node", "2025-01-01T00:00:00Z")
}

#[test]
fn a_run_is_created_in_a_new_nested_folder_and_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("runs/pocket");
    let run = RunFolder::create(&path, RECIPE_TEXT, &me()).unwrap();
    assert_eq!(fs::read_to_string(run.paths().recipe()).unwrap(), RECIPE_TEXT);
    assert_eq!(run.config_hash(), hash::bytes(RECIPE_TEXT));
    let hash = run.config_hash().to_owned();
    drop(run);
    let run = RunFolder::open_for_resume(&path, RECIPE_TEXT, &me()).unwrap();
    assert_eq!(run.config_hash(), hash);
    assert_eq!(*run.previous(), Previous::Released);
}

#[test]
fn a_folder_that_holds_a_run_is_refused_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    drop(RunFolder::create(dir.path(), RECIPE_TEXT, &me()).unwrap());
    // Whatever else the run wrote, and in whichever order the file system lists it.
    for i in 0..20 {
        fs::create_dir(dir.path().join(format!("phase-{i}"))).unwrap();
    }
    let error = RunFolder::create(dir.path(), "seed = 2\n", &me()).unwrap_err();
    assert!(matches!(error, Error::RunExists { .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.contains("--resume") && message.contains("--out"), "{message}");
    assert_eq!(fs::read_to_string(dir.path().join(RECIPE)).unwrap(), RECIPE_TEXT);
}

#[test]
fn a_folder_with_other_files_is_refused_and_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.tex"), "").unwrap();
    let error = RunFolder::create(dir.path(), RECIPE_TEXT, &me()).unwrap_err();
    assert!(matches!(error, Error::NotEmpty { .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.contains("`thesis.tex`") && message.contains("--out"), "{message}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn what_a_start_killed_before_its_recipe_left_behind_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("lock.json"), serde_json::to_vec(&me()).unwrap()).unwrap();
    fs::write(dir.path().join(".recipe.toml.1-0.tmp"), "seed").unwrap();
    let run = RunFolder::create(dir.path(), RECIPE_TEXT, &me()).unwrap();
    assert_eq!(*run.previous(), Previous::Died(me()));
    assert!(!dir.path().join(".recipe.toml.1-0.tmp").exists());
}

#[test]
fn a_running_run_is_not_resumed_a_second_time() {
    let dir = tempfile::tempdir().unwrap();
    let _running = RunFolder::create(dir.path(), RECIPE_TEXT, &me()).unwrap();
    let error = RunFolder::open_for_resume(dir.path(), RECIPE_TEXT, &me()).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error:?}");
}

#[test]
fn resuming_with_another_recipe_names_the_line() {
    let dir = tempfile::tempdir().unwrap();
    drop(RunFolder::create(dir.path(), RECIPE_TEXT, &me()).unwrap());
    let given = RECIPE_TEXT.replace("540", "360");
    let error = RunFolder::open_for_resume(dir.path(), &given, &me()).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("line 3 of its recipe.toml differs"), "{message}");
}

#[test]
fn resuming_where_there_is_no_run_says_so() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().to_owned(), dir.path().join("none")] {
        let error = RunFolder::open_for_resume(&path, RECIPE_TEXT, &me()).unwrap_err();
        assert!(matches!(error, Error::NoRun { .. }), "{error:?}");
        assert!(error.to_string().contains("without --resume"), "{error}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is created");
}

#[test]
fn a_damaged_recipe_is_noticed_on_resuming() {
    let dir = tempfile::tempdir().unwrap();
    drop(RunFolder::create(dir.path(), RECIPE_TEXT, &me()).unwrap());
    fs::write(dir.path().join(RECIPE), b"seed = 1\n\xff\n").unwrap();
    let error = RunFolder::open_for_resume(dir.path(), RECIPE_TEXT, &me()).unwrap_err();
    assert!(matches!(error, Error::RecipeDiffers { .. }), "{error:?}");
}

#[test]
fn the_layout_is_the_documented_one() {
    let paths = RunPaths::new("r");
    let found =
        [paths.recipe(), paths.run_json(), paths.log(), paths.study(), paths.lock(), paths.student(), paths.report()];
    let expected = ["recipe.toml", "run.json", "log.jsonl", "study.sqlite", "lock.json", "student", "report.html"];
    assert_eq!(found, expected.map(|name| Path::new("r").join(name)));
}
