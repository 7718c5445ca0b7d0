//! The folder in the repository is what the default seed generates.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use synthetic_tasks::{DEFAULT_SEED, generate};

/// Largest total size the project agreed to commit.
const MAX_TOTAL_BYTES: usize = 1_500_000;

fn committed_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/pocket")
}

fn files_below(folder: &Path, prefix: &str, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            files_below(&entry.path(), &format!("{name}/"), found);
        } else {
            found.insert(name, std::fs::read(entry.path()).unwrap());
        }
    }
}

#[test]
fn the_committed_folder_equals_the_generated_one_byte_for_byte() {
    let mut committed = BTreeMap::new();
    files_below(&committed_folder(), "", &mut committed);
    let generated: BTreeMap<String, Vec<u8>> =
        generate(DEFAULT_SEED).into_iter().map(|file| (file.relative_path, file.bytes)).collect();
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&committed), names(&generated), "run `efficientbert data make-pocket`");
    for (name, bytes) in &generated {
        // Not assert_eq: a failure would print whole files.
        assert!(bytes == &committed[name], "{name} differs; run `efficientbert data make-pocket`");
    }
}

#[test]
fn the_folder_is_small() {
    let total: usize = generate(DEFAULT_SEED).iter().map(|file| file.bytes.len()).sum();
    assert!(total <= MAX_TOTAL_BYTES, "{total} bytes");
}

#[test]
fn a_seed_gives_the_same_bytes_again_and_another_seed_other_examples() {
    assert!(generate(7) == generate(7));
    let (seven, eight) = (generate(7), generate(8));
    let differing: BTreeSet<_> =
        seven.iter().zip(&eight).filter(|(a, b)| a.bytes != b.bytes).map(|(a, _)| a.relative_path.as_str()).collect();
    for name in ["RTE/dev.tsv", "RTE/train.tsv", "SST-2/train.tsv", "STS-B/train.tsv", "corpus.txt"] {
        assert!(differing.contains(name), "{name} does not depend on the seed");
    }
    // A model trained on one seed's data must be able to read another's.
    assert!(!differing.contains("vocab.txt") && !differing.contains("tokenizer.json"));
}
