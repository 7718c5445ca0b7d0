//! Members of tar files compressed with gzip. They are read front to back once, so members are placed in the archive's order.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::{MemberRequest, Placed, member, missing, refused};
use crate::error::{Error, Result};

pub(super) fn unpack(archive: &Path, wanted: &[MemberRequest], limit: u64) -> Result<Vec<Placed>> {
    let damaged = |e: std::io::Error| Error::Archive {
        path: archive.to_owned(),
        reason: format!("not a usable tar.gz file: {e}"),
    };
    let file = File::open(archive).map_err(Error::io(archive, "cannot be read"))?;
    // Headers and members that are not wanted are decompressed too, so they need a bound of their own.
    let all = limit.saturating_mul(4).saturating_add(wanted.iter().filter_map(|file| file.bytes).sum());
    let mut tar = ::tar::Archive::new(MultiGzDecoder::new(BufReader::new(file)).take(all));
    let mut seen = Vec::new();
    let mut found = vec![false; wanted.len()];
    let mut placed = Vec::with_capacity(wanted.len());
    for entry in tar.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let plain = name.strip_prefix("./").unwrap_or(&name);
        if let Some(which) = wanted.iter().position(|file| file.member == plain) {
            if std::mem::replace(&mut found[which], true) {
                return Err(refused(archive, plain, "is in it twice"));
            }
            if !entry.header().entry_type().is_file() {
                return Err(refused(archive, plain, "is no plain file"));
            }
            let declared = entry.size();
            placed.push(member(archive, &mut entry, &wanted[which], declared, limit)?);
        }
        seen.push(name);
    }
    missing(archive, wanted, &found, &seen)?;
    Ok(placed)
}
