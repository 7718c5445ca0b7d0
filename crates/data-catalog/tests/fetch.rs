//! Whole data sets, through a manifest of the test.

mod common;

use std::io::{Cursor, Write};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use common::{Reply, Server, client, content, files_below};
use data_catalog::Error;
use data_catalog::fetch::{Fetcher, How, Options, SetOutcome};
use data_catalog::layout::DataFolder;
use data_catalog::list::{Presence, list};
use data_catalog::manifest::Catalog;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

const TRAIN: &[u8] = b"sentence\tlabel\ngood\t1\nbad\t0\n";

fn zip_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn archive() -> Vec<u8> {
    zip_of(&[("SST-2/train.tsv", TRAIN), ("SST-2/original/x", b"x"), ("SST-2/dev.tsv", TRAIN)])
}

/// A task in a zip file, a plain file without a checksum, and a set that nobody distributes.
fn catalog(server: &Server) -> Catalog {
    let archive = archive();
    let text = format!(
        r#"
version = 1
[[set]]
id = "sst-2"
group = "glue"
title = "A task"
folder = "glue/SST-2"
task = "sst-2"
license = "none"
home = "https://example.org"
[[set.source]]
name = "SST-2.zip"
archive = "zip"
urls = ["{zip}"]
bytes = {bytes}
sha256 = "{sha256}"
[[set.file]]
path = "train.tsv"
source = "SST-2.zip"
member = "SST-2/train.tsv"
split = "train"
rows = 2
[[set.file]]
path = "dev.tsv"
source = "SST-2.zip"
member = "SST-2/dev.tsv"
split = "dev"
rows = 2

[[set]]
id = "notes"
group = "extra"
title = "A text"
folder = "notes"
format = "lines"
license = "none"
home = "https://example.org"
[[set.source]]
name = "notes.txt"
urls = ["{text}"]
[[set.file]]
path = "notes.txt"
source = "notes.txt"

[[set]]
id = "books"
group = "extra"
title = "Books"
folder = "books"
license = "none"
home = "https://example.org"
unavailable = "its makers keep it to themselves; write your own"
"#,
        zip = server.url("SST-2.zip"),
        bytes = archive.len(),
        sha256 = run_store::hash::bytes(&archive),
        text = server.url("notes.txt"),
    );
    Catalog::parse(&text, Path::new("test.toml")).unwrap_or_else(|e| panic!("{e}"))
}

fn serve() -> Server {
    Server::start(|_, request| match request.path.as_str() {
        "/SST-2.zip" => Reply::ranged(request, &archive()),
        "/notes.txt" => Reply::ranged(request, b"a note\n"),
        _ => Reply::status(404),
    })
}

fn fetch(catalog: &Catalog, root: &Path, id: &str, options: &Options) -> Result<SetOutcome, Error> {
    let (folder, client, stop) = (DataFolder::new(root), client(), AtomicBool::new(false));
    let fetcher = Fetcher { folder: &folder, client: &client, options, stop: &stop };
    fetcher.fetch(catalog.get(id).unwrap(), &mut |_| {})
}

fn hows(outcome: &SetOutcome) -> Vec<(How, bool)> {
    outcome.files.iter().map(|file| (file.how, file.verified)).collect()
}

#[test]
fn a_task_is_unpacked_into_its_folder_and_the_archive_goes() {
    let server = serve();
    let catalog = catalog(&server);
    let dir = tempfile::tempdir().unwrap();
    let outcome = fetch(&catalog, dir.path(), "sst-2", &Options::default()).unwrap();
    assert_eq!(hows(&outcome), [(How::Unpacked, true), (How::Unpacked, true)]);
    assert_eq!(outcome.files[0].sha256.as_deref(), Some(run_store::hash::bytes(TRAIN).as_str()));
    assert_eq!(files_below(dir.path()), [".data/receipts/sst-2.json", "glue/SST-2/dev.tsv", "glue/SST-2/train.tsv"]);
    assert_eq!(std::fs::read(dir.path().join("glue/SST-2/train.tsv")).unwrap(), TRAIN);

    let again = fetch(&catalog, dir.path(), "sst-2", &Options::default()).unwrap();
    assert_eq!(hows(&again), [(How::Present, true), (How::Present, true)]);
    assert_eq!(server.requests().len(), 1, "what is here was fetched again");
}

