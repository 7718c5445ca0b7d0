//! Replacing a file as a whole or not at all.
//!
//! The new content is written beside the target under a unique temporary name (created with
//! `create_new`, so nothing is overwritten and no link is followed), flushed, fsynced, renamed over
//! the target, and the folder is fsynced. What a reader of the target finds afterwards:
//!
//! | failure | Unix | Windows |
//! |---|---|---|
//! | error (full disk, permission, the closure's own) | old content; no temporary file | same |
//! | panic in the closure | old content; no temporary file | same |
//! | process killed | old or new content, whole; perhaps a stray temporary file | same, except that the rename itself carries no promise of atomicity |
//! | power loss before the call returns | old or new content, whole | old content, new content, or (rarely) none |
//! | power loss after the call returned | new content | new content in all likelihood: folders cannot be fsynced |
//!
//! "Whole" assumes a file system and a disk that honor fsync. Costs: two fsyncs per call, and room
//! for both contents until the rename. An existing target keeps its mode on Unix, and its owner as far as this process may give
//! files away. Of a file with several names (hard links) only the one written to gets the new content; under the others the old
//! one stays, as a backup made of links wants it. A target that is a symbolic link is itself replaced, not what it points to,
//! which is right inside the folders that a program makes; [`output`](crate::output) is for paths that a person names. A pipe, a
//! device or a socket is never replaced. Windows refuses the rename while another program holds the target open without
//! sharing; the old content then stays.
//! [`clean_stale_temps`] removes what killed processes left.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::error::{Error, Operation, Result};
use crate::ops::{self, Step};

/// Distinguishes the temporary names of one process.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// A recycled process id can meet stale names of its former bearer; past this many, give up.
const MAX_NAME_ATTEMPTS: usize = 1000;

/// Replaces the content of `path` by `bytes`; see the [module](self) for what survives what.
///
/// # Errors
/// [`Error::Io`]; the old content is then still there, except when only the last step, recording the rename in the folder, failed.
pub fn write_file(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    write_with(path, |out| out.write_all(bytes))
}

/// Replaces the content of `path` by what `fill` writes.
///
/// ```
/// use std::io::Write;
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("scores.tsv");
/// run_store::atomic::write_with(&path, |out| writeln!(out, "index\tprediction"))?;
/// # Ok::<(), run_store::Error>(())
/// ```
///
/// # Errors
/// As [`write_file`]; an error of `fill` is reported as a failure to write `path`.
pub fn write_with<F>(path: impl AsRef<Path>, fill: F) -> Result<()>
where
    F: FnOnce(&mut BufWriter<File>) -> io::Result<()>,
{
    replace(path.as_ref(), ops::create_new, fill)
}

/// Replaces the content of `path` by `value` as indented JSON with a final line break.
///
/// # Errors
/// [`Error::Encode`] when `value` has no JSON form (a map with keys that are not text); otherwise
/// as [`write_file`].
pub fn write_json(path: impl AsRef<Path>, value: &impl Serialize) -> Result<()> {
    let path = path.as_ref();
    let mut text = serde_json::to_vec_pretty(value).map_err(|cause| Error::Encode { path: path.to_owned(), cause })?;
    text.push(b'\n');
    write_file(path, &text)
}

/// Forces the entries of a folder (creations, renames, deletions) to the disk; does nothing on
/// Windows and on file systems without such a call.
///
/// # Errors
/// [`Error::Io`] and its kin when the folder cannot be opened or synced.
pub fn sync_dir(dir: impl AsRef<Path>) -> Result<()> {
    ops::sync_dir(dir.as_ref())
}

/// Removes the temporary files, and the folders under such a name, that killed processes left in
/// `dir` (not below it) and returns their paths. A folder that does not exist has none.
///
/// Whether their writer still lives cannot be told from here, so call it only while nobody writes
/// to `dir`: when a run starts, under its [lock](crate::lock).
///
/// # Errors
/// When the folder cannot be listed or a file cannot be removed.
pub fn clean_stale_temps(dir: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let dir = dir.as_ref();
    let mut removed = Vec::new();
    for (name, is_dir) in ops::list(dir)? {
        if is_temp_name(&name) {
            let path = dir.join(name);
            if is_dir {
                ops::remove_dir_all(&path)?;
            } else {
                ops::remove_file(&path)?;
            }
            removed.push(path);
        }
    }
    if !removed.is_empty() {
        ops::sync_dir(dir)?;
    }
    Ok(removed)
}

/// Whether `name` is a temporary name made here: `.NAME.PID-COUNT.tmp`.
pub(crate) fn is_temp_name(name: &str) -> bool {
    let numeric = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    name.strip_prefix('.')
        .and_then(|rest| rest.strip_suffix(".tmp"))
        .and_then(|rest| rest.rsplit_once('.'))
        .filter(|(target, _)| !target.is_empty())
        .and_then(|(_, unique)| unique.split_once('-'))
        .is_some_and(|(pid, count)| numeric(pid) && numeric(count))
}

/// A temporary file or folder while it has not become its target; removed on error and on panic.
pub(crate) struct Temp {
    pub path: PathBuf,
    remove: fn(&Path) -> Result<()>,
    renamed: bool,
}

