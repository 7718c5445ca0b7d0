//! A model or a file, from the cache or from the network.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use data_catalog::download::{Event, Watch, download};
use data_catalog::manifest::Source;

use crate::Settings;
use crate::cache::RepoCache;
use crate::error::{Error, Result};
use crate::files::{is_complete, needed, shards};
use crate::id::{RepoFile, RepoId, is_commit};
use crate::remote::{FileHead, Remote};

/// The hub, with the user's cache before it.
pub struct Hub {
    settings: Settings,
    /// `None` where only the cache may be used.
    remote: Option<Remote>,
}

/// Something of the hub that is in the cache now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The folder of the model, or the file.
    pub path: PathBuf,
    /// The commit it is of.
    pub commit: String,
    /// Why the network could not be asked whether there is a newer one; `None` where it was, or where there was nothing to ask.
    pub unasked: Option<String>,
}

impl Hub {
    /// A hub with these settings; the network is not asked yet.
    ///
    /// # Errors
    /// The settings of the network cannot be used.
    pub fn new(settings: Settings) -> Result<Self> {
        let remote = if settings.offline { None } else { Some(Remote::new(&settings)?) };
        Ok(Self { settings, remote })
    }

    /// The folder of a model with all files that are needed. A branch or tag is looked up on the hub every time, and what the cache has of
    /// it is used where the hub cannot be reached; a commit that is in the cache is taken without asking.
    ///
    /// # Errors
    /// The hub does not give the model, holds none that could be read, or the disk refuses; [`Error::Stopped`] when `stop` was set.
    pub fn model(&self, repo: &RepoId, stop: &AtomicBool, watch: &mut Watch<'_>) -> Result<Found> {
        let cache = RepoCache::new(&self.settings.cache, repo);
        let held = cache.commit(repo.revision());
        let held = held.map(|commit| (cache.snapshot(&commit), commit)).filter(|(folder, _)| is_complete(folder));
        let Some(remote) = self.remote_unless(repo, held.is_some()) else {
            return held.map(|held| found(held, None)).ok_or_else(|| self.offline(format!("the model `{repo}`")));
        };
        let listing = match (remote.listing(repo, stop), held) {
            (Ok(listing), _) => listing,
            (Err(Error::Unreachable { reason, .. }), Some(held)) => return Ok(found(held, Some(reason))),
            (Err(error), _) => return Err(error),
        };
        let (small, weights) = needed(&listing, repo)?;
        let mut job = Job { remote, cache: &cache, repo, commit: &listing.commit, stop, watch };
        for file in small {
            job.fetch(&file)?;
        }
        job.fetch(weights)?;
        if weights.ends_with(".json") {
            for shard in shards(&cache.file(&listing.commit, weights))? {
                job.fetch(&shard)?;
            }
        }
        // Last: whoever finds the reference finds the files.
        cache.remember(repo.revision(), &listing.commit)?;
        Ok(found((cache.snapshot(&listing.commit), listing.commit), None))
    }

    /// A file of a repository; see [`Hub::model`] for when the network is asked.
    ///
    /// # Errors
    /// The hub does not give the file, or the disk refuses; [`Error::Stopped`] when `stop` was set.
    pub fn file(&self, file: &RepoFile, stop: &AtomicBool, watch: &mut Watch<'_>) -> Result<Found> {
        let (repo, name) = (&file.repo, file.path.as_str());
        let cache = RepoCache::new(&self.settings.cache, repo);
        let held = cache.commit(repo.revision());
        let held = held.map(|commit| (cache.file(&commit, name), commit)).filter(|(path, _)| path.is_file());
        let Some(remote) = self.remote_unless(repo, held.is_some()) else {
            return held.map(|held| found(held, None)).ok_or_else(|| self.offline(format!("`{name}` of `{repo}`")));
        };
        let head = match (remote.head(repo, repo.revision(), name, stop), held) {
            (Ok(head), _) => head,
            (Err(Error::Unreachable { reason, .. }), Some(held)) => return Ok(found(held, Some(reason))),
            (Err(error), _) => return Err(error),
        };
        let commit = head.commit.clone();
        let mut job = Job { remote, cache: &cache, repo, commit: &commit, stop, watch };
        if !cache.file(&commit, name).is_file() {
            job.place(name, &head)?;
        }
        cache.remember(repo.revision(), &commit)?;
        Ok(found((cache.file(&commit, name), commit), None))
    }