#[test]
fn only_what_is_missing_is_put_in_place_again() {
    let server = serve();
    let catalog = catalog(&server);
    let dir = tempfile::tempdir().unwrap();
    let options = Options { keep_archives: true, ..Options::default() };
    fetch(&catalog, dir.path(), "sst-2", &options).unwrap();
    assert!(files_below(dir.path()).contains(&".data/parts/sst-2/SST-2.zip".to_owned()));
    std::fs::remove_file(dir.path().join("glue/SST-2/dev.tsv")).unwrap();
    let outcome = fetch(&catalog, dir.path(), "sst-2", &Options::default()).unwrap();
    assert_eq!(hows(&outcome), [(How::Present, true), (How::Unpacked, true)]);
    // The kept archive was used, and then went.
    assert_eq!(server.requests().len(), 1);
    assert!(!files_below(dir.path()).iter().any(|path| path.contains("parts")));
}

#[test]
fn a_file_of_another_content_is_left_alone_unless_force_is_given() {
    let server = serve();
    let catalog = catalog(&server);
    let dir = tempfile::tempdir().unwrap();
    fetch(&catalog, dir.path(), "sst-2", &Options::default()).unwrap();
    let train = dir.path().join("glue/SST-2/train.tsv");
    std::fs::write(&train, "my own").unwrap();
    let message = fetch(&catalog, dir.path(), "sst-2", &Options::default()).unwrap_err().to_string();
    assert!(message.contains("train.tsv: the file there has 6 bytes instead of 28"), "{message}");
    assert!(message.contains("it was left alone") && message.contains("--force"), "{message}");
    assert_eq!(std::fs::read(&train).unwrap(), b"my own");
    assert_eq!(server.requests().len(), 1, "something was downloaded for nothing");

    let outcome = fetch(&catalog, dir.path(), "sst-2", &Options { force: true, ..Options::default() }).unwrap();
    assert_eq!(hows(&outcome), [(How::Unpacked, true), (How::Present, true)]);
    assert_eq!(std::fs::read(&train).unwrap(), TRAIN);
}

#[test]
fn without_a_checksum_the_first_one_is_remembered_and_later_ones_are_held_to_it() {
    let server = Server::start(|number, request| {
        Reply::ranged(request, if number == 0 { b"the first text\n" } else { b"another text!!\n" })
    });
    let catalog = catalog(&server);
    let dir = tempfile::tempdir().unwrap();
    let first = fetch(&catalog, dir.path(), "notes", &Options::default()).unwrap();
    assert_eq!(hows(&first), [(How::Fetched, false)]);
    let sha256 = run_store::hash::bytes(b"the first text\n");
    assert_eq!(first.files[0].sha256.as_deref(), Some(sha256.as_str()));

    std::fs::remove_file(dir.path().join("notes/notes.txt")).unwrap();
    let message = fetch(&catalog, dir.path(), "notes", &Options::default()).unwrap_err().to_string();
    assert!(message.contains(&format!("but had {sha256}")) && message.contains("--force"), "{message}");
    assert!(!dir.path().join("notes/notes.txt").exists());
    fetch(&catalog, dir.path(), "notes", &Options { force: true, ..Options::default() }).unwrap();
    assert_eq!(std::fs::read(dir.path().join("notes/notes.txt")).unwrap(), b"another text!!\n");
}

#[test]
fn a_folder_with_files_fetched_elsewhere_serves_where_there_is_no_network() {
    let server = Server::start(|_, _| Reply::status(500));
    let catalog = catalog(&server);
    let (dir, by_hand) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(by_hand.path().join("SST-2.zip"), archive()).unwrap();
    std::fs::create_dir(by_hand.path().join("notes")).unwrap();
    std::fs::write(by_hand.path().join("notes/notes.txt"), "a note\n").unwrap();
    let options = Options { from: Some(by_hand.path().to_owned()), ..Options::default() };
    let outcome = fetch(&catalog, dir.path(), "sst-2", &options).unwrap();
    assert_eq!(hows(&outcome), [(How::Unpacked, true), (How::Unpacked, true)]);
    let outcome = fetch(&catalog, dir.path(), "notes", &options).unwrap();
    assert_eq!(hows(&outcome), [(How::Fetched, false)]);
    assert!(server.requests().is_empty());
    // What belongs to the user stays.
    assert_eq!(files_below(by_hand.path()), ["SST-2.zip", "notes/notes.txt"]);

    std::fs::write(by_hand.path().join("SST-2.zip"), content(10)).unwrap();
    std::fs::remove_dir_all(dir.path().join("glue")).unwrap();
    let message = fetch(&catalog, dir.path(), "sst-2", &options).unwrap_err().to_string();
    assert!(message.contains("it has 10 bytes, but `SST-2.zip` has"), "{message}");
    assert!(!dir.path().join("glue").exists());
}

