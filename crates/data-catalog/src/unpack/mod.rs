//! Files out of archives, and files made from others.
//!
//! Names inside an archive are compared with those of the manifest and never used as paths, so no archive can write anywhere else. A
//! member goes to its final name through a temporary one, once its size and checksum are right. The size is counted while it is
//! unpacked: what an archive says of itself is not believed.

mod mrpc;
mod sink;
mod tar;
mod zip;

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::layout;
use crate::manifest::{ArchiveKind, Recipe};

use sink::{Limits, place};

/// The largest member that is unpacked where the manifest does not say its size.
pub const MAX_MEMBER_BYTES: u64 = 64 << 30;

/// A member that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRequest {
    /// The path inside, exactly as the archive has it.
    pub member: String,
    /// Where it goes.
    pub to: PathBuf,
    /// Its size, where known.
    pub bytes: Option<u64>,
    /// Its SHA-256, where known.
    pub sha256: Option<String>,
}

/// A file that is in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
}

/// Takes the wanted members out of an archive. `limit` bounds members of unknown size, see [`MAX_MEMBER_BYTES`].
///
/// # Errors
/// [`Error::Archive`]: it is damaged, lacks a member, has one twice or as something other than a plain file, or a member has another
/// size or checksum. Members before the bad one are then in place, whole; the bad one and those after it are not.
pub fn unpack(archive: &Path, kind: ArchiveKind, wanted: &[MemberRequest], limit: u64) -> Result<Vec<Placed>> {
    for file in wanted {
        layout::make_parent(&file.to)?;
    }
    match kind {
        ArchiveKind::Zip => zip::unpack(archive, wanted, limit),
        ArchiveKind::TarGz => tar::unpack(archive, wanted, limit),
    }
}

/// Makes a file from others: `folder` is the set's folder, where the inputs are.
///
/// # Errors
/// [`Error::Build`] with file and line, or the file's size or checksum is not the expected one ([`Error::WrongFile`]).
pub fn build(recipe: Recipe, folder: &Path, to: &Path, expected: Option<u64>, sha256: Option<&str>) -> Result<Placed> {
    let made = match recipe {
        Recipe::MrpcTrain => mrpc::labeled(folder, false)?,
        Recipe::MrpcDev => mrpc::labeled(folder, true)?,
        Recipe::MrpcTest => mrpc::unlabeled(folder)?,
    };
    layout::make_parent(to)?;
    let limits = Limits { bytes: expected, sha256, most: made.len() as u64 };
    place(&mut made.as_slice(), to, limits).map_err(|fault| fault.of_file(to))
}

/// An error if a member was not found; it names what is there instead.
fn missing(archive: &Path, wanted: &[MemberRequest], found: &[bool], seen: &[String]) -> Result<()> {
    let Some((file, _)) = wanted.iter().zip(found).find(|(_, found)| !**found) else { return Ok(()) };
    const SHOWN: usize = 12;
    let mut names: Vec<&str> = seen.iter().take(SHOWN).map(String::as_str).collect();
    if seen.len() > SHOWN {
        names.push("...");
    }
    let reason = format!("it holds no `{}`; it holds {} entries: {}", file.member, seen.len(), names.join(", "));
    Err(Error::Archive { path: archive.to_owned(), reason })
}

/// Unpacks one member, which the archive declares to have so many bytes.
fn member(archive: &Path, input: &mut dyn Read, file: &MemberRequest, declared: u64, limit: u64) -> Result<Placed> {
    let (bytes, most) = (file.bytes.unwrap_or(declared), file.bytes.unwrap_or(limit));
    if declared > most {
        return Err(refused(archive, &file.member, &format!("has {declared} bytes; at most {most} are taken")));
    }
    let limits = Limits { bytes: Some(bytes), sha256: file.sha256.as_deref(), most };
    place(input, &file.to, limits).map_err(|fault| fault.of_member(archive, &file.member, &file.to))
}

/// A member that cannot be taken.
fn refused(archive: &Path, member: &str, what: &str) -> Error {
    Error::Archive { path: archive.to_owned(), reason: format!("`{member}` {what}") }
}
