//! Members of zip files.

use std::borrow::Cow;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use super::{MemberRequest, Placed, member, missing, refused};
use crate::error::{Error, Result};

/// More entries than any data set of ours has; the index of a hostile archive is not read to its end.
const MAX_ENTRIES: usize = 100_000;

pub(super) fn unpack(archive: &Path, wanted: &[MemberRequest], limit: u64) -> Result<Vec<Placed>> {
    let damaged = |e: ::zip::result::ZipError| Error::Archive {
        path: archive.to_owned(),
        reason: format!("not a usable zip file: {e}"),
    };
    let file = File::open(archive).map_err(Error::io(archive, "cannot be read"))?;
    let mut zip = ::zip::ZipArchive::new(BufReader::new(file)).map_err(damaged)?;
    if zip.len() > MAX_ENTRIES {
        let reason = format!("{} entries are more than {MAX_ENTRIES}", zip.len());
        return Err(Error::Archive { path: archive.to_owned(), reason });
    }
    let mut seen = Vec::with_capacity(zip.len());
    let mut at = vec![None; wanted.len()];
    for index in 0..zip.len() {
        let entry = zip.by_index_raw(index).map_err(damaged)?;
        // A name that cannot be decoded is none of ours.
        let name = entry.name().map_or_else(|_| format!("entry {index}"), Cow::into_owned);
        if let Some(which) = wanted.iter().position(|file| file.member == name) {
            at[which] = Some(index);
            if !entry.is_file() {
                return Err(refused(archive, &name, "is no plain file"));
            }
            if entry.encrypted() {
                return Err(refused(archive, &name, "is encrypted"));
            }
        }
        seen.push(name);
    }
    missing(archive, wanted, &at.iter().map(Option::is_some).collect::<Vec<_>>(), &seen)?;
    let mut placed = Vec::with_capacity(wanted.len());
    for (file, index) in wanted.iter().zip(at.into_iter().flatten()) {
        let mut entry = zip.by_index(index).map_err(damaged)?;
        let declared = entry.size();
        placed.push(member(archive, &mut entry, file, declared, limit)?);
    }
    Ok(placed)
}
