//! Starting and resuming a run.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::paths::{RECIPE, RunPaths};
use crate::error::{Error, Operation, Result};
use crate::lock::{Holder, LOCK, Previous, RunLock};
use crate::{atomic, hash, ops};

/// A run folder that this process may write to; the lock is released when it is dropped.
#[derive(Debug)]
pub struct RunFolder {
    paths: RunPaths,
    config_hash: String,
    lock: RunLock,
}

impl RunFolder {
    /// Starts a run in `path`, which must be new or empty: takes the lock and writes `config_text`,
    /// the effective recipe with all defaults, as `recipe.toml`.
    ///
    /// What a start that was killed before it wrote the recipe left behind (a lock file, temporary
    /// files) does not count as content.
    ///
    /// # Errors
    /// [`Error::RunExists`] when the folder holds a run, [`Error::NotEmpty`] when it holds anything
    /// else, [`Error::Locked`] when another process is starting there, and errors of writing.
    pub fn create(path: impl Into<PathBuf>, config_text: &str, holder: &Holder) -> Result<Self> {
        let path = path.into();
        // Before anything is created, so that a foreign folder gets no lock file from us.
        require_empty(&path)?;
        ops::create_dir_all(&path)?;
        let lock = RunLock::acquire(&path, holder)?;
        // Again under the lock: another process may have started a run in between.
        require_empty(&path)?;
        atomic::clean_stale_temps(&path)?;
        let paths = RunPaths::new(path);
        atomic::write_file(paths.recipe(), config_text.as_bytes())?;
        Ok(Self::new(paths, config_text, lock))
    }

    /// Whether [`create`](Self::create) would find room for a run in `path`; nothing is written.
    ///
    /// # Errors
    /// [`Error::RunExists`] and [`Error::NotEmpty`], as `create`.
    pub fn check_free(path: impl AsRef<Path>) -> Result<()> {
        require_empty(path.as_ref())
    }

    /// Resumes the run in `path`, which must have been started with exactly `config_text`. Takes
    /// the lock and removes temporary files that a killed process left in the folder.
    ///
    /// # Errors
    /// [`Error::NoRun`] when there is none, [`Error::RecipeDiffers`] naming the first differing
    /// line, [`Error::Locked`] when another process works there.
    pub fn open_for_resume(path: impl Into<PathBuf>, config_text: &str, holder: &Holder) -> Result<Self> {
        let paths = RunPaths::new(path);
        let recorded = recorded_recipe(&paths)?;
        if recorded != config_text {
            let same = recorded.split('\n').zip(config_text.split('\n'));
            let line = 1 + same.take_while(|(was, is)| was == is).count();
            return Err(Error::RecipeDiffers { path: paths.root().to_owned(), line, recorded });
        }
        let lock = RunLock::acquire(paths.root(), holder)?;
        atomic::clean_stale_temps(paths.root())?;
        Ok(Self::new(paths, config_text, lock))
    }

    /// Removes the folder and everything in it: for a run that could not start.
    ///
    /// # Errors
    /// The system's refusal to remove something.
    pub fn discard(self) -> Result<()> {
        remove_locked(self.paths.root(), self.lock)
    }

    /// [`Self::discard`] for the run in `path`, which nobody may be working on.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process works there, and the system's refusal to remove something.
    pub fn remove(path: impl AsRef<Path>, holder: &Holder) -> Result<()> {
        let path = path.as_ref();
        remove_locked(path, RunLock::acquire(path, holder)?)
    }

    fn new(paths: RunPaths, config_text: &str, lock: RunLock) -> Self {
        Self { paths, config_hash: hash::bytes(config_text), lock }
    }

    /// Where things lie.
    #[must_use]
    pub fn paths(&self) -> &RunPaths {
        &self.paths
    }

    /// SHA-256 of the effective recipe: what checkpoints of this run carry.
    #[must_use]
    pub fn config_hash(&self) -> &str {
        &self.config_hash
    }

    /// What became of the process that worked here before.
    #[must_use]
    pub fn previous(&self) -> &Previous {
        self.lock.previous()
    }
}

fn remove_locked(path: &Path, lock: RunLock) -> Result<()> {
    // The lock must end before its file can be removed on every system.
    drop(lock);
    ops::remove_dir_all(path)
}

fn require_empty(path: &Path) -> Result<()> {
    // First: in what order a folder lists its entries is up to the file system.
    if path.join(RECIPE).exists() {
        return Err(Error::RunExists { path: path.to_owned() });
    }
    for (name, is_dir) in ops::list_raw(path)? {
        let name = name.to_string_lossy().into_owned();
        let leftover = !is_dir && (name == LOCK || atomic::is_temp_name(&name));
        if !leftover {
            return Err(Error::NotEmpty { path: path.to_owned(), found: name });
        }
    }
    Ok(())
}

fn recorded_recipe(paths: &RunPaths) -> Result<String> {
    let path = paths.recipe();
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Err(Error::NoRun { path: paths.root().to_owned() });
        }
        Err(e) => return Err(Error::io(Operation::Read, &path, e)),
    };
    // A recipe that is no longer Unicode was damaged; the comparison then names the line.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
