//! Whole data sets: what is missing is downloaded, unpacked or built, and put in place.
//!
//! A file that is here and right is left alone, so a fetch that was interrupted is repeated by the same command. A file of another
//! content is never replaced unless that is asked for. Where the manifest knows no checksum, the first one seen is remembered and
//! later downloads are held to it.

mod set;
mod state;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use crate::download::Watch;
use crate::error::{Error, Result};
use crate::layout::DataFolder;
use crate::manifest::DataSet;
use crate::net::Client;

pub use state::{PlacedFile, file_state};

/// How to fetch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// A folder with files fetched by other means, under the names of the manifest's sources, there or in a folder of the set's name.
    /// What it does not hold is downloaded.
    pub from: Option<PathBuf>,
    /// Replace files of another content, and accept a checksum other than the one remembered.
    pub force: bool,
    /// Keep archives after unpacking, in `.data/parts`.
    pub keep_archives: bool,
}

/// What a fetch of one set did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SetOutcome {
    /// The set.
    pub id: String,
    /// Its files in the order of the manifest.
    pub files: Vec<FileOutcome>,
}

/// What a fetch did for one file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileOutcome {
    /// Its path in the data folder.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256; `None` for a file that was here before and whose checksum nobody knows.
    pub sha256: Option<String>,
    /// What was done.
    pub how: How,
    /// Whether a checksum of the manifest stands behind it: its own, its archive's or those of the files it was built from.
    pub verified: bool,
}

/// How a file came here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// It was here.
    Present,
    /// It was downloaded or copied.
    Fetched,
    /// It was taken out of an archive.
    Unpacked,
    /// It was made from other files.
    Built,
}

/// Everything that a fetch needs besides the set.
pub struct Fetcher<'a> {
    /// Where data sets are.
    pub folder: &'a DataFolder,
    /// Makes the requests.
    pub client: &'a Client,
    /// How.
    pub options: &'a Options,
    /// Ends the work between two pieces; what has arrived is kept.
    pub stop: &'a AtomicBool,
}

impl Fetcher<'_> {
    /// Fetches one set.
    ///
    /// # Errors
    /// [`Error::Unavailable`] and [`Error::Occupied`] before anything is downloaded; else as [`crate::download::download`] and
    /// [`crate::unpack::unpack`]. Files that were placed before the error are whole and stay.
    pub fn fetch(&self, set: &DataSet, watch: &mut Watch<'_>) -> Result<SetOutcome> {
        set::fetch(self, set, watch)
    }

    /// Fetches several sets. One that fails does not keep the others from being fetched, unless the disk refuses or the caller wants
    /// an end.
    pub fn fetch_all<'s>(&self, sets: &[&'s DataSet], watch: &mut Watch<'_>) -> Vec<(&'s DataSet, Result<SetOutcome>)> {
        let mut outcomes = Vec::with_capacity(sets.len());
        for set in sets {
            let outcome = self.fetch(set, watch);
            let ends = matches!(outcome, Err(Error::Stopped { .. } | Error::Io { .. } | Error::Storage(_)));
            outcomes.push((*set, outcome));
            if ends {
                break;
            }
        }
        outcomes
    }
}
