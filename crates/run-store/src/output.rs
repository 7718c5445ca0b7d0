//! Writing to a path that a person names.
//!
//! Such a path can be a symbolic link, a pipe, a device or an open descriptor (`/dev/stdout`, `>(command)`). A link is followed,
//! and what it leads to is [replaced as a whole](crate::atomic), so that the link stays. What is no regular file has no
//! content to replace: bytes go through it, and nothing is promised about them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Operation, Result};
use crate::{atomic, ops};

/// As many links in a row as Linux follows.
const MAX_LINKS: usize = 40;

/// Writes `bytes` to whatever `path` is.
///
/// # Errors
/// As [`Target::of`] and [`atomic::write_file`]; what has gone through a pipe or a device is gone.
pub fn write(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    match Target::of(path)? {
        Target::File(place) => atomic::write_file(place, bytes),
        Target::Stream(place) => {
            // Most of them know no fsync.
            let written = open_stream(&place).and_then(|mut file| {
                ops::reach(ops::Step::Write)?;
                file.write_all(bytes)
            });
            written.map_err(|e| Error::io(Operation::WriteThrough, path, e))
        }
    }
}

/// Where the bytes of an output go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A regular file, or nothing yet, at this path, which is no link: replaced as a whole.
    File(PathBuf),
    /// A pipe, a device or an open descriptor: written through, never replaced.
    Stream(PathBuf),
}

impl Target {
    /// Finds out what an output to `path` would be written to, following links. Nothing is opened.
    ///
    /// # Errors
    /// [`Error::Io`] and its kin where `path` is a folder or a socket, where its links lead in a circle, and where it cannot be
    /// looked at.
    pub fn of(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let failed = |e| Error::io(Operation::Create, path, e);
        let wrong = |kind, what: &str| Err(failed(io::Error::new(kind, what.to_owned())));
        let mut at = path.to_owned();
        for _ in 0..=MAX_LINKS {
            let found = fs::symlink_metadata(&at);
            if descriptor(&at).is_some() {
                // One that is not open has no name.
                return found.map(|_| Self::Stream(at)).map_err(failed);
            }
            let kind = match found {
                Ok(found) => found.file_type(),
                Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Self::File(at)),
                Err(e) => return Err(failed(e)),
            };
            if kind.is_symlink() {
                // A relative link is meant from the folder it lies in.
                let to = fs::read_link(&at).map_err(failed)?;
                at = at.parent().unwrap_or(Path::new("")).join(to);
            } else if kind.is_file() {
                return Ok(Self::File(at));
            } else if kind.is_dir() {
                return wrong(ErrorKind::IsADirectory, "it is a folder");
            } else if is_socket(kind) {
                return wrong(ErrorKind::InvalidInput, "it is a socket, which cannot be opened as a file");
            } else {
                return Ok(Self::Stream(at));
            }
        }
        wrong(ErrorKind::InvalidInput, "its symbolic links lead in a circle")
    }

    /// The path without links.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Stream(path) => path,
        }
    }
}

/// Opens a [`Target::Stream`] for writing. A named pipe waits for its reader.
fn open_stream(path: &Path) -> io::Result<File> {
    ops::reach(ops::Step::Create)?;
    match descriptor(path) {
        // Where it leads to a file, content that is there is the shell's (`>>`) and stays.
        Some(Descriptor::Other) => OpenOptions::new().append(true).open(path),
        #[cfg(unix)]
        Some(Descriptor::Own(number)) => own(number, path),
        _ => OpenOptions::new().write(true).open(path),
    }
}

/// An open descriptor by its name in the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Descriptor {
    /// One of this process's standard streams.
    #[cfg(unix)]
    Own(u8),
    /// Any other.
    #[cfg_attr(not(unix), expect(dead_code, reason = "descriptors have no names there"))]
    Other,
}

/// The descriptor that `path` is: `/dev/fd/N` or `/proc/ID/fd/N`.
///
/// On Linux these are links that say which file is open and lead to it even if it has no name any more, so their text is not
/// followed.
#[cfg(unix)]
fn descriptor(path: &Path) -> Option<Descriptor> {
    let number: u32 = path.file_name()?.to_str()?.parse().ok()?;
    let folder = ops::parent(path).canonicalize().ok()?;
    let is = |name: &str| Path::new(name).canonicalize().is_ok_and(|own| own == folder);
    if is("/dev/fd") || is("/proc/self/fd") {
        return Some(if number <= 2 { Descriptor::Own(number as u8) } else { Descriptor::Other });
    }
    (folder.starts_with("/proc") && folder.ends_with("fd")).then_some(Descriptor::Other)
}

#[cfg(not(unix))]
fn descriptor(_: &Path) -> Option<Descriptor> {
    None
}

/// A copy of a standard stream, which shares its position in a file: opened anew, it would begin at the start and be written over
/// by what follows on the stream itself.
#[cfg(unix)]
fn own(number: u8, path: &Path) -> io::Result<File> {
    use std::os::fd::AsFd;
    let copy = match number {
        // A terminal can be written to there too.
        0 => io::stdin().as_fd().try_clone_to_owned(),
        1 => io::stdout().as_fd().try_clone_to_owned(),
        2 => io::stderr().as_fd().try_clone_to_owned(),
        _ => return OpenOptions::new().append(true).open(path),
    };
    copy.map(File::from)
}

#[cfg(unix)]
fn is_socket(kind: fs::FileType) -> bool {
    use std::os::unix::fs::FileTypeExt;
    kind.is_socket()
}

#[cfg(not(unix))]
fn is_socket(_: fs::FileType) -> bool {
    false
}
