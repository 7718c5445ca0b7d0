//! The manifest of the project, and manifests that say what cannot be.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use data_catalog::Error;
use data_catalog::manifest::{ArchiveKind, Catalog, Format, Origin};
use proptest::prelude::*;

const SMALL: &str = r#"
version = 1
[[set]]
id = "one"
group = "glue"
title = "One"
folder = "glue/One"
task = "cola"
license = "none"
home = "https://example.org"
[[set.source]]
name = "one.zip"
archive = "zip"
urls = ["https://example.org/one.zip"]
[[set.file]]
path = "train.tsv"
source = "one.zip"
member = "One/train.tsv"
"#;

fn refused(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "`{from}` is not in the manifest");
    let error = Catalog::parse(&SMALL.replacen(from, to, 1), Path::new("m.toml")).expect_err("must be refused");
    let message = error.to_string();
    assert!(message.starts_with("m.toml"), "{message}");
    message
}

#[test]
fn the_manifest_of_the_project_holds_what_the_project_uses() {
    let catalog = Catalog::builtin().unwrap();
    let ids: Vec<&str> = catalog.sets.iter().map(|set| set.id.as_str()).collect();
    for id in ["cola", "sst-2", "mrpc", "sts-b", "qqp", "mnli", "qnli", "rte", "wnli", "ax", "squad-v1", "squad-v2"] {
        assert!(ids.contains(&id), "{id} is missing");
    }
    for id in ["wikitext-103-raw", "wikipedia-en", "bookscorpus", "bert-base-uncased", "minilm-l6-h384-uncased"] {
        assert!(ids.contains(&id), "{id} is missing");
    }
    assert_eq!(catalog.groups(), ["glue", "extra", "squad", "corpus", "model"]);
    assert_eq!(catalog.select(&["glue"]).unwrap().len(), 10);
    assert_eq!(catalog.get("wikipedia-en").unwrap().files.len(), 41);
    assert!(catalog.get("wikipedia-en").unwrap().sources[40].urls[0].ends_with("train-00040-of-00041.parquet"));
    assert!(catalog.get("bookscorpus").unwrap().unavailable.is_some());
}

#[test]
fn every_official_glue_archive_and_squad_file_has_a_checksum() {
    let catalog = Catalog::builtin().unwrap();
    for source in catalog.sets.iter().flat_map(|set| &set.sources) {
        assert!(source.urls.iter().all(|url| url.starts_with("https://")), "{:?}", source.urls);
    }
    for set in catalog.select(&["glue", "squad"]).unwrap() {
        for source in &set.sources {
            assert!(source.sha256.is_some() && source.bytes.is_some(), "{} of {}", source.name, set.id);
        }
        for file in set.files.iter().filter(|file| file.split.is_some()) {
            assert!(file.rows.is_some(), "{} of {} has no rows", file.path, set.id);
            let classes = file.classes.as_ref().map(|classes| classes.iter().sum::<u64>());
            assert!(classes.is_none() || classes == file.rows, "{} of {}: classes do not add up", file.path, set.id);
        }
    }
}

#[test]
fn the_page_for_newcomers_has_the_command_the_size_the_license_and_the_rows_of_every_set() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/data.md");
    let page = std::fs::read_to_string(page).unwrap();
    for set in Catalog::builtin().unwrap().sets.iter().filter(|set| set.unavailable.is_none()) {
        let command = format!("| `data fetch {}` |", set.id);
        let row = page.lines().find(|line| line.starts_with(&command)).unwrap_or_else(|| panic!("{command}"));
        let size = set.download_bytes().map_or_else(|| "not known".to_owned(), data_catalog::readable_bytes);
        for part in [size.as_str(), set.license.as_str()] {
            assert!(row.contains(part), "`{part}` is not in: {row}");
        }
        for file in set.files.iter().filter(|_| set.group == "glue") {
            let Some(rows) = file.rows else { continue };
            let rows = if rows < 1000 { rows.to_string() } else { format!("{},{:03}", rows / 1000, rows % 1000) };
            assert!(row.contains(&rows), "`{rows}` of {} is not in: {row}", file.path);
        }
    }
}

/// Two sources of the same numbers: the manifest, and the list of the files that are here.
#[test]
fn sizes_checksums_and_rows_equal_those_of_the_real_files() {
    let Some(index) = common::shared("data/INDEX.md") else { return };
    let text = std::fs::read_to_string(index).unwrap();
    let listed: BTreeMap<&str, (&str, &str, &str)> = text
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.trim_matches(['|', ' ']).split('|').map(str::trim).collect();
            (cells.len() > 3).then(|| (cells[0], (cells[1], cells[2], cells[3])))
        })
        .collect();
    let (mut rows_compared, mut checksums_compared) = (0, 0);
    for set in &Catalog::builtin().unwrap().sets {
        for file in &set.files {
            let path = format!("{}/{}", set.folder, file.path);
            let Some((rows, bytes, sha256)) = listed.get(path.as_str()) else { continue };
            if let (Some(expected), Ok(rows)) = (file.rows, rows.split(' ').next().unwrap().parse::<u64>()) {
                assert_eq!(rows, expected, "{path}");
                rows_compared += 1;
            }
            if let Some(expected) = &file.sha256 {
                assert_eq!((*bytes, *sha256), (file.bytes.unwrap().to_string().as_str(), expected.as_str()), "{path}");
                checksums_compared += 1;
            }
        }
    }
    println!("{rows_compared} row counts and {checksums_compared} checksums compared");
    assert!(rows_compared >= 25 && checksums_compared >= 20, "{rows_compared} {checksums_compared}");
}

