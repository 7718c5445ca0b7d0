//! What there is, and what of it is here.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;

use crate::error::Result;
use crate::fetch::{PlacedFile, file_state};
use crate::layout::DataFolder;
use crate::manifest::{Catalog, DataSet};

/// What is here of a set. Sizes are compared, contents are not read: [`crate::check`] does that.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SetState {
    /// The set.
    pub id: String,
    /// Its group.
    pub group: String,
    /// What it is.
    pub title: String,
    /// The license of the data.
    pub license: String,
    /// The page of its makers.
    pub home: String,
    /// What a user should know, or why it cannot be fetched.
    pub note: Option<String>,
    /// Its folder in the data folder.
    pub folder: String,
    /// The size of the download, where known.
    pub download_bytes: Option<u64>,
    /// How much of it is here.
    pub presence: Presence,
    /// Its files.
    pub files: Vec<FileState>,
    /// Other files in its folder that belong to no set.
    pub others: Vec<String>,
}

/// How much of a set is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// Every file.
    Complete,
    /// Some files.
    Partial,
    /// No file.
    Absent,
    /// It cannot be fetched.
    Unavailable,
}

/// What is here of a file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileState {
    /// Its path in the set's folder.
    pub path: String,
    /// Which part of the data it is.
    pub split: Option<String>,
    /// Its official rows.
    pub rows: Option<u64>,
    /// Its size, where known.
    pub bytes: Option<u64>,
    /// Whether it is here.
    pub here: bool,
    /// How what is there differs.
    pub differs: Option<String>,
}

/// The state of every set of the catalog.
///
/// # Errors
/// A folder or file cannot be looked at.
pub fn list(catalog: &Catalog, folder: &DataFolder) -> Result<Vec<SetState>> {
    let known: BTreeSet<_> =
        catalog.sets.iter().flat_map(|set| set.files.iter().map(|file| folder.place(set, file))).collect();
    catalog
        .sets
        .iter()
        .map(|set| {
            let mut state = set_state(set, folder)?;
            state.others = others(&folder.set_folder(set), &|path| known.contains(path));
            Ok(state)
        })
        .collect()
}

fn set_state(set: &DataSet, folder: &DataFolder) -> Result<SetState> {
    let receipt = folder.receipt(set);
    let mut files = Vec::with_capacity(set.files.len());
    for file in &set.files {
        let record = receipt.files.get(&file.path);
        let state = file_state(&folder.place(set, file), file, record, false)?;
        files.push(FileState {
            path: file.path.clone(),
            split: file.split.clone(),
            rows: file.rows,
            bytes: file.bytes.or_else(|| record.map(|r| r.bytes)),
            here: matches!(state, PlacedFile::Right { .. }),
            differs: match state {
                PlacedFile::Other(reason) => Some(reason),
                _ => None,
            },
        });
    }
    let presence = match files.iter().filter(|file| file.here).count() {
        _ if set.unavailable.is_some() => Presence::Unavailable,
        0 => Presence::Absent,
        count if count == files.len() => Presence::Complete,
        _ => Presence::Partial,
    };
    Ok(SetState {
        id: set.id.clone(),
        group: set.group.clone(),
        title: set.title.clone(),
        license: set.license.clone(),
        home: set.home.clone(),
        note: set.unavailable.clone().or_else(|| set.note.clone()),
        folder: set.folder.clone(),
        download_bytes: set.download_bytes().filter(|_| !set.sources.is_empty()),
        presence,
        files,
        others: Vec::new(),
    })
}

/// Names of plain files in a folder that `known` does not claim, sorted.
fn others(folder: &Path, known: &dyn Fn(&Path) -> bool) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file() && !known(path))
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}
