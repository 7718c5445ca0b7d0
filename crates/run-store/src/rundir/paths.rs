//! Where things lie in a run folder.

use std::path::{Component, Path, PathBuf};

use crate::error::Result;
use crate::{lock, relative};

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

    /// `teacher/`: checkpoints of the teacher's fine-tuning.
    #[must_use]
    pub fn teacher(&self) -> PathBuf {
        self.root.join("teacher")
    }

    /// `supernet/`: checkpoints of the weight-sharing network.
    #[must_use]
    pub fn supernet(&self) -> PathBuf {
        self.root.join("supernet")
    }

    /// `stage-N/`: the work of search stage `stage` (1, 2 or 3).
    #[must_use]
    pub fn stage(&self, stage: u32) -> PathBuf {
        self.root.join(format!("stage-{stage}"))
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

    /// The path of `name`, a relative, `/`-separated path as stored inside the run.
    ///
    /// # Errors
    /// [`Error::BadName`](crate::Error::BadName) for a name that is absolute or could leave the
    /// folder.
    pub fn resolve(&self, name: &str) -> Result<PathBuf> {
        relative::join(&self.root, name)
    }

    /// `path` as it is stored inside the run: relative to the folder, `/`-separated. `None` when it
    /// does not lie inside, or is not Unicode. Paths are compared as written, not looked up.
    #[must_use]
    pub fn relative(&self, path: &Path) -> Option<String> {
        let inside = path.strip_prefix(&self.root).ok()?;
        let parts = inside.components().map(|part| match part {
            Component::Normal(part) => part.to_str(),
            _ => None,
        });
        let name = parts.collect::<Option<Vec<_>>>()?.join("/");
        relative::fault(&name).is_none().then_some(name)
    }
}