#[test]
fn an_archive_that_lacks_a_file_places_nothing_of_it() {
    let server = Server::start(|_, request| Reply::ranged(request, &zip_of(&[("SST-2/train.tsv", TRAIN)])));
    let mut catalog = catalog(&server);
    (catalog.sets[0].sources[0].sha256, catalog.sets[0].sources[0].bytes) = (None, None);
    let dir = tempfile::tempdir().unwrap();
    let message = fetch(&catalog, dir.path(), "sst-2", &Options::default()).unwrap_err().to_string();
    assert!(message.contains("no `SST-2/dev.tsv`; it holds 1 entries: SST-2/train.tsv"), "{message}");
    assert_eq!(files_below(dir.path()), Vec::<String>::new());
}

#[test]
fn one_set_that_fails_does_not_keep_the_others_from_being_fetched() {
    let server = serve();
    let catalog = catalog(&server);
    let dir = tempfile::tempdir().unwrap();
    let (folder, client, stop) = (DataFolder::new(dir.path()), client(), AtomicBool::new(false));
    let options = Options::default();
    let fetcher = Fetcher { folder: &folder, client: &client, options: &options, stop: &stop };
    let sets = [catalog.get("books").unwrap(), catalog.get("notes").unwrap()];
    let outcomes = fetcher.fetch_all(&sets, &mut |_| {});
    let message = outcomes[0].1.as_ref().unwrap_err().to_string();
    assert_eq!(message, "`books` cannot be fetched: its makers keep it to themselves; write your own");
    assert!(outcomes[1].1.is_ok());

    // A disk that refuses would refuse the next one too.
    std::fs::write(dir.path().join("glue"), "no folder").unwrap();
    let outcomes = fetcher.fetch_all(&[catalog.get("sst-2").unwrap(), catalog.get("notes").unwrap()], &mut |_| {});
    assert_eq!(outcomes.len(), 1);
    assert!(outcomes[0].1.as_ref().unwrap_err().to_string().contains("glue"), "{:?}", outcomes[0].1);
}

#[test]
fn a_list_says_what_is_here_what_is_not_and_what_else_lies_there() {
    let server = serve();
    let catalog = catalog(&server);
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::new(dir.path());
    let presence = || list(&catalog, &folder).unwrap().iter().map(|set| set.presence).collect::<Vec<_>>();
    assert_eq!(presence(), [Presence::Absent, Presence::Absent, Presence::Unavailable]);
    fetch(&catalog, dir.path(), "sst-2", &Options::default()).unwrap();
    fetch(&catalog, dir.path(), "notes", &Options::default()).unwrap();
    assert_eq!(presence(), [Presence::Complete, Presence::Complete, Presence::Unavailable]);
    std::fs::remove_file(dir.path().join("glue/SST-2/dev.tsv")).unwrap();
    std::fs::write(dir.path().join("glue/SST-2/train.subset.tsv"), "x").unwrap();
    std::fs::write(dir.path().join("notes/notes.txt"), "cut").unwrap();
    assert_eq!(presence(), [Presence::Partial, Presence::Absent, Presence::Unavailable]);
    let states = list(&catalog, &folder).unwrap();
    assert_eq!(states[0].others, ["train.subset.tsv"]);
    assert_eq!(states[1].files[0].differs.as_deref(), Some("the file there has 3 bytes instead of 7"));
    assert_eq!(states[2].note.as_deref(), Some("its makers keep it to themselves; write your own"));
}

#[test]
fn mrpc_is_made_from_the_real_original_files() {
    let Some(mrpc) = common::shared("data/glue/MRPC") else { return };
    let catalog = Catalog::builtin().unwrap();
    let by_hand = tempfile::tempdir().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut set = catalog.get("mrpc").unwrap().clone();
    // The original of the test part is not among the real files here.
    set.sources.retain(|source| source.name != "msr_paraphrase_test.txt");
    set.files.retain(|file| !matches!(file.path.as_str(), "msr_paraphrase_test.txt" | "test.tsv"));
    for (from, to) in [("msr_paraphrase_train.txt", "msr_paraphrase_train.txt"), ("dev_ids.tsv", "mrpc_dev_ids.tsv")] {
        std::fs::copy(mrpc.join(from), by_hand.path().join(to)).unwrap();
    }
    let (folder, client, stop) = (DataFolder::new(dir.path()), client(), AtomicBool::new(false));
    let options = Options { from: Some(by_hand.path().to_owned()), ..Options::default() };
    let fetcher = Fetcher { folder: &folder, client: &client, options: &options, stop: &stop };
    let outcome = fetcher.fetch(&set, &mut |_| {}).unwrap();
    let made: Vec<_> = outcome.files.iter().filter(|file| file.how == How::Built).collect();
    assert_eq!(made.len(), 2);
    for file in made {
        // The manifest's own checksums of the splits, from copies of the official ones, have been met.
        assert!(file.verified && set.files.iter().any(|f| f.sha256 == file.sha256), "{file:?}");
    }
}
