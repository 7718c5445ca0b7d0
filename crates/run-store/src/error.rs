//! The error of this crate: what failed, on which path, what that means, what to do.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::lock::Holder;

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What was being done to a path when the operating system refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Creating a file or a folder.
    Create,
    /// Writing the new content of a file, beside the target.
    Write,
    /// Writing to a pipe, a device or an open descriptor.
    WriteThrough,
    /// Forcing written content to the disk (fsync).
    Sync,
    /// Putting finished content in place under its final name.
    Rename,
    /// Forcing a folder's entries to the disk.
    SyncFolder,
    /// Opening or reading a file.
    Read,
    /// Listing a folder.
    List,
    /// Deleting a file or a folder.
    Remove,
    /// Appending a line to a log.
    Append,
    /// Cutting a torn line off a log.
    Repair,
    /// Locking a run folder.
    Lock,
}

impl Operation {
    /// The verb of a message, and what a failure leaves behind.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Create => ("create", "nothing was replaced"),
            Self::Write => ("write", "nothing was replaced"),
            Self::WriteThrough => ("write to", "some of it may have arrived"),
            Self::Sync => ("flush to disk", "nothing was replaced"),
            Self::Rename => ("rename into place", "nothing was replaced"),
            Self::SyncFolder => {
                ("flush to disk the folder", "the new content is in place but may not survive a power loss")
            }
            Self::Read => ("read", "nothing was changed"),
            Self::List => ("list the folder", "nothing was changed"),
            Self::Remove => ("remove", "some of it may remain"),
            Self::Append => ("append to", "the earlier lines are intact, this one was not recorded"),
            Self::Repair => ("cut the torn last line off", "the torn last line remains and readers skip it"),
            Self::Lock => ("lock", "the run was not started"),
        }
    }
}

/// Everything that can go wrong in this crate.
///
/// The text includes the operating system's own words, so printing the error alone is enough;
/// `source()` is therefore empty and the cause is a public field.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused; the kind of `cause` says whether for want of space or permission.
    #[error("{}", refusal(*operation, path, cause))]
    Io {
        /// What was being done.
        operation: Operation,
        /// The file or folder concerned.
        path: PathBuf,
        /// The operating system's answer.
        cause: io::Error,
    },
    /// A value could not be turned into JSON.
    #[error("cannot write {} as JSON: {cause}", path.display())]
    Encode {
        /// The file it was meant for.
        path: PathBuf,
        /// serde's answer.
        cause: serde_json::Error,
    },
    /// A name inside a checkpoint is not a plain relative path.
    #[error(
        "`{name}` cannot name a file inside {}: {reason}; use a relative path such as `model.safetensors` or `optim/adam.bin`",
        folder.display()
    )]
    BadName {
        /// The folder it was meant to be in.
        folder: PathBuf,
        /// The name as given.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A checkpoint's content is not what its manifest says.
    #[error(
        "checkpoint {} is damaged: {reason}; use an earlier step, or delete that folder to have it made again",
        path.display()
    )]
    Damaged {
        /// The checkpoint folder.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// A checkpoint was written in a format that this version does not know.
    #[error(
        "checkpoint {} has format {found}, this program reads up to {known}: update the program",
        path.display()
    )]
    UnknownFormat {
        /// The checkpoint folder.
        path: PathBuf,
        /// The format number in the manifest.
        found: u64,
        /// The newest format this version reads.
        known: u64,
    },
    /// A checkpoint belongs to a run with other settings.
    #[error(
        "checkpoint {} was made with config hash {found}, this run has {expected}: resume with the recipe it was made with, or start anew in another --out folder",
        path.display()
    )]
    ConfigMismatch {
        /// The checkpoint folder.
        path: PathBuf,
        /// The hash of the present run.
        expected: String,
        /// The hash in the manifest.
        found: String,
    },
    /// No checkpoint of the wanted step exists.
    #[error("{} holds no checkpoint of step {step}", dir.display())]
    NoCheckpoint {
        /// The store's folder.
        dir: PathBuf,
        /// The step asked for.
        step: u64,
    },
    /// Another process works in the run folder.
    #[error(
        "{} is in use by {}: wait for it, stop it, or choose another --out folder",
        folder.display(), describe(holder.as_ref())
    )]
    Locked {
        /// The run folder.
        folder: PathBuf,
        /// Who holds it, where the lock file could be read.
        holder: Option<Holder>,
    },
    /// A new run was to start in a folder that already holds one.
    #[error("{} already holds a run: continue it with --resume, or choose another --out folder", path.display())]
    RunExists {
        /// The folder.
        path: PathBuf,
    },
    /// A new run was to start among other files.
    #[error(
        "{} is not empty and holds no run (it contains `{found}`): choose another --out folder; nothing was changed",
        path.display()
    )]
    NotEmpty {
        /// The folder.
        path: PathBuf,
        /// One of the entries found there.
        found: String,
    },
    /// There is nothing to resume.
    #[error("{} holds no run to resume (no {}): start it without --resume", path.display(), crate::rundir::RECIPE)]
    NoRun {
        /// The folder.
        path: PathBuf,
    },
    /// A run was to be resumed with another recipe.
    #[error(
        "{} was started with another recipe: line {line} of its {} differs; resume with that recipe, or start anew in another \
         --out folder",
        path.display(), crate::rundir::RECIPE
    )]
    RecipeDiffers {
        /// The run folder.
        path: PathBuf,
        /// The first differing line, from 1.
        line: usize,
        /// The recipe of the run.
        recorded: String,
    },
}

impl Error {
    pub(crate) fn io(operation: Operation, path: impl Into<PathBuf>, cause: io::Error) -> Self {
        Self::Io { operation, path: path.into(), cause }
    }
}

/// A refusal of the operating system with what the user can do about it.
fn refusal(operation: Operation, path: &Path, cause: &io::Error) -> String {
    let ((verb, consequence), path) = (operation.words(), path.display());
    match cause.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => format!(
            "no space left to {verb} {path}; {consequence}: free some space on that disk or choose a folder on another one, then \
             run again ({cause})"
        ),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => format!(
            "no permission to {verb} {path}; {consequence}: check the owner and mode of the file and its folder, or choose another \
             folder ({cause})"
        ),
        _ => format!("cannot {verb} {path}; {consequence}: {cause}"),
    }
}

fn describe(holder: Option<&Holder>) -> String {
    match holder {
        Some(holder) => holder.to_string(),
        None => "another process (its lock file cannot be read)".to_owned(),
    }
}
