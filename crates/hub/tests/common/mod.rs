//! A hub on this machine: its questions, its redirects to another server, and its refusals.
#![allow(dead_code, unused_imports)]

#[path = "../../../data-catalog/tests/common/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

pub use server::{Reply, Request, Server, free_port};

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Files of a repository by path.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The hub, and the server that its large files stand on.
pub struct FakeHub {
    pub hub: Server,
    pub store: Server,
    /// The commit of `main`, and its files; both may be changed while it runs.
    pub state: Arc<Mutex<(String, Files)>>,
}

pub fn files(given: &[(&str, &[u8])]) -> Files {
    given.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect()
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What the hub calls a content: its SHA-256 where it is large, a hash of git otherwise.
pub fn etag(name: &str, bytes: &[u8]) -> String {
    let sha = sha256(bytes);
    if is_large(name) { sha } else { sha[..40].to_owned() }
}

fn is_large(name: &str) -> bool {
    [".safetensors", ".bin", ".csv", ".h5"].iter().any(|end| name.ends_with(end))
}

impl FakeHub {
    /// `repo` is `ORG/NAME`, or `datasets/ORG/NAME`.
    pub fn start(repo: &str, files: Files) -> Self {
        Self::with_store(repo, files, |_, request, bytes| Reply::ranged(request, bytes))
    }

    /// The `n`-th request for a large content, from 0, is answered with `store(n, request, content)`.
    pub fn with_store(
        repo: &str,
        files: Files,
        store: impl Fn(usize, &Request, &[u8]) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::with(repo, files, store, |_| None)
    }

    /// The same, where `first` may answer a request to the hub before the hub does.
    pub fn with(
        repo: &str,
        files: Files,
        store: impl Fn(usize, &Request, &[u8]) -> Reply + Send + Sync + 'static,
        first: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let state = Arc::new(Mutex::new((COMMIT.to_owned(), files)));
        let of_store = Arc::clone(&state);
        let store = Server::start(move |n, request| {
            let files = of_store.lock().unwrap().1.clone();
            let found = files.values().find(|bytes| request.path == format!("/{}", sha256(bytes)));
            found.map_or_else(|| Reply::status(404), |bytes| store(n, request, bytes))
        });
        let (of_hub, address, repo) = (Arc::clone(&state), store.url(""), repo.to_owned());
        let hub = Server::start(move |_, request| {
            let (commit, files) = of_hub.lock().unwrap().clone();
            first(request).unwrap_or_else(|| answer(&repo, (&commit, &files), request, &address))
        });
        Self { hub, store, state }
    }

    pub fn endpoint(&self) -> String {
        self.hub.url("").trim_end_matches('/').to_owned()
    }

    /// Paths that the hub was asked for.
    pub fn asked(&self) -> Vec<String> {
        self.hub.requests().into_iter().map(|request| request.path).collect()
    }
}

fn answer(repo: &str, (commit, files): (&str, &Files), request: &Request, store: &str) -> Reply {
    let kind = if repo.starts_with("datasets/") { "" } else { "models/" };
    let known = |revision: &str| [commit, "main", "refs%2Fpr%2F1"].contains(&revision);
    if let Some(revision) = request.path.strip_prefix(&format!("/api/{kind}{repo}/revision/")) {
        if !known(revision) {
            return Reply::status(404).header("X-Error-Code", "RevisionNotFound");
        }
        let names: Vec<String> = files.keys().map(|name| format!(r#"{{"rfilename": "{name}"}}"#)).collect();
        let body = format!(r#"{{"id": "{repo}", "sha": "{commit}", "siblings": [{}]}}"#, names.join(","));
        return Reply::whole(body.as_bytes()).header("Content-Type", "application/json");
    }
    let Some((revision, name)) =
        request.path.strip_prefix(&format!("/{repo}/resolve/")).and_then(|rest| rest.split_once('/'))
    else {
        // As the hub does it for those whom it does not know.
        let status = if request.headers.contains_key("authorization") { 404 } else { 401 };
        return Reply::status(status).header("X-Error-Code", "RepoNotFound");
    };
    let Some(bytes) = files.get(name).filter(|_| known(revision)) else {
        return Reply::status(404).header("X-Error-Code", "EntryNotFound");
    };
    let tag = etag(name, bytes);
    match is_large(name) {
        true => Reply::redirect(&format!("{store}{tag}"))
            .header("X-Linked-Etag", &format!("\"{tag}\""))
            .header("X-Linked-Size", &bytes.len().to_string())
            .header("X-Repo-Commit", commit),
        false => Reply::ranged(request, bytes)
            .header("ETag", &format!("W/\"{tag}\""))
            .header("X-Repo-Commit", commit)
            .header("Content-Type", "text/plain"),
    }
}
