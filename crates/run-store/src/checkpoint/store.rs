//! A folder of checkpoints: saving, finding the newest that verifies, loading one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::manifest::{Checkpoint, FileEntry, MANIFEST, Manifest};
use crate::atomic::Temp;
use crate::error::{Error, Operation, Result};
use crate::{hash, ops, relative};

/// What a file of a checkpoint is made from.
#[derive(Debug, Clone, Copy)]
pub enum FileContent<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// A copy of the file at this path.
    CopyOf(&'a Path),
}

/// A checkpoint that was passed over, and why.
#[derive(Debug)]
pub struct Skipped {
    /// The step of its folder.
    pub step: u64,
    /// Its folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: Error,
}

/// What [`CheckpointStore::latest`] found.
#[derive(Debug)]
pub struct Latest {
    /// The newest checkpoint that verifies, if there is one.
    pub checkpoint: Option<Checkpoint>,
    /// The newer ones that do not, newest first: show them to the user.
    pub skipped: Vec<Skipped>,
}

/// The checkpoints in one folder, all of one configuration.
///
/// Creating the value touches no file; the first save creates the folder. See the
/// [module](super) for the layout and the guarantees.
#[derive(Debug, Clone)]
pub struct CheckpointStore {
    pub(super) dir: PathBuf,
    pub(super) config_hash: String,
}

/// A folder in the store that is a checkpoint by name.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) step: u64,
    pub(super) path: PathBuf,
    /// Whether it is the `.old` copy of a step that was being saved again.
    superseded: bool,
}

