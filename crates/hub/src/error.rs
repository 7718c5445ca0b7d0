//! The one error type of the crate.

use std::path::PathBuf;

use data_catalog::readable_bytes;

/// Shorthand for a result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between a name and a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that no repository has.
    #[error("`{given}`: {reason}")]
    Name {
        /// The name as given.
        given: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The hub knows no such repository, or shows it to nobody without a token.
    #[error("{endpoint} has no {what} `{name}`, or does not show it{}", if *token { " to the owner of this token" } else { " without a token" })]
    NoRepository {
        /// The hub.
        endpoint: String,
        /// `model` or `data set`.
        what: &'static str,
        /// Its name.
        name: String,
        /// Whether a token was sent.
        token: bool,
    },
    /// The repository has no such branch, tag or commit.
    #[error("`{name}` has no revision `{revision}`")]
    NoRevision {
        /// The repository.
        name: String,
        /// Branch, tag or commit.
        revision: String,
    },
    /// The repository has no such file.
    #[error("`{name}` has no file `{file}` at revision `{revision}`")]
    NoFile {
        /// The repository.
        name: String,
        /// The file.
        file: String,
        /// Branch, tag or commit.
        revision: String,
    },
    /// The repository is given to those who have accepted its conditions.
    #[error("`{name}` is gated: its owners give it to those who ask on {page}{}", if *token { "; the owner of this token has no access" } else { "" })]
    Gated {
        /// The repository.
        name: String,
        /// Its page.
        page: String,
        /// Whether a token was sent.
        token: bool,
    },
    /// The token is not valid.
    #[error("{endpoint} does not accept the access token (status {status})")]
    Token {
        /// The hub.
        endpoint: String,
        /// The HTTP status.
        status: u16,
    },
    /// Only the cache may be used, and it does not have what is asked for.
    #[error("offline, and {} does not hold {what}", cache.display())]
    Offline {
        /// The folder of the cache.
        cache: PathBuf,
        /// What is asked for.
        what: String,
    },
    /// The hub could not be reached.
    #[error("{url}: {reason}{}", kept_bytes(*.kept))]
    Unreachable {
        /// The address.
        url: String,
        /// What happened last.
        reason: String,
        /// Bytes that are here and will not be fetched again.
        kept: u64,
    },
    /// The hub answers what cannot be, or what is not safe to use.
    #[error("{url}: {reason}; nothing was placed")]
    Answer {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The repository holds no model that could be read.
    #[error("`{name}` at revision `{revision}`: {reason}")]
    NoModel {
        /// The repository.
        name: String,
        /// Branch, tag or commit.
        revision: String,
        /// What is missing.
        reason: String,
    },
    /// The index of several weight files cannot be used.
    #[error(transparent)]
    Index(#[from] model_dir::Error),
    /// A download failed.
    #[error(transparent)]
    Download(data_catalog::Error),
    /// The operating system refused.
    #[error("{}: {doing}: {source}{}", path.display(), advice(source))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// An error of the layer that writes files.
    #[error(transparent)]
    Storage(#[from] run_store::Error),
    /// The caller asked to stop.
    #[error("stopped while `{file}` of `{name}` was downloaded{}", kept_bytes(*.kept))]
    Stopped {
        /// The repository.
        name: String,
        /// The file.
        file: String,
        /// Bytes that are here.
        kept: u64,
    },
}

impl Error {
    /// Attaches a path and a purpose to an I/O error.
    pub(crate) fn io(path: impl Into<PathBuf>, doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, doing, source }
    }

    /// An error of the layer that downloads, without its advice on catalogs of data sets.
    pub(crate) fn of_download(error: data_catalog::Error) -> Self {
        match error {
            data_catalog::Error::Unreachable { url, reason, kept, .. } => Self::Unreachable { url, reason, kept },
            data_catalog::Error::WrongContent { url, reason } => Self::Answer { url, reason },
            data_catalog::Error::Io { path, doing, source } => Self::Io { path, doing, source },
            data_catalog::Error::Storage(error) => Self::Storage(error),
            other => Self::Download(other),
        }
    }
}

fn kept_bytes(kept: u64) -> String {
    match kept {
        0 => String::new(),
        _ => format!("; {} are kept, and the next call continues from there", readable_bytes(kept)),
    }
}

fn advice(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            "; free some space, or choose a cache on another disk; what is here already will not be fetched again"
        }
        std::io::ErrorKind::PermissionDenied => "; check the owner and mode of the cache, or choose another one",
        _ => "",
    }
}
