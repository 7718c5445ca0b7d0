//! Checkpoints: saved whole, found by proof, never lost.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use run_store::Error;
use run_store::checkpoint::{CheckpointStore, FileContent, MANIFEST};
use serde_json::json;

const CONFIG: &str = "c0ffee";

fn store(dir: &tempfile::TempDir) -> CheckpointStore {
    CheckpointStore::new(dir.path().join("teacher"), CONFIG)
}

fn save(store: &CheckpointStore, step: u64) -> PathBuf {
    let model = format!("weights of step {step}");
    let files =
        [("model.bin", FileContent::Bytes(model.as_bytes())), ("optim/adam.bin", FileContent::Bytes(b"moments"))];
    let saved = store.save(step, &files, json!({"epoch": step / 10, "loss": 0.1})).unwrap();
    saved.path().to_owned()
}

fn latest_step(store: &CheckpointStore) -> Option<u64> {
    store.latest().unwrap().checkpoint.map(|checkpoint| checkpoint.step())
}

/// Saves steps 1 and 2, damages step 2, and expects step 1 with a reason containing `reason`.
fn check_fallback(damage: impl FnOnce(&Path), reason: &str) {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    save(&store, 1);
    damage(&save(&store, 2));
    let latest = store.latest().unwrap();
    assert_eq!(latest.checkpoint.unwrap().step(), 1);
    let [skipped] = &latest.skipped[..] else {
        panic!("one checkpoint is damaged, skipped: {:?}", latest.skipped);
    };
    assert_eq!(skipped.step, 2);
    let message = skipped.reason.to_string();
    assert!(message.contains(reason), "{message}");
    assert!(message.contains("step-000002"), "{message}");
    assert!(store.load(2).is_err());
    // Made again, it is the newest.
    save(&store, 2);
    assert_eq!(latest_step(&store), Some(2));
    assert_eq!(hidden(store.dir()), Vec::<String>::new());
}

fn hidden(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    names.filter(|name| name.starts_with('.') || name.ends_with(".old")).collect()
}

#[test]
fn what_was_saved_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    save(&store, 30);
    let checkpoint = store.load(30).unwrap();
    assert_eq!(checkpoint.step(), 30);
    assert_eq!(*checkpoint.state(), json!({"epoch": 3, "loss": 0.1}));
    let model = fs::read_to_string(checkpoint.file("model.bin").unwrap()).unwrap();
    assert_eq!(model, "weights of step 30");
    let names: Vec<&str> = checkpoint.files().iter().map(|file| &*file.name).collect();
    assert_eq!(names, ["model.bin", "optim/adam.bin"]);
    let message = checkpoint.file("other.bin").unwrap_err().to_string();
    assert!(message.contains("lists no file `other.bin`"), "{message}");
}

#[test]
fn an_empty_or_missing_store_has_no_latest_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    assert_eq!(latest_step(&store), None);
    assert!(!store.dir().exists(), "looking must not create the folder");
    assert!(matches!(store.load(1), Err(Error::NoCheckpoint { step: 1, .. })));
}

#[test]
fn steps_are_ordered_by_number_and_not_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    for step in [999_999, 1_000_000, 5] {
        save(&store, step);
    }
    assert_eq!(store.steps().unwrap(), [5, 999_999, 1_000_000]);
    assert_eq!(latest_step(&store), Some(1_000_000));
}

#[test]
fn a_cut_off_file_is_skipped() {
    let cut = |path: &Path| fs::write(path.join("model.bin"), "weights").unwrap();
    check_fallback(cut, "model.bin has 7 bytes instead of 17");
}

#[test]
fn a_flipped_byte_is_skipped() {
    let flip = |path: &Path| fs::write(path.join("model.bin"), "weights of step 3").unwrap();
    check_fallback(flip, "model.bin has SHA-256");
}

#[test]
fn a_missing_file_is_skipped() {
    let remove = |path: &Path| fs::remove_dir_all(path.join("optim")).unwrap();
    check_fallback(remove, "optim/adam.bin is missing");
}

#[test]
fn a_missing_manifest_is_skipped() {
    let remove = |path: &Path| fs::remove_file(path.join(MANIFEST)).unwrap();
    check_fallback(remove, "manifest.json is missing");
}

