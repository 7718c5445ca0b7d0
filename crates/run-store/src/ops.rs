//! The one place where this crate changes the disk.
//!
//! Each function is one step that a crash can separate from the next. `shown` is the path that an
//! error names when it is not the one acted on: people know their file, not its temporary name.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

use crate::error::{Error, Operation, Result};
#[cfg(any(test, feature = "failpoints"))]
pub(crate) use crate::failpoints::{reach, torn};

/// A step that changes the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Create,
    Write,
    Sync,
    Rename,
    Remove,
    Truncate,
}

/// Where a crash can be injected; nothing happens without the feature `failpoints`.
#[cfg(not(any(test, feature = "failpoints")))]
pub(crate) fn reach(_step: Step) -> io::Result<()> {
    Ok(())
}

/// Writes are not torn either.
#[cfg(not(any(test, feature = "failpoints")))]
fn torn(_length: usize) -> usize {
    0
}

/// The folder of `path`; the current one for a bare file name.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Creates a file that must not exist. The raw error lets the caller retry under another name.
pub(crate) fn create_new(path: &Path) -> io::Result<File> {
    reach(Step::Create)?;
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Writes all of `bytes` with one `write` call unless the system takes only part of them.
pub(crate) fn write_all(mut file: &File, bytes: &[u8], op: Operation, shown: &Path) -> Result<()> {
    let (first, rest) = bytes.split_at(torn(bytes.len()));
    let mut write = |piece: &[u8]| {
        reach(Step::Write)?;
        file.write_all(piece)
    };
    let torn = if first.is_empty() { Ok(()) } else { write(first) };
    torn.and_then(|()| write(rest)).map_err(|e| Error::io(op, shown, e))
}

/// Opens a file that is appended to, created if need be.
pub(crate) fn open_append(path: &Path) -> io::Result<File> {
    reach(Step::Create)?;
    OpenOptions::new().append(true).create(true).open(path)
}

/// Opens a file to read and overwrite it, created if need be.
pub(crate) fn open_or_create(path: &Path) -> io::Result<File> {
    reach(Step::Create)?;
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

pub(crate) fn sync_file(file: &File, shown: &Path) -> Result<()> {
    reach(Step::Sync).and_then(|()| file.sync_all()).map_err(|e| Error::io(Operation::Sync, shown, e))
}

pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    reach(Step::Rename).and_then(|()| fs::rename(from, to)).map_err(|e| Error::io(Operation::Rename, to, e))
}

/// Forces the entries of a folder (creations, renames, deletions) to the disk.
///
/// Unix only: Windows has no such call and records renames in its own journal. File systems that
/// do not know the call at all (some network and FUSE mounts) are taken as they are.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        let outcome = reach(Step::Sync).and_then(|()| File::open(dir)).and_then(|folder| folder.sync_all());
        match outcome {
            Err(e) if !matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
                return Err(Error::io(Operation::SyncFolder, dir, e));
            }
            _ => {}
        }
    }
    #[cfg(not(unix))]
    let _ = dir;
    Ok(())
}

/// Creates one folder that must not exist, without syncing its parent.
pub(crate) fn create_dir(dir: &Path) -> io::Result<()> {
    reach(Step::Create).and_then(|()| fs::create_dir(dir))
}

/// Creates a folder and whatever is missing above it, each entry forced to the disk.
pub(crate) fn create_dir_all(dir: &Path) -> Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let above = parent(dir);
    if above != dir {
        create_dir_all(above)?;
    }
    match create_dir(dir) {
        Ok(()) => sync_dir(above),
        Err(e) if e.kind() == ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        Err(e) => Err(Error::io(Operation::Create, dir, e)),
    }
}

/// Deletes a file; one that is already gone is fine.
pub(crate) fn remove_file(path: &Path) -> Result<()> {
    match reach(Step::Remove).and_then(|()| fs::remove_file(path)) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(Operation::Remove, path, e)),
        _ => Ok(()),
    }
}

/// Deletes a folder with everything in it; one that is already gone is fine.
pub(crate) fn remove_dir_all(dir: &Path) -> Result<()> {
    match reach(Step::Remove).and_then(|()| fs::remove_dir_all(dir)) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(Operation::Remove, dir, e)),
        _ => Ok(()),
    }
}

pub(crate) fn truncate(file: &File, length: u64, op: Operation, shown: &Path) -> Result<()> {
    reach(Step::Truncate).and_then(|()| file.set_len(length)).map_err(|e| Error::io(op, shown, e))
}

/// Copies the file at `source` into the empty file `target`.
pub(crate) fn copy(source: &Path, target: &File, shown: &Path) -> Result<()> {
    let unreadable = |e| Error::io(Operation::Read, source, e);
    let mut source_file = File::open(source).map_err(unreadable)?;
    let mut piece = vec![0; 64 * 1024];
    loop {
        // Not io::copy: it does not tell which of the two files failed.
        match source_file.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(count) => write_all(target, &piece[..count], Operation::Write, shown)?,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(unreadable(e)),
        }
    }
}

/// The entries of a folder as (name, is a folder), sorted by name; symbolic links are not followed.
/// A folder that does not exist has none.
pub(crate) fn list_raw(dir: &Path) -> Result<Vec<(OsString, bool)>> {
    let failed = |e| Error::io(Operation::List, dir, e);
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed(e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let is_dir = entry.file_type().map_err(failed)?.is_dir();
        names.push((entry.file_name(), is_dir));
    }
    names.sort();
    Ok(names)
}

/// As [`list_raw`], without names that are not Unicode: none of ours is like that.
pub(crate) fn list(dir: &Path) -> Result<Vec<(String, bool)>> {
    let unicode = |(name, is_dir): (OsString, bool)| Some((name.into_string().ok()?, is_dir));
    Ok(list_raw(dir)?.into_iter().filter_map(unicode).collect())
}
