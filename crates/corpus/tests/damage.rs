//! Damaged shards and manifests: an error with file and place, never a panic, never another sequence.

mod common;

use std::path::Path;
use std::sync::OnceLock;

use common::{documents, pack, sequences, small, write_plain};
use corpus::{Error, MaskSettings, PackSettings, Sequence, Shards, Verify};
use proptest::prelude::*;

/// A packed corpus with several shards and static masks.
fn packed() -> &'static (tempfile::TempDir, Vec<Sequence>) {
    static PACKED: OnceLock<(tempfile::TempDir, Vec<Sequence>)> = OnceLock::new();
    PACKED.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let input = write_plain(&dir.path().join("a.txt"), &documents(0, 40));
        let settings = small(PackSettings { masking: Some(MaskSettings::default()), ..PackSettings::default() });
        pack(&[input], &settings, &dir.path().join("out"), 1).unwrap();
        let all = sequences(&dir.path().join("out"));
        (dir, all)
    })
}

fn copy() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let from = packed().0.path().join("out");
    std::fs::create_dir(dir.path().join("shards")).unwrap();
    std::fs::copy(from.join("manifest.json"), dir.path().join("manifest.json")).unwrap();
    for entry in std::fs::read_dir(from.join("shards")).unwrap().flatten() {
        std::fs::copy(entry.path(), dir.path().join("shards").join(entry.file_name())).unwrap();
    }
    dir
}

fn read_all(dir: &Path, verify: Verify) -> Result<Vec<Sequence>, Error> {
    let shards = Shards::open_with(dir, verify)?;
    (0..shards.len()).map(|i| shards.get(i)).collect()
}

#[derive(Debug, Clone)]
enum Change {
    Flip(u8),
    Set(u8),
    Cut,
    Insert(u8),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (0_u8..8).prop_map(Change::Flip),
        any::<u8>().prop_map(Change::Set),
        Just(Change::Cut),
        any::<u8>().prop_map(Change::Insert)
    ]
}

fn apply(change: &Change, bytes: &mut Vec<u8>, at: usize) {
    match change {
        Change::Flip(bit) => bytes[at] ^= 1 << bit,
        Change::Set(byte) => bytes[at] = *byte,
        Change::Cut => bytes.truncate(at),
        Change::Insert(byte) => bytes.insert(at, *byte),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_changed_shard_is_found_out_and_named_with_its_offset(change in change(), near_start: bool, place in 0.0..1.0_f64) {
        let dir = copy();
        let file = &Shards::open(dir.path()).unwrap().manifest().shards[1].file.clone();
        let path = dir.path().join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        let before = bytes.clone();
        let range = if near_start { 300 } else { bytes.len() };
        apply(&change, &mut bytes, (place * range as f64) as usize);
        std::fs::write(&path, &bytes).unwrap();
        if bytes == before {
            prop_assert_eq!(&read_all(dir.path(), Verify::Now).unwrap(), &packed().1);
            return Ok(());
        }
        for verify in [Verify::Now, Verify::FirstUse] {
            let message = read_all(dir.path(), verify).unwrap_err().to_string();
            prop_assert!(message.contains(".tokens, byte "), "{}", message);
        }
        // Without checksums a changed token may pass, but reading stays within bounds.
        if let Err(error) = read_all(dir.path(), Verify::Never) {
            prop_assert!(error.to_string().contains(".tokens, byte "), "{}", error);
        }
    }

    #[test]
    fn a_changed_manifest_is_an_error_or_harmless(change in change(), place in 0.0..1.0_f64) {
        let dir = copy();
        let path = dir.path().join("manifest.json");
        let mut bytes = std::fs::read(&path).unwrap();
        let at = (place * bytes.len() as f64) as usize;
        apply(&change, &mut bytes, at);
        std::fs::write(&path, &bytes).unwrap();
        match read_all(dir.path(), Verify::Now) {
            // A changed name of an input or count of documents changes no sequence.
            Ok(all) => prop_assert_eq!(&all, &packed().1),
            Err(error) => {
                let message = error.to_string();
                prop_assert!(message.contains("manifest.json") || message.contains(".tokens"), "{}", message);
            }
        }
    }
}

#[test]
fn missing_files_and_numbers_out_of_range_are_named() {
    let dir = copy();
    let shards = Shards::open(dir.path()).unwrap();
    let message = shards.get(shards.len()).unwrap_err().to_string();
    assert!(message.contains(&format!("there is no sequence {}", shards.len())), "{message}");
    assert!(shards.get(u64::MAX).is_err() && shards.length(0).is_ok());
    let file = shards.manifest().shards[0].file.clone();
    drop(shards);
    std::fs::remove_file(dir.path().join(&file)).unwrap();
    assert!(Shards::open(dir.path()).unwrap_err().to_string().contains(&file));
    std::fs::remove_file(dir.path().join("manifest.json")).unwrap();
    assert!(Shards::open(dir.path()).unwrap_err().to_string().contains("manifest.json"));
}

#[test]
fn a_manifest_that_leads_out_of_its_folder_is_refused() {
    let dir = copy();
    let path = dir.path().join("manifest.json");
    let text = std::fs::read_to_string(&path).unwrap();
    for (from, to) in
        [("shards/", "../shards/"), ("\"format\": 1", "\"format\": 2"), ("\"max_len\": 32", "\"max_len\": 3")]
    {
        assert!(text.contains(from));
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let message = Shards::open(dir.path()).unwrap_err().to_string();
        assert!(message.contains("manifest.json: "), "{message}");
    }
}
