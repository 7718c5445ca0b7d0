//! The layout of the cache, which is that of Python's `huggingface_hub`.
//!
//! ```text
//! models--ORG--NAME/blobs/ETAG              the content of a file, under the name that the hub gives to it
//! models--ORG--NAME/refs/main               the commit that a branch or tag stood for when it was asked for last
//! models--ORG--NAME/snapshots/COMMIT/FILE   a link to the content
//! ```

use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Result};
use crate::id::{Kind, RepoId, is_commit};

/// A repository in the cache.
pub(crate) struct RepoCache {
    root: PathBuf,
}

impl RepoCache {
    pub fn new(cache: &Path, repo: &RepoId) -> Self {
        let kind = match repo.kind() {
            Kind::Model => "models",
            Kind::DataSet => "datasets",
        };
        Self { root: cache.join(format!("{kind}--{}", repo.name().replace('/', "--"))) }
    }

    /// Where contents are.
    pub fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    /// The folder of a commit.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.root.join("snapshots").join(commit)
    }

    /// The commit that a revision stood for when it was asked for last.
    pub fn commit(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.to_owned());
        }
        let text = std::fs::read_to_string(self.reference(revision)).ok()?;
        Some(text.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// Remembers the commit of a revision. A commit stands for itself.
    pub fn remember(&self, revision: &str, commit: &str) -> Result<()> {
        if is_commit(revision) || self.commit(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.reference(revision);
        make_parent(&path)?;
        Ok(run_store::atomic::write_file(path, commit.as_bytes())?)
    }

    fn reference(&self, revision: &str) -> PathBuf {
        joined(&self.root.join("refs"), revision)
    }

    /// The file of a commit, which need not be there.
    pub fn file(&self, commit: &str, file: &str) -> PathBuf {
        joined(&self.snapshot(commit), file)
    }

    /// Gives the content `etag` its name in a commit.
    pub fn link(&self, commit: &str, file: &str, etag: &str) -> Result<()> {
        let path = self.file(commit, file);
        make_parent(&path)?;
        // From the folder of the file to the folder of the repository; relative, so that the cache can be moved.
        let up = "../".repeat(file.split('/').count() + 1);
        let target = PathBuf::from(format!("{up}blobs/{etag}"));
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let fresh = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
        let _ = std::fs::remove_file(&fresh);
        // Where links are not allowed (Windows without its developer mode), the content itself gets the name, as Python's library does it.
        let made = symbolic_link(&target, &fresh).or_else(|_| std::fs::rename(self.blobs().join(etag), &fresh));
        made.map_err(Error::io(&path, "cannot be linked"))?;
        std::fs::rename(&fresh, &path).map_err(Error::io(&path, "cannot be put in place"))
    }
}

/// The repository of a snapshot's folder or of a file in it, at its commit; `None` for any other path.
pub fn repo_of_snapshot(path: &Path) -> Option<RepoId> {
    let parts: Vec<&str> = path
        .components()
        .map(|part| match part {
            Component::Normal(name) => name.to_str().unwrap_or_default(),
            _ => "",
        })
        .collect();
    let at = parts.iter().rposition(|part| *part == "snapshots")?;
    let commit = parts.get(at + 1).filter(|commit| is_commit(commit))?;
    let folder = parts.get(at.checked_sub(1)?)?;
    let (kind, name) = match folder.split_once("--")? {
        ("models", name) => (Kind::Model, name),
        ("datasets", name) => (Kind::DataSet, name),
        _ => return None,
    };
    RepoId::new(kind, &name.replacen("--", "/", 1), commit).ok()
}

#[cfg(unix)]
fn symbolic_link(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symbolic_link(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::windows::fs::symlink_file(target, link)
}

fn joined(folder: &Path, inside: &str) -> PathBuf {
    inside.split('/').fold(folder.to_owned(), |path, part| path.join(part))
}

fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(Error::io(parent, "the folder cannot be created"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_says_what_it_is_of() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let path = format!("/somewhere/x/.cache/huggingface/hub/models--org--tiny-bert/snapshots/{commit}");
        assert_eq!(repo_of_snapshot(path.as_ref()).unwrap().to_string(), format!("org/tiny-bert@{commit}"));
        let file = format!("{}/data/a.csv", path.replace("models--", "datasets--"));
        assert_eq!(repo_of_snapshot(file.as_ref()).unwrap().to_string(), format!("datasets/org/tiny-bert@{commit}"));
        for other in ["models/bert", "snapshots", "models--a--b/snapshots/main", "x/snapshots/y"] {
            assert_eq!(repo_of_snapshot(other.as_ref()), None, "{other}");
        }
    }
}