#[test]
fn names_of_sets_and_groups_are_read_in_every_usual_spelling() {
    let catalog = Catalog::builtin().unwrap();
    let ids =
        |names: &[&str]| -> Vec<String> { catalog.select(names).unwrap().iter().map(|set| set.id.clone()).collect() };
    assert_eq!(ids(&["SST2", "sst_2", "RTE"]), ["sst-2", "rte"]);
    assert_eq!(ids(&["squad", "cola"]), ["cola", "squad-v1", "squad-v2"]);
    assert_eq!(ids(&["all"]).len(), catalog.sets.len());
    let message = catalog.select(&["imdb"]).unwrap_err().to_string();
    assert!(message.contains("no data set or group `imdb`") && message.contains("sst-2"), "{message}");
    assert!(message.contains("groups: glue, extra, squad, corpus, model, all"), "{message}");
}

#[test]
fn what_a_manifest_leaves_to_its_source_is_taken_from_there() {
    let catalog = Catalog::builtin().unwrap();
    let ax = catalog.get("ax").unwrap();
    assert_eq!(ax.files[0].sha256, ax.sources[0].sha256);
    assert_eq!((&ax.format, ax.files[0].bytes), (&Format::Glue("ax".to_owned()), Some(222_257)));
    let cola = catalog.get("cola").unwrap();
    assert_eq!(cola.sources[0].archive, Some(ArchiveKind::Zip));
    assert!(matches!(&cola.files[0].origin, Origin::Member { member, .. } if member == "CoLA/train.tsv"));
    assert_eq!(cola.download_bytes(), Some(376_971));
    assert_eq!(catalog.get("wikipedia-en").unwrap().download_bytes(), None);
}

#[test]
fn a_manifest_that_says_what_cannot_be_is_refused_with_the_set_and_the_reason() {
    for (from, to, reason) in [
        ("version = 1", "version = 2", "this program reads version 1"),
        ("version = 1", "", "version"),
        ("title =", "titel =", "titel"),
        ("\"glue/One\"", "\"../One\"", "folder `../One`"),
        ("\"glue/One\"", "\"/One\"", "a relative path"),
        ("\"glue/One\"", "\"glue/.One\"", "begin or end with a dot"),
        ("path = \"train.tsv\"", "path = \"a/../../b\"", "path `a/../../b`"),
        ("path = \"train.tsv\"", "path = \"C:\\\\b\"", "some systems do not allow"),
        ("name = \"one.zip\"", "name = \"a/one.zip\"", "a source is one file"),
        ("https://example.org/one.zip", "ftp://example.org/one.zip", "does not begin with https://"),
        ("urls = [\"https://example.org/one.zip\"]", "urls = []", "has no address"),
        ("archive = \"zip\"", "archive = \"rar\"", "rar"),
        ("archive = \"zip\"", "", "is no archive"),
        ("member = \"One/train.tsv\"", "", "name its `member`"),
        ("source = \"one.zip\"", "source = \"two.zip\"", "there is no source `two.zip`"),
        ("archive = \"zip\"", "archive = \"zip\"\nsha256 = \"abc\"", "64 lower-case hexadecimal digits"),
        ("archive = \"zip\"", "archive = \"zip\"\nparts = 3", "the name holds {part}"),
        ("member = \"One/train.tsv\"", "build = \"mrpc-train\"", "either `source` (and `member`) or `build`"),
        ("id = \"one\"", "id = \"all\"", "another set or group"),
        ("id = \"one\"", "id = \"glue\"", "a group has this name"),
        ("id = \"one\"", "id = \"One!\"", "lower-case letters"),
        ("task = \"cola\"", "task = \"cola\"\nformat = \"lines\"", "exclude each other"),
        ("task = \"cola\"", "unavailable = \"gone\"", "either files or the reason"),
    ] {
        let message = refused(from, to);
        assert!(message.contains(reason), "{to}: {message}");
    }
    let twice = format!("{SMALL}{}", SMALL.replace("version = 1", "").replace("id = \"one\"", "id = \"two\""));
    let message = Catalog::parse(&twice, Path::new("m.toml")).unwrap_err().to_string();
    assert!(message.contains("set `two`") && message.contains("is the place of another file"), "{message}");
}

#[test]
fn a_mistake_in_the_syntax_is_shown_with_its_line() {
    let error = Catalog::parse("version = 1\n[[set]\n", Path::new("m.toml")).unwrap_err();
    assert!(matches!(error, Error::Manifest { .. }) && error.to_string().contains("line 2"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_manifest_is_read_or_refused_and_never_leaves_its_folder(
        at in 0..SMALL.len(), text in "[a-z0-9./\\\\\"=\\[\\]{} \n]{0,6}", cut in 0_usize..4,
    ) {
        let end = (at + cut).min(SMALL.len());
        let mutated = format!("{}{text}{}", &SMALL[..at], &SMALL[end..]);
        if let Ok(catalog) = Catalog::parse(&mutated, Path::new("m.toml")) {
            for set in &catalog.sets {
                for file in &set.files {
                    let path = format!("{}/{}", set.folder, file.path);
                    prop_assert!(!path.starts_with('/') && !path.split('/').any(|part| part == ".." || part.is_empty()));
                }
            }
        }
    }
}