    /// The hub, unless only the cache may be used or has what cannot change.
    fn remote_unless(&self, repo: &RepoId, is_held: bool) -> Option<&Remote> {
        self.remote.as_ref().filter(|_| !(is_held && is_commit(repo.revision())))
    }

    fn offline(&self, what: String) -> Error {
        Error::Offline { cache: self.settings.cache.clone(), what }
    }
}

fn found((path, commit): (PathBuf, String), unasked: Option<String>) -> Found {
    Found { path, commit, unasked }
}

/// Files of one commit on their way.
struct Job<'a, 'w> {
    remote: &'a Remote,
    cache: &'a RepoCache,
    repo: &'a RepoId,
    commit: &'a str,
    stop: &'a AtomicBool,
    watch: &'a mut Watch<'w>,
}

impl Job<'_, '_> {
    /// Puts a file into the snapshot, unless it is there.
    fn fetch(&mut self, file: &str) -> Result<()> {
        if self.cache.file(self.commit, file).is_file() {
            return Ok(());
        }
        if self.stop.load(Ordering::Relaxed) {
            return Err(self.stopped(file, 0));
        }
        let head = self.remote.head(self.repo, self.commit, file, self.stop)?;
        self.place(file, &head)
    }

    /// Downloads the content of a file, unless another commit has it already, and links it.
    fn place(&mut self, file: &str, head: &FileHead) -> Result<()> {
        if head.commit != self.commit {
            let reason = format!("the hub sends `{file}` of commit {} instead of {}", head.commit, self.commit);
            return Err(Error::Answer { url: head.url.clone(), reason });
        }
        let blobs = self.cache.blobs();
        if !is_whole(&blobs.join(&head.etag), head.bytes) {
            let source = Source {
                name: head.etag.clone(),
                urls: vec![head.url.clone()],
                archive: None,
                bytes: head.bytes,
                sha256: head.sha256.clone(),
            };
            let watch = &mut *self.watch;
            let mut renamed = |event: &Event<'_>| watch(&under_name(event, file));
            let done = download(self.remote.client(), &source, &blobs, self.stop, &mut renamed);
            done.map_err(|error| match error {
                data_catalog::Error::Stopped { kept, .. } => self.stopped(file, kept),
                other => Error::of_download(other),
            })?;
        }
        self.cache.link(self.commit, file, &head.etag)
    }

    fn stopped(&self, file: &str, kept: u64) -> Error {
        Error::Stopped { name: self.repo.name().to_owned(), file: file.to_owned(), kept }
    }
}

/// Whether the content is here. Its checksum was compared before it got its name.
fn is_whole(blob: &Path, bytes: Option<u64>) -> bool {
    std::fs::metadata(blob).is_ok_and(|meta| meta.is_file() && bytes.is_none_or(|bytes| bytes == meta.len()))
}

/// What happens to a content, told of the file that it is of.
fn under_name<'a>(event: &'a Event<'_>, file: &'a str) -> Event<'a> {
    match event.clone() {
        Event::Begun { url, from, total, .. } => Event::Begun { name: file, url, from, total },
        Event::Progress { done, total, .. } => Event::Progress { name: file, done, total },
        Event::Retry { reason, wait, .. } => Event::Retry { name: file, reason, wait },
        Event::StartedAgain { reason, .. } => Event::StartedAgain { name: file, reason },
        Event::NextAddress { reason, .. } => Event::NextAddress { name: file, reason },
        Event::Fetched { bytes, sha256, verified, .. } => Event::Fetched { name: file, bytes, sha256, verified },
        other => other,
    }
}
