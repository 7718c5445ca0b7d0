//! Where things lie in a run folder.

use std::path::{Path, PathBuf};

use crate::lock;

/// Name of the effective recipe; a folder that holds it holds a run.
pub const RECIPE: &str = "recipe.toml";

/// The paths of one run folder. Making the value touches no file and takes no lock, so it also
/// serves those who only look at a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunPaths {
    root: PathBuf,
}

impl RunPaths {
    /// The paths of the run folder `root`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `recipe.toml`: the effective recipe, all defaults written out.
    #[must_use]
    pub fn recipe(&self) -> PathBuf {
        self.root.join(RECIPE)
    }

    /// `run.json`: versions, git revision, seed, device, machine, start and end.
    #[must_use]
    pub fn run_json(&self) -> PathBuf {
        self.root.join("run.json")
    }

    /// `log.jsonl`: events; see [`crate::log`].
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.root.join("log.jsonl")
    }

    /// `study.sqlite`: every trial.
    #[must_use]
    pub fn study(&self) -> PathBuf {
        self.root.join("study.sqlite")
    }

    /// `lock.json`: who works here; see [`crate::lock`].
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.root.join(lock::LOCK)
    }

    /// `student/`: the result, a model directory.
    #[must_use]
    pub fn student(&self) -> PathBuf {
        self.root.join("student")
    }

    /// `report.html`: the self-contained report.
    #[must_use]
    pub fn report(&self) -> PathBuf {
        self.root.join("report.html")
    }
}
