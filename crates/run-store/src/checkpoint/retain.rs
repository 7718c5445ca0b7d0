//! Deleting old checkpoints, never the last good one.

use super::manifest::Manifest;
use super::store::{CheckpointStore, Entry};
use crate::error::{Error, Result};
use crate::ops;

impl CheckpointStore {
    /// Keeps the newest `last_k` checkpoints that verify (at least one) and deletes the older ones; gives the steps of the deleted
    /// folders, newest first.
    ///
    /// What is kept is verified first, so nothing is deleted on the strength of a damaged folder.
    /// Damaged folders older than a valid checkpoint are deleted too; newer ones, and those that
    /// could not be read or have a newer format, stay. When no checkpoint verifies, nothing is
    /// deleted.
    ///
    /// # Errors
    /// [`Error::ConfigMismatch`] when the store holds a checkpoint of another configuration
    /// (nothing is deleted then), or an error of listing, reading or deleting.
    pub fn retain(&self, last_k: usize) -> Result<Vec<u64>> {
        let last_k = last_k.max(1);
        let (mut kept, mut doomed) = (Vec::new(), Vec::new());
        for entry in self.entries()? {
            if kept.last() == Some(&entry.step) {
                // The superseded copy of a step that verified.
                doomed.push(entry);
                continue;
            }
            let is_kept = kept.len() < last_k;
            let judged = match is_kept {
                true => self.verify(&entry).map(drop),
                false => Manifest::read(&entry.path, entry.step, &self.config_hash).map(drop),
            };
            match judged {
                Ok(()) if is_kept => kept.push(entry.step),
                Ok(()) => doomed.push(entry),
                Err(foreign @ Error::ConfigMismatch { .. }) => return Err(foreign),
                Err(Error::Damaged { .. }) if !kept.is_empty() => doomed.push(entry),
                Err(_) => {}
            }
        }
        self.remove(&doomed)?;
        Ok(doomed.iter().map(|entry| entry.step).collect())
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
