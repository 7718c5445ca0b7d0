//! Whole saves on a disk that fills up, for machines that can offer one:
//!
//! ```text
//! mount -t tmpfs -o size=1m tmpfs DIR
//! RUN_STORE_TEST_SMALL_DISK=DIR cargo test -p efficientbert-run-store --test full_disk -- --ignored
//! ```

#![allow(clippy::disallowed_methods, reason = "a small disk is prepared from outside")]

use std::fs;

use run_store::checkpoint::{CheckpointStore, FileContent};
use run_store::log::{self, JsonlWriter};
use run_store::{Error, atomic, folder};
use serde_json::json;

/// Larger than the disk must be.
const TOO_LARGE: usize = 64 << 20;

#[test]
#[ignore = "needs a small file system, see the top of this file"]
fn a_full_disk_fails_loudly_and_keeps_what_was_there() {
    let Ok(disk) = std::env::var("RUN_STORE_TEST_SMALL_DISK") else {
        return;
    };
    let dir = tempfile::tempdir_in(disk).unwrap();
    let content = vec![1; TOO_LARGE];
    let no_space = |error: &Error| {
        let is_full = matches!(error, Error::Io { cause, .. } if cause.kind() == std::io::ErrorKind::StorageFull);
        assert!(is_full, "{error:?}");
    };

    let file = dir.path().join("run.json");
    atomic::write_file(&file, b"old").unwrap();
    no_space(&atomic::write_file(&file, &content).unwrap_err());
    assert_eq!(fs::read(&file).unwrap(), b"old");

    let store = CheckpointStore::new(dir.path().join("teacher"), "c0ffee");
    let small = [("model.bin", FileContent::Bytes(b"weights"))];
    store.save(1, &small, json!({})).unwrap();
    for step in [1, 2] {
        let large = [("model.bin", FileContent::Bytes(&content))];
        no_space(&store.save(step, &large, json!({})).unwrap_err());
    }
    let latest = store.latest().unwrap();
    assert_eq!(latest.checkpoint.unwrap().step(), 1);
    assert_eq!(fs::read_dir(store.dir()).unwrap().count(), 1, "staging is removed");

    let result = dir.path().join("student");
    no_space(&folder::write(&result, &[("config.json", b"{}"), ("model.bin", &content)]).unwrap_err());
    assert!(!result.exists(), "no half of a folder");
    folder::write(&result, &[("config.json", b"{}"), ("model.bin", b"weights")]).unwrap();
    no_space(&folder::write(&result, &[("model.bin", &content)]).unwrap_err());
    assert_eq!(fs::read(result.join("model.bin")).unwrap(), b"weights");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "nothing else is left");

    let path = dir.path().join("log.jsonl");
    let mut events = JsonlWriter::open(&path).unwrap();
    events.append(&"first").unwrap();
    no_space(&events.append(&"x".repeat(TOO_LARGE)).unwrap_err());
    assert_eq!(log::read::<String>(&path).unwrap().records, ["first"]);
    events.append(&"second").unwrap();
    let found = log::read::<String>(&path).unwrap();
    assert_eq!(found.records, ["first", "second"]);
}
