//! The questions to the hub, and what its statuses mean.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use data_catalog::net::{Client, Reply};
use serde::Deserialize;

use crate::Settings;
use crate::error::{Error, Result};
use crate::id::{Kind, RepoId, is_commit, is_inside};

/// Largest list of files that is read.
const MOST_LISTED: u64 = 64 << 20;
/// Questions in a row that may fail. Few: where the cache has an answer, nobody wants to wait for the network's.
const ATTEMPTS: u32 = 2;
/// How often the stop flag is looked at during a wait.
const BLINK: Duration = Duration::from_millis(20);

/// What the hub says of a large file that stands on another server.
const LINKED_ETAG: &str = "X-Linked-Etag";
const LINKED_SIZE: &str = "X-Linked-Size";
const COMMIT: &str = "X-Repo-Commit";
const ERROR_CODE: &str = "X-Error-Code";

/// A hub that can be asked.
pub(crate) struct Remote {
    client: Client,
    endpoint: String,
    has_token: bool,
    wait: Duration,
}

/// A repository at a commit.
#[derive(Debug)]
pub(crate) struct Listing {
    pub commit: String,
    /// Paths of its files.
    pub files: Vec<String>,
}

/// What the hub says of a file.
#[derive(Debug)]
pub(crate) struct FileHead {
    /// Where its content is.
    pub url: String,
    /// The commit that it was found in.
    pub commit: String,
    /// The name of its content in the cache.
    pub etag: String,
    pub bytes: Option<u64>,
    /// Of large files only; the tag of a small one is git's.
    pub sha256: Option<String>,
}

#[derive(Deserialize)]
struct Info {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

impl Remote {
    pub fn new(settings: &Settings) -> Result<Self> {
        let endpoint = settings.endpoint.trim_end_matches('/').to_owned();
        let client = Client::new(&settings.network).map_err(Error::of_download)?;
        let client = match &settings.token {
            Some(token) => client.with_token(&endpoint, token).map_err(Error::of_download)?,
            None => client,
        };
        Ok(Self { client, endpoint, has_token: settings.token.is_some(), wait: settings.network.first_wait })
    }

    /// For downloads.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The commit of a repository's revision, and its files.
    pub fn listing(&self, repo: &RepoId, stop: &AtomicBool) -> Result<Listing> {
        let kind = match repo.kind() {
            Kind::Model => "models",
            Kind::DataSet => "datasets",
        };
        let (name, revision) = (repo.name(), in_address(repo.revision(), false));
        let url = format!("{}/api/{kind}/{name}/revision/{revision}", self.endpoint);
        let reply = self.patiently(stop, || self.client.ask(&url, MOST_LISTED))?;
        if reply.status != 200 {
            return Err(self.refused(&url, &reply, repo, None));
        }
        let bad = |reason: String| Error::Answer { url: url.clone(), reason };
        let info: Info = serde_json::from_slice(&reply.body)
            .map_err(|e| bad(format!("this is not what a hub answers ({e}); is the endpoint right?")))?;
        if !is_commit(&info.sha) {
            return Err(bad(format!("the commit `{}` is none", info.sha)));
        }
        let files: Vec<String> = info.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
        if let Some(file) = files.iter().find(|file| !is_inside(file)) {
            return Err(bad(format!("it lists `{file}`, which is no path inside a repository")));
        }
        Ok(Listing { commit: info.sha, files })
    }

    /// What the hub says of `file` in a repository at `revision`.
    pub fn head(&self, repo: &RepoId, revision: &str, file: &str, stop: &AtomicBool) -> Result<FileHead> {
        let folder = if repo.kind() == Kind::DataSet { "datasets/" } else { "" };
        let (revision, path) = (in_address(revision, false), in_address(file, true));
        let url = format!("{}/{folder}{}/resolve/{revision}/{path}", self.endpoint, repo.name());
        let reply = self.patiently(stop, || self.client.head(&url, &[LINKED_ETAG, COMMIT]))?;
        let header = |name: &str| reply.headers.get(name);
        if reply.status >= 400 {
            return Err(self.refused(&url, &reply, repo, Some(file)));
        }
        let bad = |reason: String| Error::Answer { url: url.clone(), reason };
        let etag = header(LINKED_ETAG).or(header("ETag")).map(plain_tag);
        let Some(etag) = etag.filter(|etag| is_tag(etag)).map(str::to_owned) else {
            let said = etag.map_or_else(|| "without a tag".to_owned(), |etag| format!("with the tag `{etag}`"));
            return Err(bad(format!("the hub names the content of `{file}` {said}, under which it cannot be kept")));
        };
        let commit = header(COMMIT).unwrap_or_default().to_owned();
        if !is_commit(&commit) {
            return Err(bad(format!("the hub does not say which commit `{file}` is of; is the endpoint right?")));
        }
        let bytes = header(LINKED_SIZE).or(own_length(&reply)).and_then(|text| text.parse().ok());
        let sha256 =
            (etag.len() == 64 && etag.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| etag.to_lowercase());
        Ok(FileHead { url, commit, etag, bytes, sha256 })
    }

