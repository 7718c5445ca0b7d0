//! Deleting old checkpoints, never the last good one.

use super::manifest::Manifest;
use super::store::{CheckpointStore, Entry, Skipped};
use crate::error::{Error, Result};
use crate::ops;

/// What [`CheckpointStore::retain`] did.
#[derive(Debug)]
pub struct Retained {
    /// The steps that were verified and kept, newest first.
    pub kept: Vec<u64>,
    /// The steps of the folders that were deleted, newest first.
    pub removed: Vec<u64>,
    /// Checkpoints that do not verify; they were deleted only if `removed` lists them.
    pub skipped: Vec<Skipped>,
}

impl CheckpointStore {
    /// Keeps the newest `last_k` checkpoints that verify (at least one) and the one of step `keep`
    /// (the best, say), and deletes the older ones.
    ///
    /// What is kept is verified first, so nothing is deleted on the strength of a damaged folder.
    /// Damaged folders older than a valid checkpoint are deleted too; newer ones, and those that
    /// could not be read or have a newer format, stay. When no checkpoint verifies, nothing is
    /// deleted.
    ///
    /// # Errors
    /// [`Error::ConfigMismatch`] when the store holds a checkpoint of another configuration
    /// (nothing is deleted then), or an error of listing, reading or deleting.
    pub fn retain(&self, last_k: usize, keep: Option<u64>) -> Result<Retained> {
        let last_k = last_k.max(1);
        let mut kept = Vec::new();
        let mut doomed: Vec<Entry> = Vec::new();
        let mut skipped = Vec::new();
        for entry in self.entries()? {
            let protected = keep == Some(entry.step);
            if kept.last() == Some(&entry.step) {
                // The superseded copy of a step that verified.
                doomed.push(entry);
            } else if kept.len() < last_k || protected {
                match self.verify(&entry) {
                    Ok(_) => kept.push(entry.step),
                    Err(foreign @ Error::ConfigMismatch { .. }) => return Err(foreign),
                    Err(reason) => {
                        let useless = matches!(reason, Error::Damaged { .. });
                        skipped.push(entry.clone().skipped(reason));
                        if useless && !protected && !kept.is_empty() {
                            doomed.push(entry);
                        }
                    }
                }
            } else {
                match Manifest::read(&entry.path, entry.step, &self.config_hash) {
                    Ok(_) => doomed.push(entry),
                    Err(Error::Damaged { path, reason }) => {
                        skipped.push(entry.clone().skipped(Error::Damaged { path, reason }));
                        doomed.push(entry);
                    }
                    Err(foreign @ Error::ConfigMismatch { .. }) => return Err(foreign),
                    Err(reason) => skipped.push(entry.skipped(reason)),
                }
            }
        }
        self.remove(&doomed)?;
        Ok(Retained { kept, removed: doomed.iter().map(|entry| entry.step).collect(), skipped })
    }

    /// Deletes every checkpoint of the store, verified or not, and the store's folder where nothing else is in it; gives their number.
    /// For results that are kept elsewhere, and trainings that begin anew.
    ///
    /// # Errors
    /// An error of listing or deleting; what was deleted before it is gone.
    pub fn clear(&self) -> Result<usize> {
        self.clean_stale_temps()?;
        let entries = self.entries()?;
        self.remove(&entries)?;
        if self.dir.is_dir() && ops::list_raw(&self.dir)?.is_empty() {
            ops::remove_dir_all(&self.dir)?;
            ops::sync_dir(ops::parent(&self.dir))?;
        }
        Ok(entries.len())
    }

    fn remove(&self, doomed: &[Entry]) -> Result<()> {
        for entry in doomed {
            // Renamed first: a kill while deleting leaves a stray folder, not a damaged checkpoint.
            let aside = self.staging_path(entry.step, "-removed");
            ops::remove_dir_all(&aside)?;
            ops::rename(&entry.path, &aside)?;
            ops::remove_dir_all(&aside)?;
        }
        if !doomed.is_empty() {
            ops::sync_dir(&self.dir)?;
        }
        Ok(())
    }
}
