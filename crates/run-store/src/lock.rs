//! One process per run folder.
//!
//! The lock is the operating system's (`File::try_lock`) on `lock.json`, so it ends with its
//! process, however that ends; the file's content only says who holds it. Content without a lock is
//! stale: its writer died without releasing. A released lock leaves no file: it is deleted while it is locked, and whoever
//! gets the lock of a file looks whether the name still leads to it, since otherwise two processes could hold locks on two files
//! of one name. On Windows, where files that are open keep their names, an empty file stays.
//!
//! Network file systems may not lock across hosts; where they do not lock at all, [`RunLock::acquire`]
//! fails instead of pretending. On Windows a locked file cannot be read, so the refusal there does
//! not name the holder.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind, Read, Seek};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Operation, Result};
use crate::ops;

/// Name of the lock file in a run folder.
pub const LOCK: &str = "lock.json";

/// How often a file may be gone again once it is locked: its holders would have to take turns that fast.
const MAX_ATTEMPTS: usize = 100;

/// More than any holder needs; a foreign file under this name must not fill the memory.
const MAX_CONTENT_BYTES: u64 = 64 * 1024;

/// Who holds a run folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id on `host`.
    pub pid: u32,
    /// Host name, as the caller gave it.
    pub host: String,
    /// When it started, as the caller gave it (RFC 3339 by custom).
    pub started: String,
}

impl Holder {
    /// This process, on the given host, started at the given time.
    #[must_use]
    pub fn this_process(host: impl Into<String>, started: impl Into<String>) -> Self {
        Self { pid: std::process::id(), host: host.into(), started: started.into() }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}, started {}", self.pid, self.host, self.started)
    }
}

/// What the lock file said before this process took the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Previous {
    /// Nothing: the folder is new, or its last holder released it.
    Released,
    /// A process that died without releasing the folder.
    Died(Holder),
    /// A process that died so early, or a disk so damaged, that its name cannot be read.
    Unreadable,
}

impl Previous {
    /// What to tell a person of a process that died here; `None` after an orderly release.
    #[must_use]
    pub fn story(&self) -> Option<String> {
        match self {
            Self::Released => None,
            Self::Died(holder) => Some(format!("{holder}, ended here without releasing the folder")),
            Self::Unreadable => Some("an earlier process ended here without releasing the folder".to_owned()),
        }
    }
}

/// A locked file, which is there only as long as it is locked; released when dropped.
#[derive(Debug)]
pub struct FileLock {
    path: PathBuf,
    file: File,
}

/// What came of trying to lock a file.
#[derive(Debug)]
pub enum Attempt {
    /// It is locked now.
    Locked(FileLock),
    /// Another process, or another value in this one, holds it; the file to read who that is.
    Taken(File),
}

impl FileLock {
    /// Tries to lock the file at `path`, created if need be.
    ///
    /// # Errors
    /// [`Error::Io`] and its kin where the file cannot be opened or the file system does not lock.
    pub fn attempt(path: impl Into<PathBuf>) -> Result<Attempt> {
        let path = path.into();
        let failed = |e| Error::io(Operation::Lock, &path, e);
        for _ in 0..MAX_ATTEMPTS {
            let file = ops::open_or_create(&path).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(Attempt::Taken(file)),
                Err(TryLockError::Error(e)) => return Err(failed(e)),
            }
            // Its last holder may have deleted it after it was opened here.
            if is_at(&file, &path).map_err(failed)? {
                return Ok(Attempt::Locked(Self { path, file }));
            }
        }
        Err(failed(io::Error::other("the file is replaced again and again while it is being locked")))
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Emptied first: if it cannot be deleted, the next holder still sees an orderly release. If that fails too, the
        // content is taken for that of a dead process, which changes nothing but a message.
        let _ = ops::truncate(&self.file, 0, Operation::Lock, &self.path);
        // Before the lock ends, and only if it is ours: a person may have deleted it meanwhile.
        if cfg!(unix) && is_at(&self.file, &self.path).unwrap_or(false) {
            let _ = ops::remove_file(&self.path);
        }
        let _ = self.file.unlock();
    }
}

/// Whether `path` leads to the open `file`; on Windows an open file keeps its name.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let open = file.metadata()?;
        match std::fs::metadata(path) {
            Ok(named) => Ok((named.dev(), named.ino()) == (open.dev(), open.ino())),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }
    #[cfg(not(unix))]
    {
        let _ = (file, path);
        Ok(true)
    }
}

/// The right to write to a run folder; released when dropped.
#[derive(Debug)]
pub struct RunLock {
    /// Held until this value is dropped.
    _lock: FileLock,
    previous: Previous,
}

impl RunLock {
    /// Takes the lock of the existing folder `folder` for `holder`.
    ///
    /// # Errors
    /// [`Error::Locked`] with the present holder while another process (or another value in this
    /// one) holds it; otherwise an error of opening, locking or writing the lock file.
    pub fn acquire(folder: impl AsRef<Path>, holder: &Holder) -> Result<Self> {
        let folder = folder.as_ref();
        let path = folder.join(LOCK);
        let mut lock = match FileLock::attempt(&path)? {
            Attempt::Locked(lock) => lock,
            Attempt::Taken(mut file) => {
                let holder = match content(&mut file) {
                    Previous::Died(holder) => Some(holder),
                    Previous::Released | Previous::Unreadable => None,
                };
                return Err(Error::Locked { folder: folder.to_owned(), holder });
            }
        };
        let previous = content(&mut lock.file);
        let mut text = serde_json::to_vec(holder).map_err(|cause| Error::Encode { path: path.clone(), cause })?;
        text.push(b'\n');
        ops::truncate(&lock.file, 0, Operation::Lock, &path)?;
        lock.file.rewind().map_err(|e| Error::io(Operation::Lock, &path, e))?;
        ops::write_all(&lock.file, &text, Operation::Lock, &path)?;
        Ok(Self { _lock: lock, previous })
    }

    /// What became of the holder before.
    #[must_use]
    pub fn previous(&self) -> &Previous {
        &self.previous
    }
}

/// Who works in `folder` now, as far as the lock file says it; `None` for nobody. Nothing is written, and the lock is not kept.
#[must_use]
pub fn working(folder: impl AsRef<Path>) -> Option<Option<Holder>> {
    let mut file = File::open(folder.as_ref().join(LOCK)).ok()?;
    let said = content(&mut file);
    // A process that just begins must not find the lock taken by somebody who only looks.
    if said == Previous::Released {
        return None;
    }
    match (file.try_lock_shared(), said) {
        (Err(TryLockError::WouldBlock), Previous::Died(holder)) => Some(Some(holder)),
        (Err(TryLockError::WouldBlock), _) => Some(None),
        // It ends with the file.
        (Ok(()) | Err(TryLockError::Error(_)), _) => None,
    }
}

fn content(file: &mut File) -> Previous {
    let mut text = String::new();
    if file.take(MAX_CONTENT_BYTES).read_to_string(&mut text).is_err() {
        return Previous::Unreadable;
    }
    if text.trim().is_empty() {
        return Previous::Released;
    }
    serde_json::from_str(&text).map_or(Previous::Unreadable, Previous::Died)
}
