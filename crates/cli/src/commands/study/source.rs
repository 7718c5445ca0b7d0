//! The study that a person names.

use std::path::{Path, PathBuf};

use nas::Error;
use nas::study::{SqliteStudy, StageRecord, StudyIdentity, StudyStore};
use pipeline::stage_title;
use run_store::rundir::{RECIPE, RunPaths};

use crate::error::CliError;
use crate::inputs::{must_exist, no_study, quoted};

/// A study as it stood at one moment.
pub struct Study {
    /// The SQLite file.
    pub path: PathBuf,
    /// Name, seed and settings.
    pub identity: StudyIdentity,
    /// The stages that have begun.
    pub stages: Vec<StageRecord>,
}

impl Study {
    /// Reads the study of the run folder or the file `run`.
    ///
    /// # Errors
    /// No study is there, or it cannot be read.
    pub fn read(run: &Path) -> Result<Self, CliError> {
        must_exist("RUN", [run])?;
        let path = file(run)?;
        let read = || -> nas::Result<Self> {
            let store = SqliteStudy::open_read_only(&path)?;
            Ok(Self { identity: store.identity().clone(), stages: store.read_stages()?, path: path.clone() })
        };
        read().map_err(explained)
    }

    /// The stages that were asked for, or all.
    ///
    /// # Errors
    /// One of them has not begun.
    pub fn only(&self, wanted: &[u32]) -> Result<Vec<StageRecord>, CliError> {
        if wanted.is_empty() {
            return Ok(self.stages.clone());
        }
        wanted.iter().map(|stage| self.stage(*stage).cloned()).collect()
    }

    /// A stage.
    ///
    /// # Errors
    /// It has not begun.
    pub fn stage(&self, wanted: u32) -> Result<&StageRecord, CliError> {
        let known: Vec<String> = self.stages.iter().map(|stage| stage.stage.to_string()).collect();
        let known = if known.is_empty() { "no stage has begun".into() } else { format!("it has {}", known.join(", ")) };
        let missing = || CliError::usage(format!("stage {wanted} is not in {}: {known}", self.path.display()));
        self.stages.iter().find(|stage| stage.stage == wanted).ok_or_else(missing)
    }

    /// The line above a table.
    pub fn heading(&self) -> String {
        format!("study {}, seed {} ({})\n", self.identity.name, self.identity.seed, self.path.display())
    }
}

/// What a stage does, where it is one of this program's searches.
pub fn title(stage: &StageRecord) -> &'static str {
    stage_title(stage.stage, stage.trials.first().map(|trial| trial.genome.as_str()))
}

/// The file of the study that `run` names.
fn file(run: &Path) -> Result<PathBuf, CliError> {
    if !run.is_dir() {
        return Ok(run.to_owned());
    }
    let study = RunPaths::new(run).study();
    if study.is_file() {
        return Ok(study);
    }
    if !run.join(RECIPE).is_file() {
        return Err(no_study(run));
    }
    let message = format!("{} has no study yet: its search has not begun", run.display());
    Err(CliError::usage(message).with_hint(format!("`efficientbert runs {}` says how far it is", quoted(run))))
}

/// An error of a study that the command line named.
fn explained(error: Error) -> CliError {
    let usage = matches!(error, Error::NotAStudy { .. } | Error::NotBegun(_) | Error::Missing(_));
    let error = CliError::from(error);
    if usage { error.into_usage() } else { error }
}