#[test]
fn a_changed_number_in_the_manifest_is_skipped() {
    let change = |path: &Path| {
        let text = fs::read_to_string(path.join(MANIFEST)).unwrap();
        assert!(text.contains("\"loss\": 0.1"), "{text}");
        let text = text.replace("\"loss\": 0.1", "\"loss\": 0.3");
        fs::write(path.join(MANIFEST), text).unwrap();
    };
    check_fallback(change, "does not match its own checksum");
}

#[test]
fn a_folder_renamed_to_another_step_is_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let path = save(&store, 1);
    fs::rename(&path, store.dir().join("step-000009")).unwrap();
    let latest = store.latest().unwrap();
    assert!(latest.checkpoint.is_none());
    let message = latest.skipped[0].reason.to_string();
    assert!(message.contains("that of step 1, not of step 9"), "{message}");
}

#[cfg(unix)]
#[test]
fn a_link_in_place_of_a_file_is_skipped() {
    let link = |path: &Path| {
        let model = path.join("model.bin");
        fs::rename(&model, path.join("elsewhere")).unwrap();
        std::os::unix::fs::symlink("elsewhere", &model).unwrap();
    };
    check_fallback(link, "model.bin is not a regular file");
}

#[test]
fn a_newer_format_is_named_and_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let path = save(&store, 1).join(MANIFEST);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"format\": 1", "\"format\": 2")).unwrap();
    let error = store.load(1).unwrap_err();
    assert!(matches!(error, Error::UnknownFormat { found: 2, known: 1, .. }), "{error:?}");
    assert!(store.save(1, &[], json!(null)).is_err(), "it must not be overwritten either");
}

#[test]
fn a_checkpoint_of_another_configuration_is_an_error_that_names_both() {
    let dir = tempfile::tempdir().unwrap();
    save(&store(&dir), 1);
    let other = CheckpointStore::new(store(&dir).dir(), "decaf");
    let errors = [
        other.latest().unwrap_err(),
        other.load(1).unwrap_err(),
        other.retain(1).unwrap_err(),
        other.save(1, &[], json!({})).unwrap_err(),
    ];
    for error in errors {
        let message = error.to_string();
        assert!(message.contains("c0ffee") && message.contains("decaf"), "{message}");
    }
    assert_eq!(latest_step(&store(&dir)), Some(1), "it is untouched");
}

#[test]
fn stray_staging_folders_and_foreign_names_are_ignored_and_only_the_former_cleaned() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    save(&store, 1);
    for name in [".step-000002.tmp-77", "step-2", "step-x", "notes"] {
        fs::create_dir(store.dir().join(name)).unwrap();
    }
    fs::write(store.dir().join("step-000003"), "a file").unwrap();
    assert_eq!(store.steps().unwrap(), [1]);
    assert_eq!(latest_step(&store), Some(1));
    let removed = store.clean_stale_temps().unwrap();
    assert_eq!(removed, [store.dir().join(".step-000002.tmp-77")]);
    assert!(store.dir().join("notes").exists());
}

#[test]
fn saving_a_valid_step_again_with_the_same_content_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let manifest = save(&store, 1).join(MANIFEST);
    let before = fs::metadata(&manifest).unwrap().modified().unwrap();
    save(&store, 1);
    assert_eq!(fs::metadata(&manifest).unwrap().modified().unwrap(), before);
    assert_eq!(hidden(store.dir()), Vec::<String>::new());
}

#[test]
fn saving_a_valid_step_again_with_other_content_replaces_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    save(&store, 1);
    let files = [("model.bin", FileContent::Bytes(b"better"))];
    let saved = store.save(1, &files, json!({"final": true})).unwrap();
    assert_eq!(*saved.state(), json!({"final": true}));
    assert_eq!(store.load(1).unwrap(), saved);
    assert!(!saved.path().join("optim").exists());
    assert_eq!(hidden(store.dir()), Vec::<String>::new());
}

#[test]
fn a_kill_between_the_two_renames_of_a_replacement_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let path = save(&store, 1);
    let old = store.dir().join("step-000001.old");
    // The state after the first rename: the old copy is all there is.
    fs::rename(&path, &old).unwrap();
    assert_eq!(latest_step(&store), Some(1));
    assert_eq!(store.load(1).unwrap().path(), old);
    store.retain(1).unwrap();
    assert!(old.exists(), "the only valid copy was deleted");
    // The state after the second: both are there, and the copy is superseded.
    save(&store, 1);
    assert_eq!(store.load(1).unwrap().path(), path);
    store.retain(1).unwrap();
    assert!(!old.exists() && path.exists());
}