impl Temp {
    pub fn file(path: PathBuf) -> Self {
        Self { path, remove: ops::remove_file, renamed: false }
    }

    pub fn folder(path: PathBuf) -> Self {
        Self { path, remove: ops::remove_dir_all, renamed: false }
    }

    /// Puts it in place as `target`, whose folder is yet to be synced.
    pub fn rename(mut self, target: &Path) -> Result<()> {
        ops::rename(&self.path, target)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if !self.renamed {
            // The error that brought us here is the one to report.
            let _ = (self.remove)(&self.path);
        }
    }
}

/// The protocol; `open` is a parameter so that tests can write to a full device.
fn replace<F>(path: &Path, open: impl Fn(&Path) -> io::Result<File>, fill: F) -> Result<()>
where
    F: FnOnce(&mut BufWriter<File>) -> io::Result<()>,
{
    let write_failed = |e| Error::io(Operation::Write, path, e);
    let (temp, file) = create_beside(path, open)?;
    let temp = Temp::file(temp);
    // Before there is content: nobody may read here what the old file kept from them.
    take_over(path, &file)?;
    let mut out = BufWriter::new(file);
    fill(&mut out).map_err(write_failed)?;
    ops::reach(Step::Write).map_err(write_failed)?;
    // into_inner flushes and returns the error that dropping a BufWriter would swallow.
    let file = out.into_inner().map_err(|e| write_failed(e.into_error()))?;
    ops::sync_file(&file, path)?;
    drop(file);
    temp.rename(path)?;
    ops::sync_dir(ops::parent(path))
}

/// Creates, by `make`, something under a temporary name beside `path` that nothing has yet.
pub(crate) fn create_beside<T>(path: &Path, make: impl Fn(&Path) -> io::Result<T>) -> Result<(PathBuf, T)> {
    let failed = |e| Error::io(Operation::Create, path, e);
    let name = path
        .file_name()
        .ok_or_else(|| failed(io::Error::new(ErrorKind::InvalidInput, "the path does not end in a file name")))?;
    for _ in 0..MAX_NAME_ATTEMPTS {
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let mut temp = OsString::from(".");
        temp.push(name);
        temp.push(format!(".{}-{count}.tmp", std::process::id()));
        let temp = ops::parent(path).join(temp);
        match make(&temp) {
            Ok(made) => return Ok((temp, made)),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(failed(e)),
        }
    }
    Err(failed(io::Error::new(
        ErrorKind::AlreadyExists,
        "every temporary name is taken; remove the stale `.tmp` files beside it",
    )))
}

/// Gives the new file the mode of the one it replaces, so a shared file stays shared and a secret one secret, and its owner.
/// Refuses to replace what is neither file nor link.
fn take_over(path: &Path, file: &File) -> Result<()> {
    let Ok(old) = std::fs::symlink_metadata(path) else { return Ok(()) };
    let kind = old.file_type();
    if !(kind.is_file() || kind.is_symlink() || kind.is_dir()) {
        let reason = "it is no regular file, and a file would take its place";
        return Err(Error::io(Operation::Rename, path, io::Error::new(ErrorKind::InvalidInput, reason)));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};
        let failed = |e| Error::io(Operation::Write, path, e);
        let new = file.metadata().map_err(failed)?;
        if !(old.is_file() && new.is_file()) {
            return Ok(());
        }
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            // Only the superuser may give files away, a member of the group at least that part; others keep the new one.
            let _ = fchown(file, Some(old.uid()), Some(old.gid())).or_else(|_| fchown(file, None, Some(old.gid())));
        }
        // After the change of owner, which takes bits away.
        file.set_permissions(old.permissions()).map_err(failed)?;
    }
    #[cfg(not(unix))]
    let _ = file;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_names_are_told_from_other_names() {
        for name in [".a.1-2.tmp", ".recipe.toml.99-0.tmp"] {
            assert!(is_temp_name(name), "{name}");
        }
        for name in ["a.1-2.tmp", ".a.tmp", ".a.1-2", "..1-2.tmp", ".a.1-.tmp", ".a.x-2.tmp", ".tmp", ""] {
            assert!(!is_temp_name(name), "{name}");
        }
    }

    /// Writes `size` bytes to a device that is always full.
    #[cfg(target_os = "linux")]
    fn message_of_full_disk(size: usize) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.bin");
        std::fs::write(&path, b"old").unwrap();
        let open = |temp: &Path| {
            ops::create_new(temp)?;
            std::fs::OpenOptions::new().write(true).open("/dev/full")
        };
        let error = replace(&path, open, |out| out.write_all(&vec![1; size])).unwrap_err();
        assert!(matches!(&error, Error::Io { cause, .. } if cause.kind() == ErrorKind::StorageFull), "{error:?}");
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        let left = ops::list(dir.path()).unwrap();
        assert_eq!(left, [("model.bin".to_owned(), false)], "a temporary file is left");
        error.to_string()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_reported_and_the_old_content_stays() {
        let message = message_of_full_disk(1 << 20);
        assert!(message.contains("no space left"), "{message}");
        assert!(message.contains("model.bin; nothing was replaced"), "{message}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_noticed_even_when_only_the_buffered_tail_fails() {
        assert!(message_of_full_disk(10).contains("nothing was replaced"));
    }
}
