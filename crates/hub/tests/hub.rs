//! Models and files of a hub on this machine.

mod common;

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use common::{COMMIT, FakeHub, Files, Reply, etag, files, free_port};
use data_catalog::net::Network;
use hub::{Error, Event, Found, Hub, RepoFile, RepoId, Settings};

static NEVER: AtomicBool = AtomicBool::new(false);
const OTHER_COMMIT: &str = "89abcdef0123456789abcdef0123456789abcdef";

/// Weights that do not repeat in a short period.
fn weights() -> Vec<u8> {
    (0..200_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// A model with all that a repository has besides.
fn tiny() -> Files {
    files(&[
        ("config.json", b"{}"),
        ("tokenizer.json", b"{\"a\": 1}"),
        ("vocab.txt", b"[PAD]\n"),
        ("model.safetensors", &weights()),
        ("pytorch_model.bin", b"the same weights"),
        ("tf_model.h5", b"and again"),
        ("modeling_tiny.py", b"print()"),
        ("onnx/model.onnx", b"once more"),
        ("README.md", b"# tiny"),
    ])
}

fn settings(cache: &Path, endpoint: &str) -> Settings {
    let network = Network {
        connect_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(5),
        first_wait: Duration::from_millis(2),
        longest_wait: Duration::from_millis(10),
        ..Network::default()
    };
    Settings { endpoint: endpoint.to_owned(), network, ..Settings::new(cache) }
}

fn model(settings: Settings, id: &str) -> Result<Found, Error> {
    Hub::new(settings)?.model(&RepoId::model(id)?, &NEVER, &mut |_| {})
}

fn below(folder: &Path) -> Vec<String> {
    let (mut found, mut open) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => open.push(entry.path()),
                false => found.push(entry.path().strip_prefix(folder).unwrap().to_string_lossy().replace('\\', "/")),
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_model_stands_in_the_cache_as_pythons_library_keeps_it_and_is_downloaded_once() {
    let (dir, fake) = (tempfile::tempdir().unwrap(), FakeHub::start("org/tiny", tiny()));
    let mut told = Vec::new();
    let hub = Hub::new(settings(dir.path(), &fake.endpoint())).unwrap();
    let id = RepoId::model("org/tiny").unwrap();
    let found = hub
        .model(&id, &NEVER, &mut |event| {
            if let Event::Fetched { name, verified, .. } = event {
                told.push(((*name).to_owned(), *verified));
            }
        })
        .unwrap();
    let repo = dir.path().join("models--org--tiny");
    assert_eq!(found, Found { path: repo.join("snapshots").join(COMMIT), commit: COMMIT.into(), unasked: None });
    let names = ["config.json", "tokenizer.json", "vocab.txt", "model.safetensors"];
    assert_eq!(told, names.map(|name| (name.to_owned(), name.ends_with("safetensors"))));
    let mut wanted: Vec<String> = names.iter().map(|name| format!("snapshots/{COMMIT}/{name}")).collect();
    wanted.extend(names.iter().map(|name| format!("blobs/{}", etag(name, &tiny()[*name]))));
    wanted.push("refs/main".into());
    wanted.sort();
    assert_eq!(below(&repo), wanted, "no code, no other formats, nothing half-written");
    assert_eq!(std::fs::read_to_string(repo.join("refs/main")).unwrap(), COMMIT);
    assert_eq!(std::fs::read(found.path.join("model.safetensors")).unwrap(), weights());
    #[cfg(unix)]
    assert_eq!(
        std::fs::read_link(found.path.join("config.json")).unwrap(),
        Path::new("../../blobs").join(etag("config.json", b"{}"))
    );

    let before = fake.asked().len();
    assert_eq!(hub.model(&id, &NEVER, &mut |_| {}).unwrap(), found);
    assert_eq!(fake.asked()[before..], ["/api/models/org/tiny/revision/main"], "only whether there is a newer one");
}

#[test]
fn what_is_here_is_used_without_a_network() {
    let (dir, fake) = (tempfile::tempdir().unwrap(), FakeHub::start("org/tiny", tiny()));
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let missing = model(settings(dir.path(), &nobody), "org/tiny").unwrap_err();
    assert!(matches!(missing, Error::Unreachable { .. }), "{missing}");
    let found = model(settings(dir.path(), &fake.endpoint()), "org/tiny").unwrap();

    let again = model(settings(dir.path(), &nobody), "org/tiny").unwrap();
    assert_eq!(again.path, found.path);
    assert!(again.unasked.unwrap().contains("127.0.0.1"));
    let before = fake.asked().len();
    let exact = model(settings(dir.path(), &fake.endpoint()), &format!("org/tiny@{COMMIT}")).unwrap();
    assert_eq!((exact, fake.asked().len()), (found.clone(), before), "a commit does not change");
    let offline = Settings { offline: true, ..settings(dir.path(), &fake.endpoint()) };
    assert_eq!(model(offline.clone(), "org/tiny").unwrap(), found);
    let error = model(offline.clone(), "org/other").unwrap_err().to_string();
    assert!(error.starts_with("offline, and") && error.contains("`org/other`"), "{error}");
    // What another program has fetched in part is no model.
    std::fs::remove_file(found.path.join("model.safetensors")).unwrap();
    assert!(matches!(model(offline, "org/tiny").unwrap_err(), Error::Offline { .. }));
}

#[test]
fn a_new_commit_brings_what_has_changed_alone() {
    let (dir, fake) = (tempfile::tempdir().unwrap(), FakeHub::start("org/tiny", tiny()));
    let first = model(settings(dir.path(), &fake.endpoint()), "org/tiny").unwrap();
    {
        let mut state = fake.state.lock().unwrap();
        state.0 = OTHER_COMMIT.into();
        state.1.insert("config.json".into(), b"{\"new\": 1}".to_vec());
    }
    let downloads = fake.store.requests().len();
    let second = model(settings(dir.path(), &fake.endpoint()), "org/tiny").unwrap();
    assert_eq!(second.commit, OTHER_COMMIT);
    assert_eq!(std::fs::read(second.path.join("config.json")).unwrap(), b"{\"new\": 1}");
    assert_eq!(std::fs::read(first.path.join("config.json")).unwrap(), b"{}", "the old commit is still there");
    assert_eq!(fake.store.requests().len(), downloads, "the weights are the same");
    assert_eq!(std::fs::read(second.path.join("model.safetensors")).unwrap(), weights());
}

#[test]
fn a_cut_connection_is_continued_also_by_the_next_process() {
    let fake = FakeHub::with_store("org/tiny", tiny(), |n, request, bytes| match n {
        0 => Reply::ranged(request, bytes).dropped_after(70_000),
        1 => Reply::ranged(request, bytes).dropped_after(50_000),
        _ => Reply::ranged(request, bytes),
    });
    let dir = tempfile::tempdir().unwrap();
    let mut impatient = settings(dir.path(), &fake.endpoint());
    impatient.network.attempts = 1;
    let error = model(impatient, "org/tiny").unwrap_err();
    assert!(matches!(error, Error::Unreachable { kept: 70_000, .. }), "{error}");
    let repo = dir.path().join("models--org--tiny");
    assert!(!repo.join("refs").exists() && !repo.join("snapshots").join(COMMIT).join("model.safetensors").exists());
    let found = model(settings(dir.path(), &fake.endpoint()), "org/tiny").unwrap();
    assert_eq!(std::fs::read(found.path.join("model.safetensors")).unwrap(), weights());
    let from: Vec<Option<usize>> = fake.store.requests().iter().map(common::Request::from).collect();
    assert_eq!(from, [None, Some(70_000), Some(120_000)]);
}

#[test]
fn content_with_another_checksum_or_size_is_not_placed() {
    let other: Vec<u8> = weights().into_iter().rev().collect();
    for (sent, part) in [(other, "SHA-256"), (weights()[..1000].to_vec(), "1000 bytes")] {
        let fake = FakeHub::with_store("org/tiny", tiny(), move |_, request, _| Reply::ranged(request, &sent));
        let dir = tempfile::tempdir().unwrap();
        let error = model(settings(dir.path(), &fake.endpoint()), "org/tiny").unwrap_err();
        assert!(matches!(error, Error::Answer { .. }) && error.to_string().contains(part), "{error}");
        let left = below(dir.path());
        assert!(!left.iter().any(|name| name.ends_with("safetensors") || name.contains("refs")), "{left:?}");
    }
}

#[test]
fn the_token_goes_to_the_hub_and_not_where_its_redirects_lead() {
    let (dir, fake) = (tempfile::tempdir().unwrap(), FakeHub::start("org/tiny", tiny()));
    let settings = Settings { token: Some("hf_secret".into()), ..settings(dir.path(), &fake.endpoint()) };
    model(settings, "org/tiny").unwrap();
    let token = |request: &common::Request| request.headers.get("authorization").cloned();
    assert!(fake.hub.requests().iter().all(|request| token(request).as_deref() == Some("Bearer hf_secret")));
    assert_eq!(fake.store.requests().iter().filter_map(token).next(), None);
    assert!(!fake.store.requests().is_empty());
}

#[test]
fn refusals_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let fake = FakeHub::start("org/tiny", tiny());
    let with =
        |token: Option<&str>| Settings { token: token.map(str::to_owned), ..settings(dir.path(), &fake.endpoint()) };
    for token in [None, Some("hf_x")] {
        let error = model(with(token), "org/tinny").unwrap_err();
        assert!(matches!(&error, Error::NoRepository { token: sent, .. } if *sent == token.is_some()), "{error}");
        assert!(error.to_string().contains("no model `org/tinny`"), "{error}");
    }
    let error = model(with(None), "org/tiny@v9").unwrap_err();
    assert!(matches!(&error, Error::NoRevision { revision, .. } if revision == "v9"), "{error}");
    assert!(model(with(None), "org/tiny@refs/pr/1").is_ok());
    assert!(dir.path().join("models--org--tiny/refs/refs/pr/1").is_file());
    for (status, code, is_right) in [
        (403, "GatedRepo", (|e| matches!(e, Error::Gated { .. })) as fn(&Error) -> bool),
        (401, "GatedRepo", |e| matches!(e, Error::Gated { .. })),
        (401, "", |e| matches!(e, Error::Token { status: 401, .. })),
        (503, "", |e| matches!(e, Error::Unreachable { .. })),
    ] {
        let refuse = move |_: &common::Request| Some(Reply::status(status).header("X-Error-Code", code));
        let fake = FakeHub::with("org/tiny", tiny(), |_, _, _| Reply::status(500), refuse);
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { token: Some("hf_x".into()), ..settings(dir.path(), &fake.endpoint()) };
        let error = model(settings, "org/tiny").unwrap_err();
        assert!(is_right(&error), "{status} {code}: {error}");
        assert_eq!(below(dir.path()), [""; 0]);
    }
    let empty = FakeHub::start("org/tiny", files(&[("config.json", b"{}"), ("model.onnx", b"x")]));
    let error = model(settings(dir.path(), &empty.endpoint()), "org/tiny").unwrap_err().to_string();
    assert!(error.contains("no weights") && error.contains("pytorch_model.bin"), "{error}");
}

#[test]
fn names_that_lead_out_of_the_cache_are_refused() {
    let index = |shard: &str| format!(r#"{{"weight_map": {{"a": "{shard}"}}}}"#).into_bytes();
    let config: (&str, &[u8]) = ("config.json", b"{}");
    let listed = FakeHub::start("org/tiny", files(&[config, ("../../evil.json", b"x"), ("model.safetensors", b"x")]));
    let bad = index("../../../evil.safetensors");
    let sharded = FakeHub::start("org/tiny", files(&[config, ("model.safetensors.index.json", &bad)]));
    let tagged = FakeHub::with(
        "org/tiny",
        tiny(),
        |_, request, bytes| Reply::ranged(request, bytes),
        |request| {
            let head = Reply::whole(b"{}").header("ETag", "\"../../../evil\"").header("X-Repo-Commit", COMMIT);
            request.path.contains("/resolve/").then_some(head)
        },
    );
    let moved = FakeHub::with(
        "org/tiny",
        tiny(),
        |_, request, bytes| Reply::ranged(request, bytes),
        |request| request.path.contains("/api/").then(|| Reply::whole(br#"{"sha": "../../evil", "siblings": []}"#)),
    );
    for (fake, part) in [(listed, "../../evil.json"), (sharded, "evil.safetensors"), (tagged, "evil"), (moved, "evil")]
    {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("a/b/cache");
        let error = model(settings(&cache, &fake.endpoint()), "org/tiny").unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
        let found = below(dir.path());
        assert!(found.iter().all(|name| name.starts_with("a/b/cache/models--org--tiny/")), "{found:?}");
        assert!(!found.iter().any(|name| name.contains("evil") || name.contains("refs")), "{found:?}");
    }
}

#[test]
fn weights_in_several_files_come_by_their_index() {
    let index = br#"{"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}"#;
    let given = files(&[
        ("config.json", b"{}"),
        ("model.safetensors.index.json", index),
        ("model-1-of-2.safetensors", b"one"),
        ("model-2-of-2.safetensors", b"two"),
        ("pytorch_model.bin", b"old"),
    ]);
    let (dir, fake) = (tempfile::tempdir().unwrap(), FakeHub::start("org/tiny", given));
    let found = model(settings(dir.path(), &fake.endpoint()), "org/tiny").unwrap();
    let names = ["config.json", "model-1-of-2.safetensors", "model-2-of-2.safetensors", "model.safetensors.index.json"];
    assert_eq!(below(&found.path), names);
    let offline = Settings { offline: true, ..settings(dir.path(), &fake.endpoint()) };
    assert!(model(offline.clone(), "org/tiny").is_ok());
    std::fs::remove_file(found.path.join(names[2])).unwrap();
    assert!(model(offline, "org/tiny").is_err(), "a part is missing");
}

#[test]
fn a_file_of_a_data_set_comes_alone_and_in_its_folder() {
    let given = files(&[("data/train.csv", b"text,label\na,b\n"), ("data/other.csv", b"x")]);
    let (dir, fake) = (tempfile::tempdir().unwrap(), FakeHub::start("datasets/org/reviews", given));
    let get = |settings: Settings, name: &str| Hub::new(settings)?.file(&RepoFile::parse(name)?, &NEVER, &mut |_| {});
    let found = get(settings(dir.path(), &fake.endpoint()), "datasets/org/reviews/data/train.csv").unwrap();
    let repo = dir.path().join("datasets--org--reviews");
    assert_eq!(found.path, repo.join("snapshots").join(COMMIT).join("data/train.csv"));
    assert_eq!(std::fs::read(&found.path).unwrap(), b"text,label\na,b\n");
    assert_eq!(below(&repo.join("snapshots")).len(), 1);
    let offline = Settings { offline: true, ..settings(dir.path(), &fake.endpoint()) };
    assert_eq!(get(offline.clone(), "hf:datasets/org/reviews@main/data/train.csv").unwrap(), found);
    assert!(matches!(get(offline, "datasets/org/reviews/data/other.csv").unwrap_err(), Error::Offline { .. }));
    let error = get(settings(dir.path(), &fake.endpoint()), "datasets/org/reviews/data/dev.csv").unwrap_err();
    assert!(matches!(&error, Error::NoFile { file, .. } if file == "data/dev.csv"), "{error}");
}

#[test]
fn a_request_to_stop_leaves_nothing_under_a_final_name() {
    let (dir, fake) = (tempfile::tempdir().unwrap(), FakeHub::start("org/tiny", tiny()));
    let stop = AtomicBool::new(false);
    let hub = Hub::new(settings(dir.path(), &fake.endpoint())).unwrap();
    let id = RepoId::model("org/tiny").unwrap();
    let error = hub
        .model(&id, &stop, &mut |event| {
            if let Event::Progress { name: "model.safetensors", .. } = event {
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        })
        .unwrap_err();
    assert!(matches!(&error, Error::Stopped { file, kept, .. } if file == "model.safetensors" && *kept > 0), "{error}");
    let left = below(dir.path());
    let whole = etag("model.safetensors", &weights());
    assert!(!left.iter().any(|name| name.ends_with("model.safetensors") || name.ends_with(&whole)), "{left:?}");
    let found = hub.model(&id, &NEVER, &mut |_| {}).unwrap();
    assert_eq!(std::fs::read(found.path.join("model.safetensors")).unwrap(), weights());
    assert!(fake.store.requests().last().unwrap().from().is_some_and(|from| from > 0), "it continued");
}