#[test]
fn a_file_can_be_copied_in_and_a_missing_source_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let source = dir.path().join("weights");
    fs::write(&source, vec![7; 200_000]).unwrap();
    let saved = store.save(1, &[("model.bin", FileContent::CopyOf(&source))], json!({})).unwrap();
    assert_eq!(fs::read(saved.file("model.bin").unwrap()).unwrap(), vec![7; 200_000]);
    let gone = dir.path().join("gone");
    let error = store.save(2, &[("model.bin", FileContent::CopyOf(&gone))], json!({}));
    let message = error.unwrap_err().to_string();
    assert!(message.contains("read") && message.contains("gone"), "{message}");
    assert_eq!(store.steps().unwrap(), [1]);
}

#[test]
fn names_that_leave_the_folder_or_repeat_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let content = FileContent::Bytes(b"x");
    let cases: [&[&str]; 4] = [&["../evil"], &["/evil"], &["a", "a"], &[MANIFEST]];
    for names in cases {
        let files: Vec<_> = names.iter().map(|name| (*name, content)).collect();
        let error = store.save(1, &files, json!({})).unwrap_err();
        assert!(matches!(error, Error::BadName { .. }), "{names:?}: {error:?}");
    }
    assert_eq!(latest_step(&store), None);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "only the store's folder");
}

#[test]
fn a_state_that_could_not_be_read_back_is_refused_before_anything_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    save(&store, 1);
    let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
    assert!(store.save(1, &[], deep).is_err());
    assert_eq!(store.load(1).unwrap().files().len(), 2);
}

#[test]
fn retaining_keeps_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    for step in 1..=6 {
        save(&store, step);
    }
    assert_eq!(store.retain(2).unwrap(), [4, 3, 2, 1]);
    assert_eq!(store.steps().unwrap(), [5, 6]);
    assert_eq!(hidden(store.dir()), Vec::<String>::new());
}

#[test]
fn damaged_checkpoints_do_not_count_as_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    for step in 1..=4 {
        let path = save(&store, step);
        if step != 2 {
            fs::write(path.join("model.bin"), "damaged").unwrap();
        }
    }
    assert_eq!(store.retain(1).unwrap(), [1], "older than a valid one");
    assert_eq!(store.steps().unwrap(), [2, 3, 4]);
    assert_eq!(latest_step(&store), Some(2));
}

#[test]
fn retaining_none_still_keeps_the_only_valid_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    save(&store, 1);
    assert!(store.retain(0).unwrap().is_empty());
    fs::write(store.load(1).unwrap().file("model.bin").unwrap(), "damaged").unwrap();
    assert!(store.retain(0).unwrap().is_empty(), "nothing valid, nothing deleted");
    assert_eq!(store.steps().unwrap(), [1]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_changed_byte_in_any_file_is_noticed(
        file in 0_usize..3, at in any::<prop::sample::Index>(), mask in 1_u8..,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        let path = save(&store, 1).join(["model.bin", "optim/adam.bin", MANIFEST][file]);
        let mut bytes = fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= mask;
        fs::write(&path, bytes).unwrap();
        prop_assert!(store.load(1).is_err());
    }

    #[test]
    fn any_truncation_of_any_file_is_noticed(
        file in 0_usize..3, at in any::<prop::sample::Index>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        let path = save(&store, 1).join(["model.bin", "optim/adam.bin", MANIFEST][file]);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..at.index(bytes.len())]).unwrap();
        prop_assert!(store.load(1).is_err());
    }
}

#[test]
fn clearing_removes_every_checkpoint_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    assert_eq!(store.clear().unwrap(), 0, "no folder, no checkpoints");
    save(&store, 1);
    fs::remove_file(save(&store, 2).join(MANIFEST)).unwrap();
    fs::create_dir(store.dir().join("model")).unwrap();
    assert_eq!(store.clear().unwrap(), 2, "damaged ones too");
    let left: Vec<_> = fs::read_dir(store.dir()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["model"]);
    fs::remove_dir(store.dir().join("model")).unwrap();
    save(&store, 3);
    store.clear().unwrap();
    assert!(!store.dir().exists(), "a folder of nothing else goes too");
}
