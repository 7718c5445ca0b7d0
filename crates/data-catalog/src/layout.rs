//! Where things stand below a data folder.
//!
//! ```text
//! glue/CoLA/train.tsv     the files of a set, in the folder that its manifest entry names
//! .data/parts/SET/        downloads that are not finished, and what is known of them
//! .data/receipts/SET.json what was fetched: addresses, sizes, checksums
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::manifest::{DataFile, DataSet};

/// A folder that holds data sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFolder {
    root: PathBuf,
}

/// What is remembered of a fetched set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// What was downloaded, by the name of the source.
    #[serde(default)]
    pub sources: BTreeMap<String, Record>,
    /// What is in place, by the path of the file in its set.
    #[serde(default)]
    pub files: BTreeMap<String, Record>,
}

/// What is remembered of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
    /// The address, or the file by hand, that it or its archive came from.
    pub from: String,
    /// Whether a checksum of the manifest stood behind it, its own or its archive's.
    pub verified: bool,
}

impl DataFolder {
    /// The folder at `root`, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of a set.
    pub fn set_folder(&self, set: &DataSet) -> PathBuf {
        join(&self.root, &set.folder)
    }

    /// Where a file of a set belongs.
    pub fn place(&self, set: &DataSet, file: &DataFile) -> PathBuf {
        join(&self.set_folder(set), &file.path)
    }

    /// Where the unfinished downloads of a set are.
    pub(crate) fn parts(&self, set: &DataSet) -> PathBuf {
        self.root.join(".data").join("parts").join(&set.id)
    }

    fn receipt_path(&self, set: &DataSet) -> PathBuf {
        self.root.join(".data").join("receipts").join(format!("{}.json", set.id))
    }

    /// What is remembered of a set; empty where it was never fetched. A receipt that cannot be understood counts as none: it is a
    /// help, not a condition.
    pub fn receipt(&self, set: &DataSet) -> Receipt {
        std::fs::read(self.receipt_path(set))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    pub(crate) fn write_receipt(&self, set: &DataSet, receipt: &Receipt) -> Result<()> {
        let path = self.receipt_path(set);
        make_parent(&path)?;
        Ok(run_store::atomic::write_json(path, receipt)?)
    }
}

/// Creates the folder that a file goes into.
pub(crate) fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(Error::io(parent, "the folder cannot be created"))
}

/// Puts a finished file in place: its content is on the disk before it has the name, and the name before this returns.
pub(crate) fn put_in_place(from: &Path, to: &Path) -> Result<()> {
    make_parent(to)?;
    // Windows flushes only through a writable handle.
    let file = std::fs::OpenOptions::new().read(true).write(true).open(from);
    file.and_then(|file| file.sync_all()).map_err(Error::io(from, "cannot be flushed to the disk"))?;
    match std::fs::rename(from, to) {
        Ok(()) => Ok(run_store::atomic::sync_dir(to.parent().unwrap_or(Path::new(".")))?),
        // The folder of a set may be a link to another disk.
        Err(e) if e.kind() == std::io::ErrorKind::CrossesDevices => {
            copy_in_place(from, to)?;
            std::fs::remove_file(from).map_err(Error::io(from, "cannot be removed after it was copied"))
        }
        Err(e) => Err(Error::io(to, "the finished file cannot be put in place")(e)),
    }
}

/// As [`put_in_place`], leaving the original where it is.
pub(crate) fn copy_in_place(from: &Path, to: &Path) -> Result<()> {
    make_parent(to)?;
    let mut input = std::fs::File::open(from).map_err(Error::io(from, "cannot be read"))?;
    Ok(run_store::atomic::write_with(to, |out| std::io::copy(&mut input, out).map(drop))?)
}

/// What is wrong with a path of the manifest; `None` for a plain relative one, which cannot leave its folder on any system.
pub(crate) fn fault(path: &str) -> Option<&'static str> {
    if path.is_empty() || path.starts_with('/') || path.ends_with('/') {
        return Some("a relative path such as `glue/CoLA` is needed");
    }
    if path.chars().any(|c| c.is_control() || matches!(c, '\\' | ':' | '<' | '>' | '"' | '|' | '?' | '*')) {
        return Some("it holds a character that some systems do not allow in names");
    }
    for part in path.split('/') {
        if part.is_empty() || part.starts_with('.') || part.ends_with('.') || part.ends_with(' ') {
            return Some("its parts must not be empty, begin or end with a dot, or end with a space");
        }
    }
    None
}

fn join(folder: &Path, relative: &str) -> PathBuf {
    relative.split('/').fold(folder.to_owned(), |path, part| path.join(part))
}
