//! Text files packed into sequences.

mod common;

use std::path::PathBuf;

use corpus::{PackConfig, PackedCorpus, Result, corpus_files};
use tokenizer::{Encoded, TextEncoder};

fn pack(encoder: &TextEncoder, files: &[PathBuf], config: &PackConfig) -> Result<Vec<Encoded>> {
    PackedCorpus::new(encoder, files, config.clone())?.collect()
}

/// Two files of many documents; every sentence of document `d` repeats one letter.
fn corpus() -> (tempfile::TempDir, TextEncoder) {
    let dir = common::tiny_model();
    let encoder = TextEncoder::from_dir(dir.path()).unwrap();
    for (name, letters) in [("one.txt", ["a", "b", "c"]), ("two.txt", ["d", "e", "f"])] {
        let text: String = (0..60)
            .map(|d| {
                format!(
                    "{}.\n{}. The end.\n\n",
                    format!("{} ", letters[d % 3]).repeat(9),
                    letters[d % 3].to_uppercase()
                )
            })
            .collect();
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    std::fs::remove_file(dir.path().join("vocab.txt")).unwrap();
    (dir, encoder)
}

#[test]
fn sequences_are_framed_bounded_and_reproducible() {
    let (dir, encoder) = corpus();
    let files = corpus_files(dir.path()).unwrap();
    assert_eq!(files.len(), 2);
    let config = PackConfig { max_len: 24, ..PackConfig::default() };
    let packed = pack(&encoder, &files, &config).unwrap();
    assert!(packed.len() >= 120, "{}", packed.len());
    for sequence in &packed {
        assert!(sequence.ids.len() <= 24 && sequence.ids.len() == sequence.type_ids.len());
        assert_eq!((sequence.ids.first(), sequence.ids.last()), (Some(&2), Some(&3)));
        assert_eq!(
            sequence.ids.iter().filter(|id| **id == 3).count(),
            2,
            "half of the pairs are drawn, the others have two sentences"
        );
    }
    assert_eq!(packed, pack(&encoder, &files, &config).unwrap());
    assert_ne!(packed, pack(&encoder, &files, &PackConfig { seed: 43, ..config }).unwrap());
}

#[test]
fn without_random_pairs_both_segments_are_of_one_document() {
    let (dir, encoder) = corpus();
    let files = corpus_files(dir.path()).unwrap();
    let letters = |f: &Encoded| {
        let mut ids: Vec<u32> = f.ids.iter().copied().filter(|id| (13..19).contains(id)).collect();
        ids.dedup();
        ids.len()
    };
    let pure = pack(&encoder, &files, &PackConfig { max_len: 24, random_next: 0.0, ..PackConfig::default() }).unwrap();
    assert!(pure.iter().all(|f| letters(f) <= 1));
    let mixed = pack(&encoder, &files, &PackConfig { max_len: 24, ..PackConfig::default() }).unwrap();
    assert!(mixed.iter().any(|f| letters(f) == 2));
}

#[test]
fn a_limit_cuts_the_same_stream() {
    let (dir, encoder) = corpus();
    let files = corpus_files(dir.path()).unwrap();
    let config = PackConfig { max_len: 24, ..PackConfig::default() };
    let all = pack(&encoder, &files, &config).unwrap();
    assert_eq!(pack(&encoder, &files, &PackConfig { max_sequences: Some(7), ..config }).unwrap(), all[..7]);
}

#[test]
fn bad_settings_bad_bytes_and_empty_text_are_errors() {
    let (dir, encoder) = corpus();
    let files = corpus_files(dir.path()).unwrap();
    let message = |files: &[PathBuf], config: PackConfig| pack(&encoder, files, &config).unwrap_err().to_string();
    assert!(message(&files, PackConfig { max_len: 7, ..PackConfig::default() }).contains("maximum length 7"));
    assert!(
        message(&files, PackConfig { short_seq_prob: f64::NAN, ..PackConfig::default() }).contains("short_seq_prob")
    );
    assert!(message(&files, PackConfig { random_next: 1.5, ..PackConfig::default() }).contains("random_next is 1.5"));
    assert!(message(&[], PackConfig::default()).contains("at least one"));
    assert!(message(&[dir.path().join("gone.txt")], PackConfig::default()).contains("gone.txt"));
    let bad = dir.path().join("three.txt");
    std::fs::write(&bad, b"Fine.\nb\xffd\n").unwrap();
    assert!(message(std::slice::from_ref(&bad), PackConfig::default()).contains("three.txt:2: byte 2"));
    std::fs::write(&bad, "\n \n").unwrap();
    assert!(message(&[bad], PackConfig::default()).contains("three.txt: the file is empty"));
}

#[test]
fn real_text_fills_its_sequences() {
    let (Some(model), Some(text)) =
        (common::shared("models/minilm-l6-h384-uncased"), common::shared("data/corpus/us-presidential-addresses.txt"))
    else {
        return;
    };
    let encoder = TextEncoder::from_dir(&model).unwrap();
    let config = PackConfig { max_len: 64, max_sequences: Some(3_000), ..PackConfig::default() };
    let packed = pack(&encoder, &[text], &config).unwrap();
    assert_eq!(packed.len(), 3_000);
    let mean = packed.iter().map(|f| f.ids.len()).sum::<usize>() as f64 / 3_000.0;
    assert!((50.0..=64.0).contains(&mean), "mean length {mean}");
    let unknown = packed.iter().flat_map(|f| &f.ids).filter(|id| Some(**id) == encoder.unk_id()).count();
    assert!(unknown < 300, "{unknown} unknown tokens");
}