impl CheckpointStore {
    /// The store in `dir` for runs whose effective configuration hashes to `config_hash`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, config_hash: impl Into<String>) -> Self {
        Self { dir: dir.into(), config_hash: config_hash.into() }
    }

    /// The store's folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Saves a checkpoint of `step` made of `files` (name, content) and a free-form `state`.
    ///
    /// Names are relative, `/`-separated paths. Numbers in `state` must be finite: JSON has no NaN.
    /// When the step already exists and verifies with the same files and state, nothing is
    /// written; with other content, or damaged, it is replaced.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::BadName`] for a name that
    /// is not plain, is given twice or is the manifest's; [`Error::ConfigMismatch`] when the step
    /// exists with another configuration. Earlier checkpoints are untouched in every case.
    pub fn save(&self, step: u64, files: &[(&str, FileContent<'_>)], state: Value) -> Result<Checkpoint> {
        self.refuse_foreign(step)?;
        let staging = self.stage(step)?;
        let mut written = Vec::with_capacity(files.len());
        let mut names = BTreeSet::new();
        for &(name, content) in files {
            let fault = if names.insert(name) { name_fault(name) } else { Some("it is given twice") };
            if let Some(reason) = fault {
                return Err(bad_name(&self.path_of(step), name, reason));
            }
            written.push(staging.write(name, content)?);
        }
        self.commit(step, staging, written, state)
    }

    /// The newest checkpoint that verifies, and the newer ones that do not, with the reasons.
    ///
    /// # Errors
    /// [`Error::ConfigMismatch`] as soon as an intact manifest of another configuration is met:
    /// falling back past it would silently mix two runs. Errors of listing the folder. A folder
    /// that does not exist holds no checkpoints.
    pub fn latest(&self) -> Result<Latest> {
        let mut skipped = Vec::new();
        for entry in self.entries()? {
            match self.verify(&entry) {
                Ok(checkpoint) => {
                    return Ok(Latest { checkpoint: Some(checkpoint), skipped });
                }
                Err(foreign @ Error::ConfigMismatch { .. }) => return Err(foreign),
                Err(reason) => skipped.push(entry.skipped(reason)),
            }
        }
        Ok(Latest { checkpoint: None, skipped })
    }

    /// The checkpoint of `step`, verified.
    ///
    /// # Errors
    /// [`Error::NoCheckpoint`], [`Error::Damaged`], [`Error::ConfigMismatch`],
    /// [`Error::UnknownFormat`], or an error of reading it.
    pub fn load(&self, step: u64) -> Result<Checkpoint> {
        let mut failure = None;
        for entry in self.entries()? {
            if entry.step == step {
                match self.verify(&entry) {
                    Ok(checkpoint) => return Ok(checkpoint),
                    // The folder's own fault is worth more than that of its `.old` copy.
                    Err(error) => _ = failure.get_or_insert(error),
                }
            }
        }
        Err(failure.unwrap_or_else(|| Error::NoCheckpoint { dir: self.dir.clone(), step }))
    }

    /// The steps that have a folder, ascending; none is verified.
    ///
    /// # Errors
    /// When the store's folder cannot be listed.
    pub fn steps(&self) -> Result<Vec<u64>> {
        let mut steps: Vec<u64> = self.entries()?.iter().map(|entry| entry.step).collect();
        steps.dedup();
        steps.reverse();
        Ok(steps)
    }

    /// Removes the staging folders that killed processes left and returns their paths.
    ///
    /// Call it only while nobody saves to the store: when a run starts, under its
    /// [lock](crate::lock).
    ///
    /// # Errors
    /// When the folder cannot be listed or a staging folder cannot be removed.
    pub fn clean_stale_temps(&self) -> Result<Vec<PathBuf>> {
        let mut removed = Vec::new();
        for (name, is_dir) in ops::list(&self.dir)? {
            if is_dir && is_staging_name(&name) {
                let path = self.dir.join(name);
                ops::remove_dir_all(&path)?;
                removed.push(path);
            }
        }
        if !removed.is_empty() {
            ops::sync_dir(&self.dir)?;
        }
        Ok(removed)
    }

    /// Every folder that is a checkpoint by name: newest first, `.old` copies after their step.
    pub(super) fn entries(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for (name, is_dir) in ops::list(&self.dir)? {
            let (base, superseded) = match name.strip_suffix(".old") {
                Some(base) => (base, true),
                None => (name.as_str(), false),
            };
            let step = base.strip_prefix("step-").and_then(|n| n.parse().ok());
            if let Some(step) = step
                && is_dir
                && base == folder_name(step)
            {
                entries.push(Entry { step, path: self.dir.join(&name), superseded });
            }
        }
        entries.sort_by(|a, b| (b.step, a.superseded).cmp(&(a.step, b.superseded)));
        Ok(entries)
    }

    pub(super) fn verify(&self, entry: &Entry) -> Result<Checkpoint> {
        Checkpoint::verify(&entry.path, entry.step, &self.config_hash)
    }

    fn path_of(&self, step: u64) -> PathBuf {
        self.dir.join(folder_name(step))
    }

    /// A hidden sibling of the step's folder.
    pub(super) fn staging_path(&self, step: u64, suffix: &str) -> PathBuf {
        let (name, pid) = (folder_name(step), std::process::id());
        self.dir.join(format!(".{name}.tmp-{pid}{suffix}"))
    }

    fn refuse_foreign(&self, step: u64) -> Result<()> {
        match Manifest::read(&self.path_of(step), step, &self.config_hash) {
            Err(error @ (Error::ConfigMismatch { .. } | Error::UnknownFormat { .. })) => Err(error),
            _ => Ok(()),
        }
    }

    fn stage(&self, step: u64) -> Result<Staging> {
        ops::create_dir_all(&self.dir)?;
        let path = self.staging_path(step, "");
        // Left by a killed process that had our process id.
        ops::remove_dir_all(&path)?;
        let shown = self.path_of(step);
        ops::create_dir(&path).map_err(|e| Error::io(Operation::Create, &shown, e))?;
        Ok(Staging { folder: Temp::folder(path), shown })
    }

    /// Writes the manifest and puts the staged folder in place.
    fn commit(&self, step: u64, staging: Staging, mut files: Vec<FileEntry>, state: Value) -> Result<Checkpoint> {
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let target = self.path_of(step);
        let manifest = Manifest::new(step, &self.config_hash, files, state);
        let text = manifest.to_text(&target)?;

        let aside = match fs::symlink_metadata(&target) {
            Err(_) => None,
            Ok(_) => match Checkpoint::verify(&target, step, &self.config_hash) {
                Ok(existing) if existing.holds(&manifest) => return Ok(existing),
                // Valid: readers must find it until its successor is in place.
                Ok(_) => Some(self.dir.join(format!("{}.old", folder_name(step)))),
                // Of no use to anybody, and an `.old` copy may be the valid one.
                Err(Error::Damaged { .. }) => Some(self.staging_path(step, "-damaged")),
                // Unreadable at the moment is no proof of damage.
                Err(unknown) => return Err(unknown),
            },
        };
        staging.write(MANIFEST, FileContent::Bytes(text.as_bytes()))?;
        sync_folders(&staging.folder.path)?;
        if let Some(aside) = &aside {
            ops::remove_dir_all(aside)?;
            ops::rename(&target, aside)?;
        }
        staging.folder.rename(&target)?;
        ops::sync_dir(&self.dir)?;
        // Reading back costs one pass; nothing is deleted on the strength of an unread file.
        let saved = Checkpoint::verify(&target, step, &self.config_hash)?;
        if let Some(aside) = &aside {
            // The new checkpoint is safe, so a copy that resists is no failure of this save:
            // `clean_stale_temps` and `retain` try again.
            let _ = ops::remove_dir_all(aside);
        }
        Ok(saved)
    }
}

impl Entry {
    pub(super) fn skipped(self, reason: Error) -> Skipped {
        Skipped { step: self.step, path: self.path, reason }
    }
}

/// The folder of a checkpoint that is being saved.
struct Staging {
    folder: Temp,
    /// The checkpoint's final folder, which errors name.
    shown: PathBuf,
}

impl Staging {
    /// Writes one file and forces it to the disk.
    fn write(&self, name: &str, content: FileContent<'_>) -> Result<FileEntry> {
        let (path, shown) = (self.folder.path.join(name), self.shown.join(name));
        let failed = |e| Error::io(Operation::Create, &shown, e);
        fs::create_dir_all(ops::parent(&path)).map_err(failed)?;
        let file = ops::create_new(&path).map_err(failed)?;
        let (size, sha256) = match content {
            FileContent::Bytes(bytes) => {
                ops::write_all(&file, bytes, Operation::Write, &shown)?;
                (bytes.len() as u64, hash::bytes(bytes))
            }
            FileContent::CopyOf(source) => {
                ops::copy(source, &file, &shown)?;
                hash::size_and_hash(&path)?
            }
        };
        ops::sync_file(&file, &shown)?;
        Ok(FileEntry { name: name.to_owned(), size, sha256 })
    }
}

/// Forces the entries of a staging folder and of the folders in it to the disk.
fn sync_folders(dir: &Path) -> Result<()> {
    for (name, is_dir) in ops::list_raw(dir)? {
        if is_dir {
            sync_folders(&dir.join(name))?;
        }
    }
    ops::sync_dir(dir)
}

fn folder_name(step: u64) -> String {
    format!("step-{step:06}")
}

fn is_staging_name(name: &str) -> bool {
    name.starts_with(".step-") && name.contains(".tmp-")
}

fn name_fault(name: &str) -> Option<&'static str> {
    if name == MANIFEST {
        return Some("the manifest is written by the store");
    }
    relative::fault(name)
}

fn bad_name(folder: &Path, name: &str, reason: &'static str) -> Error {
    Error::BadName { folder: folder.to_owned(), name: name.to_owned(), reason }
}
