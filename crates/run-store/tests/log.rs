//! JSON lines: every complete record is read, a torn one never spoils the next.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use run_store::Error;
use run_store::log::{self, JsonlWriter};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Event {
    step: u64,
    text: String,
}

fn event(step: u64) -> Event {
    Event { step, text: format!("line\nbreak and \"quotes\" {step}") }
}

fn log_of(dir: &tempfile::TempDir, content: &str) -> PathBuf {
    let path = dir.path().join("log.jsonl");
    fs::write(&path, content).unwrap();
    path
}

#[test]
fn records_are_read_back_in_order_across_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.jsonl");
    for step in 0..3 {
        let mut log = JsonlWriter::open(&path).unwrap();
        log.append(&event(step)).unwrap();
    }
    let found = log::read::<Event>(&path).unwrap();
    assert_eq!(found.records, [event(0), event(1), event(2)]);
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
}

#[test]
fn a_torn_last_line_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = log_of(&dir, "1\n2\n[3");
    let found = log::read::<u64>(&path).unwrap();
    assert_eq!((found.records, found.damaged), (vec![1, 2], vec![]));
}

#[test]
fn a_number_cut_to_another_number_is_torn_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = log_of(&dir, "100\n20");
    assert_eq!(log::read::<u64>(&path).unwrap().records, [100]);
}

#[test]
fn opening_cuts_a_torn_line_off_so_that_the_next_record_stands_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = log_of(&dir, "1\n2\n[3");
    let mut log = JsonlWriter::open(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "1\n2\n");
    log.append(&4).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "1\n2\n4\n");
}

#[test]
fn a_torn_line_longer_than_any_buffer_is_cut_off_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = log_of(&dir, &format!("1\n\"{}", "x".repeat(100_000)));
    JsonlWriter::open(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
    let path = log_of(&dir, &"x".repeat(20_000));
    JsonlWriter::open(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "");
}

#[test]
fn a_corrupt_line_in_the_middle_is_passed_over_and_told_by_its_number() {
    let dir = tempfile::tempdir().unwrap();
    for bad in ["{\"step\"", "", "null", "{\"step\": -1, \"text\": \"\"}"] {
        let good = serde_json::to_string(&event(1)).unwrap();
        let path = log_of(&dir, &format!("{good}\n{bad}\n{good}\n"));
        let found = log::read::<Event>(&path).unwrap();
        assert_eq!((found.records, found.damaged), (vec![event(1), event(1)], vec![2]), "{bad:?}");
    }
}

#[test]
fn bytes_that_are_not_text_are_passed_over_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.jsonl");
    fs::write(&path, b"\"a\"\n\"\xff\"\n\"b\"\n").unwrap();
    let found = log::read::<String>(&path).unwrap();
    assert_eq!((found.records, found.damaged), (vec!["a".to_string(), "b".into()], vec![2]));
}

#[test]
fn a_missing_log_is_an_error_that_names_it() {
    let message = log::read::<u64>("no/log.jsonl").unwrap_err().to_string();
    assert!(message.contains("no/log.jsonl"), "{message}");
}

#[test]
fn a_record_without_json_form_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.jsonl");
    let mut log = JsonlWriter::open(&path).unwrap();
    let keys_that_are_no_text = std::collections::BTreeMap::from([((1, 2), 3)]);
    let error = log.append(&keys_that_are_no_text).unwrap_err();
    assert!(matches!(error, Error::Encode { .. }), "{error:?}");
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
}

#[test]
fn records_of_several_writers_do_not_interleave() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.jsonl");
    let mut writers: Vec<_> = (0..4).map(|_| JsonlWriter::open(&path).unwrap()).collect();
    std::thread::scope(|scope| {
        for (index, log) in writers.iter_mut().enumerate() {
            scope.spawn(move || {
                for count in 0..100 {
                    log.append(&event(index as u64 * 1000 + count)).unwrap();
                }
            });
        }
    });
    let mut found = log::read::<Event>(&path).unwrap().records;
    found.sort_by_key(|event| event.step);
    let expected = (0..4).flat_map(|index| (0..100).map(move |count| event(index * 1000 + count)));
    assert!(found.into_iter().eq(expected));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_log_cut_at_any_byte_gives_a_prefix_and_takes_new_records(
        texts in prop::collection::vec(".{0,20}", 0..8), at in any::<prop::sample::Index>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.jsonl");
        let mut log = JsonlWriter::open(&path).unwrap();
        for text in &texts {
            log.append(text).unwrap();
        }
        drop(log);
        let bytes = fs::read(&path).unwrap();
        let cut = &bytes[..at.index(bytes.len() + 1)];
        fs::write(&path, cut).unwrap();

        let complete = cut.iter().filter(|byte| **byte == b'\n').count();
        let found = log::read::<String>(&path).unwrap();
        prop_assert_eq!(&found.records[..], &texts[..complete]);

        let mut log = JsonlWriter::open(&path).unwrap();
        prop_assert_eq!(fs::read(&path).unwrap().iter().filter(|byte| **byte == b'\n').count(), complete);
        log.append(&"new").unwrap();
        let mut expected = texts[..complete].to_vec();
        expected.push("new".to_owned());
        prop_assert_eq!(log::read::<String>(&path).unwrap().records, expected);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.jsonl");
        fs::write(&path, &bytes).unwrap();
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        let found = log::read::<serde_json::Value>(&path).unwrap();
        prop_assert_eq!(found.records.len() + found.damaged.len(), lines);
    }
}
