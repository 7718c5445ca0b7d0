//! Archives, honest and hostile.

mod common;

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use common::{content, files_below};
use data_catalog::manifest::ArchiveKind;
use data_catalog::unpack::{MAX_MEMBER_BYTES, MemberRequest, Placed, unpack};
use data_catalog::{Error, unpack};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// A zip file with these members.
fn zip_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A tar.gz file; names go in as they are, also those that the library would refuse.
fn tar_of(members: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, kind, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_entry_type(*kind);
        if *kind == tar::EntryType::Symlink {
            header.set_link_name("elsewhere").unwrap();
        }
        header.set_cksum();
        builder.append(&header, *bytes).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn root(&self) -> &Path {
        self.dir.path()
    }

    fn wanted(&self, member: &str) -> MemberRequest {
        let to = self.root().join("out").join(member.rsplit('/').next().unwrap());
        MemberRequest { member: member.to_owned(), to, bytes: None, sha256: None }
    }

    fn unpack(
        &self,
        kind: ArchiveKind,
        archive: &[u8],
        wanted: &[MemberRequest],
        limit: u64,
    ) -> Result<Vec<Placed>, Error> {
        let path: PathBuf = self.root().join("archive");
        std::fs::write(&path, archive).unwrap();
        let result = unpack(&path, kind, wanted, limit);
        let below: Vec<String> = files_below(self.root());
        assert!(below.iter().all(|p| p == "archive" || p.starts_with("out/")), "written elsewhere: {below:?}");
        assert!(!below.iter().any(|p| p.ends_with(".tmp")), "a temporary file is left: {below:?}");
        result
    }

    fn placed(&self) -> Vec<String> {
        files_below(&self.root().join("out"))
    }
}

use ArchiveKind::{TarGz, Zip};
use tar::EntryType::{Regular, Symlink};

#[test]
fn the_wanted_members_come_out_whole_and_the_others_stay_in() {
    let train = content(200_000);
    let zip = zip_of(&[("CoLA/original/raw.txt", b"no"), ("CoLA/train.tsv", &train), ("CoLA/dev.tsv", b"dev")]);
    let tar = tar_of(&[
        ("CoLA/original/raw.txt", Regular, b"no"),
        ("./CoLA/dev.tsv", Regular, b"dev"),
        ("CoLA/train.tsv", Regular, &train),
    ]);
    for (kind, archive) in [(Zip, zip), (TarGz, tar)] {
        let place = Place::new();
        let mut wanted = [place.wanted("CoLA/train.tsv"), place.wanted("CoLA/dev.tsv")];
        wanted[0].bytes = Some(200_000);
        wanted[0].sha256 = Some(run_store::hash::bytes(&train));
        let mut placed = place.unpack(kind, &archive, &wanted, MAX_MEMBER_BYTES).unwrap();
        placed.sort_by_key(|p| p.bytes);
        assert_eq!(placed[1].sha256, run_store::hash::bytes(&train));
        assert_eq!((placed[0].bytes, placed[0].sha256.clone()), (3, run_store::hash::bytes(b"dev")));
        assert_eq!(place.placed(), ["dev.tsv", "train.tsv"]);
        assert_eq!(std::fs::read(&wanted[0].to).unwrap(), train);
    }
}

#[test]
fn names_that_climb_out_write_nothing_anywhere() {
    let evil = ["../evil", "../../evil", "/evil", "CoLA/../../evil", "..\\evil", "C:\\evil"];
    for name in evil {
        let zip = zip_of(&[(name, b"evil"), ("CoLA/dev.tsv", b"dev")]);
        let tar = tar_of(&[(name, Regular, b"evil"), ("CoLA/dev.tsv", Regular, b"dev")]);
        for (kind, archive) in [(Zip, zip), (TarGz, tar)] {
            let place = Place::new();
            place.unpack(kind, &archive, &[place.wanted("CoLA/dev.tsv")], MAX_MEMBER_BYTES).unwrap();
            assert_eq!(place.placed(), ["dev.tsv"], "{name}");
        }
    }
}

