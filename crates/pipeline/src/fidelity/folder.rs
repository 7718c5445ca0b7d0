//! The folder of a measurement, and with what it was begun.

use std::path::{Path, PathBuf};

use run_store::lock::{Holder, RunLock};
use run_store::rundir::RunPaths;
use serde::{Deserialize, Serialize};

use super::draw::Drawn;
use super::record::{self, Row};
use crate::recipe::{Recipe, differences};
use crate::{Error, Result};

/// What a measurement was begun with.
const BEGUN: &str = "fidelity.json";
/// Its scores.
const SCORES: &str = "scores.jsonl";

/// What a measurement was begun with: what decides its scores.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Begun {
    spread: bool,
    recipe: Recipe,
}

/// The folder of a measurement that this process works in.
#[derive(Debug)]
pub(super) struct MeasurementFolder {
    paths: RunPaths,
    hash: String,
    /// Until it is dropped, no other process works there.
    _lock: RunLock,
}

impl MeasurementFolder {
    /// Refuses a folder that holds something else than a measurement of `recipe`; nothing is written.
    ///
    /// # Errors
    /// [`Error::Mismatch`] with what is there, or what is different.
    pub(super) fn check(folder: &Path, recipe: &Recipe, spread: bool) -> Result<()> {
        let path = folder.join(BEGUN);
        if !path.exists() {
            let Ok(mut entries) = std::fs::read_dir(folder) else { return Ok(()) };
            // What a process left that was killed right at the start.
            let other =
                entries.find_map(|entry| Some(entry.ok()?.file_name()).filter(|name| *name != run_store::lock::LOCK));
            return match other {
                None => Ok(()),
                Some(name) => Err(Error::Mismatch(format!(
                    "{} is not empty ({}), and holds no measurement to go on with; name another folder",
                    folder.display(),
                    name.to_string_lossy()
                ))),
            };
        }
        let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let begun: Begun = serde_json::from_str(&text).map_err(|e| Error::RunFile {
            path: path.clone(),
            message: format!("not what a measurement begins with: {e}"),
        })?;
        let mut found: Vec<String> = differences(&begun.recipe, recipe)?.iter().map(ToString::to_string).collect();
        if begun.spread != spread {
            let said = |spread| if spread { "of all sizes" } else { "within the budget" };
            let (was, is) = (said(begun.spread), said(spread));
            found.push(format!("its networks are {was}, here they are {is}"));
        }
        match found.is_empty() {
            true => Ok(()),
            false => Err(Error::Mismatch(format!(
                "the measurement in {} was begun with other settings: {}; name another folder for these",
                folder.display(),
                found.join("; ")
            ))),
        }
    }

    /// Begins a measurement in `folder`, or goes on with the one that is there.
    ///
    /// # Errors
    /// As [`MeasurementFolder::check`]; another process works there; the folder cannot be written.
    pub(super) fn open(folder: &Path, recipe: &Recipe, spread: bool, holder: &Holder) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let lock = RunLock::acquire(folder, holder)?;
        // Again under the lock.
        Self::check(folder, recipe, spread)?;
        run_store::atomic::clean_stale_temps(folder)?;
        let begun = Begun { spread, recipe: recipe.clone() };
        let path = folder.join(BEGUN);
        if !path.exists() {
            run_store::atomic::write_json(&path, &begun)?;
        }
        let hash = run_store::hash::bytes(recipe.to_toml()?);
        Ok(Self { paths: RunPaths::new(folder), hash, _lock: lock })
    }

    pub(super) fn paths(&self) -> &RunPaths {
        &self.paths
    }

    /// Hash of the recipe.
    pub(super) fn hash(&self) -> &str {
        &self.hash
    }

    /// The file of scores.
    pub(super) fn scores(&self) -> PathBuf {
        self.paths.root().join(SCORES)
    }

    pub(super) fn rows(&self) -> Result<Vec<Row>> {
        record::read(&self.scores())
    }

    /// Whether the networks of the file are those that are drawn now.
    ///
    /// # Errors
    /// The first one that is not: the program draws in another way than the one that began.
    pub(super) fn check_networks(&self, rows: &[Row], drawn: &[Drawn]) -> Result<()> {
        for row in rows {
            if let Row::Network { network, architecture, .. } = row
                && let Some(drawn) = drawn.get(*network as usize)
                && drawn.label != *architecture
            {
                let message = format!(
                    "network {network} is {architecture}, and {} is drawn now: begin anew in another folder",
                    drawn.label
                );
                return Err(Error::RunFile { path: self.scores(), message });
            }
        }
        Ok(())
    }
}