    /// Asks again after what may pass: a broken connection, a busy server.
    fn patiently(&self, stop: &AtomicBool, ask: impl Fn() -> data_catalog::Result<Reply>) -> Result<Reply> {
        let mut attempt = 1;
        loop {
            let is_last = attempt >= ATTEMPTS || stop.load(Ordering::Relaxed);
            match ask() {
                Ok(reply) if !is_passing(reply.status) => return Ok(reply),
                Ok(reply) if is_last => {
                    let reason = format!("status {}", reply.status);
                    return Err(Error::Unreachable { url: reply.address, reason, kept: 0 });
                }
                Err(error) if is_last || !matches!(error, data_catalog::Error::Unreachable { .. }) => {
                    return Err(Error::of_download(error));
                }
                _ => {}
            }
            attempt += 1;
            let begun = Instant::now();
            while begun.elapsed() < self.wait && !stop.load(Ordering::Relaxed) {
                std::thread::sleep(BLINK.min(self.wait));
            }
        }
    }

    /// What a status means. The hub answers 401 for what it does not show, so that nobody learns which private repositories there are.
    fn refused(&self, url: &str, reply: &Reply, repo: &RepoId, file: Option<&str>) -> Error {
        let (name, revision) = (repo.name().to_owned(), repo.revision().to_owned());
        let code = reply.headers.get(ERROR_CODE).unwrap_or_default();
        let (endpoint, token) = (self.endpoint.clone(), self.has_token);
        let page = if repo.kind() == Kind::DataSet {
            format!("{endpoint}/datasets/{name}")
        } else {
            format!("{endpoint}/{name}")
        };
        match (reply.status, code) {
            (_, "GatedRepo") | (403, _) => Error::Gated { name, page, token },
            (_, "RevisionNotFound") => Error::NoRevision { name, revision },
            (_, "EntryNotFound") => Error::NoFile { name, revision, file: file.unwrap_or_default().to_owned() },
            (401, code) if token && code != "RepoNotFound" => Error::Token { endpoint, status: 401 },
            (404, "") if file.is_some() => Error::NoFile { name, revision, file: file.unwrap_or_default().to_owned() },
            (401 | 404, _) => Error::NoRepository { endpoint, what: repo.kind().word(), name, token },
            (status, _) => Error::Answer { url: url.to_owned(), reason: format!("status {status}") },
        }
    }
}

/// Whether another attempt may do better.
fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 425 | 429) || status >= 500
}

/// The length that an answer states of itself; that of a redirect says nothing of the file.
fn own_length(reply: &Reply) -> Option<&str> {
    reply.headers.get("Content-Length").filter(|_| reply.status == 200)
}

/// A tag without its quotes, weak or not.
fn plain_tag(tag: &str) -> &str {
    tag.trim().trim_start_matches("W/").trim_matches('"')
}

/// Whether a tag may be the name of a file.
fn is_tag(tag: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !tag.is_empty() && tag.len() <= 128 && tag.bytes().all(plain) && !tag.starts_with('.')
}

/// Text as a part of an address; with `slashes` they separate parts.
fn in_address(text: &str, slashes: bool) -> String {
    let mut quoted = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => quoted.push(byte.into()),
            b'/' if slashes => quoted.push('/'),
            _ => quoted += &format!("%{byte:02X}"),
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_taken_without_quotes_and_only_as_plain_names() {
        assert_eq!(plain_tag("W/\"abc\""), "abc");
        assert!(is_tag("0a-b_c.d"));
        for bad in ["", "../x", "a/b", ".a", "a\\b", "a b"] {
            assert!(!is_tag(bad), "{bad}");
        }
    }

    #[test]
    fn addresses_are_quoted() {
        assert_eq!(in_address("refs/pr/1", false), "refs%2Fpr%2F1");
        assert_eq!(in_address("data/ä b?.csv", true), "data/%C3%A4%20b%3F.csv");
    }
}