#[test]
fn a_member_that_grows_beyond_the_limit_is_stopped_and_not_placed() {
    // Two megabytes of zeros are two kilobytes in the archive.
    let bomb = vec![0; 2_000_000];
    let zip = zip_of(&[("a/small", b"x"), ("a/bomb", &bomb)]);
    let tar = tar_of(&[("a/small", Regular, b"x"), ("a/bomb", Regular, &bomb)]);
    for (kind, archive) in [(Zip, zip), (TarGz, tar)] {
        assert!(archive.len() < 20_000);
        let place = Place::new();
        let wanted = [place.wanted("a/small"), place.wanted("a/bomb")];
        let message = place.unpack(kind, &archive, &wanted, 100_000).unwrap_err().to_string();
        assert!(message.contains("`a/bomb`") && message.contains("100000"), "{message}");
        assert_eq!(place.placed(), ["small"]);
    }
}

#[test]
fn an_archive_that_lies_about_a_size_is_found_out_while_unpacking() {
    let bomb = vec![0; 300_000];
    let mut zip = zip_of(&[("a", &bomb)]);
    // The sizes stand in the local header and in the central directory; both are made to say 5.
    let size = 300_000_u32.to_le_bytes();
    while let Some(at) = zip.windows(4).position(|window| window == size) {
        zip[at..at + 4].copy_from_slice(&5_u32.to_le_bytes());
    }
    let place = Place::new();
    let message = place.unpack(Zip, &zip, &[place.wanted("a")], 1000).unwrap_err().to_string();
    assert!(message.contains("`a`"), "{message}");
    assert_eq!(place.placed(), Vec::<String>::new());
}

#[test]
fn a_member_with_another_checksum_or_size_is_not_placed() {
    for (bytes, sha256, what) in
        [(None, Some("0".repeat(64)), "instead of 0000"), (Some(4), None, "has 3 bytes instead of 4")]
    {
        let place = Place::new();
        let wanted = MemberRequest { bytes, sha256, ..place.wanted("CoLA/dev.tsv") };
        // A file that is there already survives.
        std::fs::create_dir_all(place.root().join("out")).unwrap();
        std::fs::write(&wanted.to, "old").unwrap();
        let archive = zip_of(&[("CoLA/dev.tsv", b"new")]);
        let message = place.unpack(Zip, &archive, std::slice::from_ref(&wanted), 1000).unwrap_err().to_string();
        assert!(message.contains(what) && message.contains("`CoLA/dev.tsv`"), "{message}");
        assert_eq!(std::fs::read(&wanted.to).unwrap(), b"old");
    }
}

#[test]
fn a_link_or_a_folder_under_a_wanted_name_is_refused() {
    let place = Place::new();
    let archive = tar_of(&[("a/dev.tsv", Symlink, b"")]);
    let message = place.unpack(TarGz, &archive, &[place.wanted("a/dev.tsv")], 1000).unwrap_err().to_string();
    assert!(message.contains("`a/dev.tsv` is no plain file"), "{message}");

    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.add_symlink("a/dev.tsv", "../../elsewhere", SimpleFileOptions::default()).unwrap();
    let archive = writer.finish().unwrap().into_inner();
    let message = place.unpack(Zip, &archive, &[place.wanted("a/dev.tsv")], 1000).unwrap_err().to_string();
    assert!(message.contains("`a/dev.tsv` is no plain file"), "{message}");
    assert_eq!(place.placed(), Vec::<String>::new());
}

#[test]
fn a_tar_that_holds_a_member_twice_is_refused() {
    let place = Place::new();
    let archive = tar_of(&[("a/dev.tsv", Regular, b"one"), ("a/dev.tsv", Regular, b"two")]);
    let message = place.unpack(TarGz, &archive, &[place.wanted("a/dev.tsv")], 1000).unwrap_err().to_string();
    assert!(message.contains("is in it twice"), "{message}");
    assert_eq!(std::fs::read(place.root().join("out/dev.tsv")).unwrap(), b"one");
}

#[test]
fn a_member_that_is_missing_is_named_with_what_is_there() {
    for (kind, archive) in
        [(Zip, zip_of(&[("CoLA/train.csv", b"x")])), (TarGz, tar_of(&[("CoLA/train.csv", Regular, b"x")]))]
    {
        let place = Place::new();
        let message = place.unpack(kind, &archive, &[place.wanted("CoLA/train.tsv")], 1000).unwrap_err().to_string();
        assert!(message.contains("no `CoLA/train.tsv`") && message.contains("1 entries: CoLA/train.csv"), "{message}");
    }
}

