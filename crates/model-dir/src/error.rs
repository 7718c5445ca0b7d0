//! Everything that can go wrong in this crate, each with the place and the remedy.

use std::path::{Path, PathBuf};

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of reading and writing model directories.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted, e.g. "read".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// `config.json` is not JSON or a field has the wrong type or value.
    #[error("{}: {message}", path.display())]
    ConfigFile {
        /// The configuration file.
        path: PathBuf,
        /// Parser message with line and column, or the field at fault.
        message: String,
    },
    /// The weight file is cut off or otherwise not readable in its format.
    #[error("{}: not a readable {format} file: {message}", path.display())]
    WeightFile {
        /// The weight file.
        path: PathBuf,
        /// "safetensors", "PyTorch" or "index of weights".
        format: &'static str,
        /// What the reader said.
        message: String,
    },
    /// An index of weight files names one that is missing.
    #[error("{}: the weight file {} is missing", index.display(), shard.display())]
    MissingShard {
        /// The index.
        index: PathBuf,
        /// The file.
        shard: PathBuf,
    },
    /// An index of weight files names one that is not beside it.
    #[error("{}: `{shard}`, the file of tensor `{name}`, is outside of the folder of the index", index.display())]
    ShardOutside {
        /// The index.
        index: PathBuf,
        /// What it names.
        shard: String,
        /// The tensor.
        name: String,
    },
    /// A weight file lacks a tensor that the index says is in it.
    #[error("{}: tensor `{name}` is not in {}, where the index has it", index.display(), shard.display())]
    NotInShard {
        /// The index.
        index: PathBuf,
        /// The weight file.
        shard: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A weight file holds a tensor that the index does not have there.
    #[error("{}: tensor `{name}` is in {}, where the index does not have it", index.display(), shard.display())]
    NotInIndex {
        /// The index.
        index: PathBuf,
        /// The weight file.
        shard: PathBuf,
        /// The tensor.
        name: String,
    },
    /// Tensors that the model needs are not in the file.
    #[error("{}: {} missing: {}", path.display(), plural(names.len()), list(names))]
    MissingTensors {
        /// The weight file.
        path: PathBuf,
        /// External names of the missing tensors.
        names: Vec<String>,
    },
    /// The file holds tensors that the model has no place for.
    #[error("{}: {} the model has no place for: {}", path.display(), plural(names.len()), list(names))]
    ExtraTensors {
        /// The weight file.
        path: PathBuf,
        /// External names of the tensors left over.
        names: Vec<String>,
    },
    /// A tensor has another shape than the model's configuration asks for.
    #[error("{}: tensor `{name}` has shape {found:?}, the configuration asks for {expected:?}", path.display())]
    Shape {
        /// The weight file.
        path: PathBuf,
        /// External name.
        name: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape that the model needs.
        expected: Vec<usize>,
    },
    /// A copy of a tied weight differs from the weight it is tied to.
    #[error("{}: tensor `{name}` must equal `{tied_to}` (the model ties them), but differs", path.display())]
    Untied {
        /// The weight file.
        path: PathBuf,
        /// The copy.
        name: String,
        /// The original.
        tied_to: String,
    },
    /// A tensor holds a value that is not finite.
    #[error("{}: tensor `{name}` holds a value that is not finite", path.display())]
    NotFinite {
        /// The weight file.
        path: PathBuf,
        /// External name.
        name: String,
    },
    /// Weights and configuration that are to be saved together do not belong together.
    #[error("model and configuration disagree: the configuration asks for {expected}, the model has {found}")]
    Disagree {
        /// Tensor path and shape, or "nothing of that name".
        expected: String,
        /// Tensor path and shape, or "nothing of that name".
        found: String,
    },
    /// A piece that is kept has no row in the word table.
    #[error("piece {row} has no row in the word table, which has {rows} rows")]
    NoRow {
        /// Its id.
        row: usize,
        /// Rows of the table.
        rows: usize,
    },
    /// The configuration describes no encoder.
    #[error(transparent)]
    Spec(#[from] encoder_spec::Error),
    /// A durable write failed.
    #[error(transparent)]
    Durable(#[from] run_store::Error),
}

impl Error {
    /// An [`Error::ConfigFile`] for what is wrong with the configuration at `path`.
    pub fn config_file(path: &Path, reason: impl ToString) -> Self {
        Self::ConfigFile { path: path.to_path_buf(), message: reason.to_string() }
    }

    /// An [`Error::Io`] for `path`.
    pub fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_path_buf(), source }
    }
}

fn plural(n: usize) -> String {
    if n == 1 { "one tensor".into() } else { format!("{n} tensors") }
}

/// The first few names; a model with every name wrong must not fill the terminal.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 6;
    let mut text = names.iter().take(SHOWN).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(", and {} more", names.len() - SHOWN));
    }
    text
}
