//! Bytes into a file under its final name, if they turn out to be the right ones.

use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::Placed;
use crate::error::{Error, readable_bytes};

/// What the bytes must be.
#[derive(Clone, Copy)]
pub(super) struct Limits<'a> {
    /// Their exact number, where known.
    pub bytes: Option<u64>,
    /// Their SHA-256, where known.
    pub sha256: Option<&'a str>,
    /// No more than this is written.
    pub most: u64,
}

/// Why a file was not placed.
pub(super) enum Fault {
    /// The source could not be read.
    Read(io::Error),
    /// The bytes are not the right ones.
    Content(String),
    /// The target could not be written.
    Write(run_store::Error),
}

impl Fault {
    pub fn of_member(self, archive: &Path, member: &str, to: &Path) -> Error {
        match self {
            Self::Read(e) => Error::Archive { path: archive.to_owned(), reason: format!("`{member}` is damaged: {e}") },
            Self::Content(reason) => {
                Error::Archive { path: archive.to_owned(), reason: format!("`{member}` {reason}") }
            }
            other => other.of_file(to),
        }
    }

    pub fn of_file(self, to: &Path) -> Error {
        match self {
            Self::Read(e) => Error::io(to, "cannot be made")(e),
            Self::Content(reason) => {
                Error::WrongFile { path: to.to_owned(), reason: format!("the file made {reason}") }
            }
            Self::Write(e) => e.into(),
        }
    }
}

/// Copies `input` to `to`, atomically, if it keeps to the limits.
pub(super) fn place(input: &mut dyn Read, to: &Path, limits: Limits<'_>) -> Result<Placed, Fault> {
    let mut outcome = Ok((0, String::new()));
    let written = run_store::atomic::write_with(to, |out| {
        outcome = copy(input, out, limits)?;
        // Nothing is put in place then; `outcome` knows more.
        outcome.as_ref().map(|_| ()).map_err(|_| io::Error::other("not the right content"))
    });
    let (bytes, sha256) = outcome?;
    written.map_err(Fault::Write)?;
    Ok(Placed { path: to.to_owned(), bytes, sha256 })
}

/// Size and SHA-256 of what was copied; the outer error is that of `out`.
fn copy(input: &mut dyn Read, out: &mut dyn Write, limits: Limits<'_>) -> io::Result<Result<(u64, String), Fault>> {
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 64 * 1024];
    let mut count = 0_u64;
    loop {
        let read = match input.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => read,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => return Ok(Err(Fault::Read(e))),
        };
        count += read as u64;
        if count > limits.most {
            let reason = format!("is larger than {} ({})", limits.most, readable_bytes(limits.most));
            return Ok(Err(Fault::Content(reason)));
        }
        hasher.update(&piece[..read]);
        out.write_all(&piece[..read])?;
    }
    if let Some(expected) = limits.bytes
        && expected != count
    {
        return Ok(Err(Fault::Content(format!("has {count} bytes instead of {expected}"))));
    }
    let sha256 = run_store::hash::hex(&hasher.finalize());
    Ok(match limits.sha256 {
        Some(expected) if expected != sha256 => {
            Err(Fault::Content(format!("has SHA-256 {sha256} instead of {expected}")))
        }
        _ => Ok((count, sha256)),
    })
}
