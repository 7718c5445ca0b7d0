//! One file from its addresses.
//!
//! Bytes go into `NAME.part`; what is known of them (address, entity tag, how many are safe on the disk) into `NAME.part.json`. The
//! file gets the name `NAME` when its length and checksum are right. What another attempt, another address or another process may
//! build upon:
//!
//! | known | after a dropped connection or a killed process | after a power failure |
//! |---|---|---|
//! | SHA-256 | every byte in the file; the checksum decides in the end, and one fresh start follows if it does not agree | the same |
//! | entity tag or date, but no SHA-256 | the bytes known to be safe, if the server says that the file is still the same | the same |
//! | neither | nothing: the download starts again | nothing |

mod attempt;
mod partial_file;
mod retry;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, Result, readable_bytes};
use crate::manifest::Source;
use crate::net::Client;

use partial_file::PartialFile;

/// How often the stop flag is looked at during a wait.
const BLINK: Duration = Duration::from_millis(50);

/// What happens meanwhile.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A download begins or goes on.
    Begun {
        /// The file.
        name: &'a str,
        /// Its address.
        url: &'a str,
        /// Bytes that are here already.
        from: u64,
        /// Its size, where known.
        total: Option<u64>,
    },
    /// Bytes have arrived.
    Progress {
        /// The file.
        name: &'a str,
        /// Bytes that are here.
        done: u64,
        /// Its size, where known.
        total: Option<u64>,
    },
    /// An attempt failed and another will be made.
    Retry {
        /// The file.
        name: &'a str,
        /// Why.
        reason: &'a str,
        /// The wait before the next attempt in seconds.
        wait: f64,
    },
    /// What was here cannot be built upon.
    StartedAgain {
        /// The file.
        name: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// An address is given up for the next one.
    NextAddress {
        /// The file.
        name: &'a str,
        /// Why.
        reason: String,
    },
    /// A file is whole.
    Fetched {
        /// The file.
        name: &'a str,
        /// Its size.
        bytes: u64,
        /// Its SHA-256.
        sha256: &'a str,
        /// Whether the manifest knew this checksum.
        verified: bool,
    },
    /// A file is in place.
    Placed {
        /// Its path.
        path: &'a Path,
        /// Its size.
        bytes: u64,
        /// Its SHA-256.
        sha256: &'a str,
    },
}

/// Is told what happens.
pub type Watch<'a> = dyn FnMut(&Event<'_>) + 'a;

/// A downloaded file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downloaded {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
    /// The address that the manifest names.
    pub url: String,
    /// Whether the manifest knew its checksum.
    pub verified: bool,
}

/// Downloads `source` into `folder` as `folder/NAME`; a finished download that is there already is checked and taken.
///
/// # Errors
/// No address gave the right file ([`Error::Unreachable`], [`Error::WrongContent`], [`Error::AllFailed`]), the disk refused
/// ([`Error::Io`]), another process is at it ([`Error::Busy`]), or `stop` was set ([`Error::Stopped`]). What has arrived is kept where
/// it may be of use.
pub fn download(
    client: &Client,
    source: &Source,
    folder: &Path,
    stop: &AtomicBool,
    watch: &mut Watch<'_>,
) -> Result<Downloaded> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder, "the folder cannot be created"))?;
    let finished = folder.join(&source.name);
    if finished.is_file() {
        if let Ok(found) = verify(&finished, source) {
            return Ok(found.into_downloaded(finished, source, &source.urls[0]));
        }
        std::fs::remove_file(&finished).map_err(Error::io(&finished, "a wrong download cannot be removed"))?;
    }
    let part = PartialFile::open(folder, &source.name)?;
    let mut transfer = Transfer { client, source, part, stop, watch };
    let mut causes = Vec::new();
    for url in &source.urls {
        match transfer.download_address(url) {
            Ok(found) => {
                let Transfer { part, watch, .. } = transfer;
                part.finish(&finished)?;
                let verified = source.sha256.is_some();
                watch(&Event::Fetched { name: &source.name, bytes: found.bytes, sha256: &found.sha256, verified });
                return Ok(found.into_downloaded(finished, source, url));
            }
            Err(error) if error.is_of_address() => {
                if causes.len() + 1 < source.urls.len() {
                    (transfer.watch)(&Event::NextAddress { name: &source.name, reason: error.to_string() });
                }
                causes.push(error);
            }
            Err(error) => return Err(error),
        }
    }
    match causes.len() {
        1 => Err(causes.remove(0)),
        _ => Err(Error::AllFailed { name: source.name.clone(), causes }),
    }
}

/// A whole file, right as far as the manifest can tell.
struct Found {
    bytes: u64,
    sha256: String,
}

impl Found {
    fn into_downloaded(self, path: PathBuf, source: &Source, url: &str) -> Downloaded {
        let verified = source.sha256.is_some();
        Downloaded { path, bytes: self.bytes, sha256: self.sha256, url: url.to_owned(), verified }
    }
}

/// One file on its way.
struct Transfer<'a, 'w> {
    client: &'a Client,
    source: &'a Source,
    part: PartialFile,
    stop: &'a AtomicBool,
    watch: &'a mut Watch<'w>,
}

impl Transfer<'_, '_> {
    /// Tries one address until the file is whole, the address is given up, or the disk refuses.
    fn download_address(&mut self, url: &str) -> Result<Found> {
        self.part.fit_for(url, self.source)?;
        let mut last_chance = false;
        loop {
            let in_one_piece = self.until_whole(url)?;
            match verify(self.part.path(), self.source) {
                Ok(found) => return Ok(found),
                Err(Mismatch::Disk(error)) => return Err(error),
                Err(Mismatch::Content(reason)) => {
                    self.part.clear()?;
                    // Bytes of two answers, or of an earlier process, may not have belonged together.
                    if !in_one_piece && !last_chance {
                        last_chance = true;
                        let reason = format!("the pieces do not make the right file ({reason})");
                        (self.watch)(&Event::StartedAgain { name: &self.source.name, reason: &reason });
                        continue;
                    }
                    return Err(Error::WrongContent { url: url.to_owned(), reason });
                }
            }
        }
    }

    /// An error if the caller wants an end.
    fn check_stop(&self) -> Result<()> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(Error::Stopped { name: self.source.name.clone(), kept: self.part.length() }),
            false => Ok(()),
        }
    }

    /// Waits, unless the caller wants an end.
    fn pause(&self, wait: Duration) -> Result<()> {
        let begun = Instant::now();
        loop {
            self.check_stop()?;
            let left = wait.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(BLINK));
        }
    }
}

/// Why a file is not taken.
enum Mismatch {
    Content(String),
    Disk(Error),
}

/// Size and checksum of what is on the disk, held to the manifest.
fn verify(path: &Path, source: &Source) -> Result<Found, Mismatch> {
    let size = std::fs::metadata(path).map_err(Error::io(path, "cannot be read")).map_err(Mismatch::Disk)?.len();
    if let Some(expected) = source.bytes
        && size != expected
    {
        return Err(Mismatch::Content(format!("it has {size} bytes instead of {expected}")));
    }
    let sha256 = run_store::hash::file(path).map_err(|e| Mismatch::Disk(e.into()))?;
    match &source.sha256 {
        Some(expected) if *expected != sha256 => Err(Mismatch::Content(format!(
            "its SHA-256 is {sha256} ({}) instead of {expected}; the file at this address is a different one, or was changed on the way",
            readable_bytes(size)
        ))),
        _ => Ok(Found { bytes: size, sha256 }),
    }
}
