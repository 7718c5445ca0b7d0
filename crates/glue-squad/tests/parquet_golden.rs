//! Parquet files as other programs write them: pyarrow (what the Hugging Face hub serves), polars and DuckDB.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use glue_squad::task::{Example, Split, TaskKind};
use parquet_rows::{Rows, Value};
use proptest::prelude::*;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/parquet").join(name)
}

fn read(task: TaskKind, name: &str) -> Vec<Example> {
    let rows = task.open(&golden(name), Split::Dev).unwrap_or_else(|e| panic!("{e}"));
    rows.collect::<Result<_, _>>().unwrap_or_else(|e| panic!("{e}"))
}

/// Snappy, gzip, zstd, none; plain, dictionary and delta encodings; both versions of pages; several pages and row groups; lists
/// and groups between the columns.
const MNLI: [&str; 8] = [
    "mnli-pyarrow.parquet",
    "mnli-v2-zstd.parquet",
    "mnli-gzip-plain.parquet",
    "mnli-delta.parquet",
    "mnli-nested.parquet",
    "mnli-polars.parquet",
    "mnli-duckdb.parquet",
    "mnli-duckdb-v2.parquet",
];

#[test]
fn every_writers_file_holds_the_same_rows_as_the_jsonl_copy() {
    let wanted = read(TaskKind::Mnli, "mnli.jsonl");
    assert_eq!(wanted.len(), 60);
    for name in MNLI {
        assert_eq!(read(TaskKind::Mnli, name), wanted, "{name}");
    }
}

#[test]
fn scores_in_single_precision_are_the_decimal_numbers_they_were_made_of() {
    let wanted = read(TaskKind::Stsb, "stsb.jsonl");
    assert_eq!(read(TaskKind::Stsb, "stsb-pyarrow.parquet"), wanted);
}

#[test]
fn every_kind_of_cell_is_read_and_absent_ones_are_null() {
    for name in ["cells.parquet", "cells-v2.parquet"] {
        let mut rows = Rows::open(&golden(name)).unwrap();
        assert_eq!(rows.columns(), ["text", "truth", "number", "double", "single"]);
        rows.select(&["single", "text", "truth", "number", "double"]).unwrap();
        let mut found = Vec::new();
        while let Some(row) = rows.next_row().unwrap() {
            found.push(row);
        }
        let text = |t: &str| Value::Text(t.to_owned());
        use Value::{Float, Int, Null};
        let wanted = [
            [Float(0.1), Null, Int(1), Null, Float(0.1)],
            [Null, text("a"), Int(0), Int(1 << 40), Null],
            [Float(3.8), Null, Null, Int(-1), Float(1e300)],
            [Float(-0.5), text("b"), Int(1), Int(0), Float(-0.5)],
            [Float(16_777_216.0), text(""), Int(0), Int(5), Float(3.8)],
        ];
        assert_eq!(found, wanted, "{name}");
    }
}

#[test]
fn a_file_that_is_none_is_refused_with_its_name_and_place() {
    let message =
        |bytes: &[u8]| Rows::over(Box::new(Cursor::new(bytes.to_vec())), "x.parquet").expect_err("damaged").to_string();
    assert!(message(b"").starts_with("x.parquet: byte 0: this is no Parquet file"));
    assert!(message(b"PAR1 cut short in the middle").contains("byte 24: this is no Parquet file"));
    assert!(message(b"PAR1\xff\xff\xff\x00PAR1").contains("metadata of 16777215 bytes"));
    let bytes = std::fs::read(golden("mnli-pyarrow.parquet")).unwrap();
    assert!(message(&bytes[..bytes.len() - 1]).contains("no Parquet file"));
    let mut rows = Rows::open(&golden("mnli-pyarrow.parquet")).unwrap();
    let missing = rows.select(&["sentence"]).unwrap_err().to_string();
    assert!(
        missing.contains("no column `sentence`") && missing.contains("premise, hypothesis, label, idx"),
        "{missing}"
    );
    let wrong =
        TaskKind::Rte.open(&golden("mnli-pyarrow.parquet"), Split::Dev).err().expect("another task").to_string();
    assert!(wrong.contains("no column `sentence1`"), "{wrong}");
}

/// Reads all rows of damaged bytes. An error must name the file and a byte or row.
fn read_damaged(task: TaskKind, bytes: &[u8]) -> Result<usize, String> {
    let size = bytes.len() as u64;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    std::fs::write(&path, bytes).unwrap();
    let rows = task.open(&path, Split::Dev);
    let mut count = 0;
    let error = match rows {
        Err(error) => error,
        Ok(rows) => {
            let mut failed = None;
            for row in rows {
                match row {
                    Ok(_) => count += 1,
                    Err(error) => failed = Some(error),
                }
            }
            match failed {
                Some(error) => error,
                None => return Ok(count),
            }
        }
    };
    let message = error.to_string();
    let rest = message.strip_prefix(&format!("{}: ", path.display())).ok_or(format!("no file: {message}"))?;
    let number = |word: &str| rest.strip_prefix(word)?.split(':').next()?.parse::<u64>().ok();
    match (number("byte "), number("row "), rest.starts_with("the file is empty")) {
        (Some(place), _, _) if place <= size => Err(rest.to_owned()),
        (_, Some(1..), _) | (_, _, true) => Err(rest.to_owned()),
        _ => panic!("no place within the {size} bytes: {message}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_are_read_or_refused_with_file_and_place(
        which in 0..MNLI.len(),
        changes in proptest::collection::vec((0..4_u8, any::<u16>(), any::<u8>(), 0..8_u8), 1..4),
        near_end in any::<bool>(),
    ) {
        let mut bytes = std::fs::read(golden(MNLI[which])).unwrap();
        for (kind, place, byte, bit) in changes {
            // Half of the damage goes into the metadata at the end.
            let at = if near_end { bytes.len() - 1 - usize::from(place) % (bytes.len() / 3) } else { usize::from(place) % bytes.len() };
            match kind {
                0 => bytes[at] = byte,
                1 => bytes[at] ^= 1 << bit,
                2 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        match read_damaged(TaskKind::Mnli, &bytes) {
            Ok(count) => prop_assert!(count <= 60),
            Err(message) => prop_assert!(!message.starts_with("no file"), "{}", message),
        }
    }

    #[test]
    fn cut_files_are_refused(which in 0..MNLI.len(), place in any::<u16>()) {
        let bytes = std::fs::read(golden(MNLI[which])).unwrap();
        let cut = bytes[..usize::from(place) % bytes.len()].to_vec();
        prop_assert!(read_damaged(TaskKind::Mnli, &cut).is_err());
    }
}