#[test]
fn an_archive_that_is_cut_short_places_no_half_file() {
    let body = content(300_000);
    let (zip, tar) = (zip_of(&[("a/x", &body)]), tar_of(&[("a/x", Regular, &body)]));
    for (kind, archive) in [(Zip, zip), (TarGz, tar)] {
        for keep in [0, 1, 100, archive.len() / 2, archive.len() - 1] {
            let place = Place::new();
            // The last byte of a gzip file is part of a length that says nothing of the content, so then it may succeed.
            match place.unpack(kind, &archive[..keep], &[place.wanted("a/x")], 1_000_000) {
                Ok(_) => assert_eq!(std::fs::read(place.root().join("out/x")).unwrap(), body),
                Err(e) => {
                    assert!(matches!(e, Error::Archive { .. }), "{e}");
                    assert_eq!(place.placed(), Vec::<String>::new(), "{kind:?} cut at {keep}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_archive_gives_the_right_file_or_an_error(at in 0.0..1.0_f64, value in any::<u8>(), is_zip in any::<bool>()) {
        let body = content(3000);
        let (kind, mut archive) = if is_zip {
            (Zip, zip_of(&[("a/x", &body), ("a/y", b"y")]))
        } else {
            (TarGz, tar_of(&[("a/x", Regular, &body), ("a/y", Regular, b"y")]))
        };
        let at = (at * archive.len() as f64) as usize;
        archive[at] = value;
        let place = Place::new();
        let wanted = MemberRequest { sha256: Some(run_store::hash::bytes(&body)), ..place.wanted("a/x") };
        if place.unpack(kind, &archive, std::slice::from_ref(&wanted), 10_000).is_ok() {
            prop_assert_eq!(std::fs::read(&wanted.to).unwrap(), body);
        } else {
            // Whatever came before the fault is whole.
            prop_assert!(!wanted.to.exists() || std::fs::read(&wanted.to).unwrap() == body);
        }
    }
}

#[test]
fn the_splits_of_mrpc_are_made_byte_for_byte() {
    let Some(mrpc) = common::shared("data/glue/MRPC") else { return };
    let dir = tempfile::tempdir().unwrap();
    for (recipe, name) in
        [(data_catalog::manifest::Recipe::MrpcTrain, "train.tsv"), (data_catalog::manifest::Recipe::MrpcDev, "dev.tsv")]
    {
        let to = dir.path().join(name);
        unpack::build(recipe, &mrpc, &to, None, None).unwrap();
        assert!(std::fs::read(&to).unwrap() == std::fs::read(mrpc.join(name)).unwrap(), "{name} differs");
    }
}

#[test]
fn a_damaged_original_of_mrpc_is_an_error_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let build = |recipe| unpack::build(recipe, dir.path(), &dir.path().join("out.tsv"), None, None);
    use data_catalog::manifest::Recipe::{MrpcDev, MrpcTest, MrpcTrain};
    let header = "\u{feff}Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n";
    write("dev_ids.tsv", "1\t2\n");
    write("msr_paraphrase_train.txt", &format!("{header}1\t1\t2\ta\tb\n0\t3\t4\tc\td\n"));
    write("msr_paraphrase_test.txt", &format!("{header}1\t5\t6\te\tf\n"));
    let text = |recipe| {
        build(recipe).unwrap();
        std::fs::read_to_string(dir.path().join("out.tsv")).unwrap()
    };
    assert_eq!(text(MrpcDev), format!("{header}1\t1\t2\ta\tb\n"));
    assert_eq!(text(MrpcTrain), format!("{header}0\t3\t4\tc\td\n"));
    assert_eq!(text(MrpcTest), "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t5\t6\te\tf\n");
    write("msr_paraphrase_train.txt", &format!("{header}1\t1\t2\ta\tb\n0\t3\t4\tc\n"));
    let message = build(MrpcTrain).unwrap_err().to_string();
    assert!(message.contains("msr_paraphrase_train.txt:3: 4 tab-separated columns instead of 5"), "{message}");
    write("dev_ids.tsv", "1 2\n");
    let message = build(MrpcDev).unwrap_err().to_string();
    assert!(message.contains("dev_ids.tsv:1: two ids"), "{message}");
}
