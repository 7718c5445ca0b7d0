//! The one error type of the crate.

use std::path::PathBuf;

/// Shorthand for a result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between an address and a checked file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The manifest is not TOML, not of this shape, or says something that cannot be.
    #[error("{path}: {reason}")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// The line and column, or the data set; what is wrong there and what would be right.
        reason: String,
    },
    /// A name that is neither a data set nor a group.
    #[error("there is no data set or group `{given}`; sets: {sets}; groups: {groups}, all")]
    UnknownSet {
        /// The name as given.
        given: String,
        /// The data sets there are.
        sets: String,
        /// The groups there are.
        groups: String,
    },
    /// A data set that nobody distributes.
    #[error("`{set}` cannot be fetched: {reason}")]
    Unavailable {
        /// The data set.
        set: String,
        /// Why, and what to use instead.
        reason: String,
    },
    /// The operating system refused.
    #[error("{path}: {doing}: {source}{}", advice(source))]
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
    /// Another process is fetching the same file.
    #[error("{path}: another process is downloading this file; wait for it or stop it")]
    Busy {
        /// The partial file.
        path: PathBuf,
    },
    /// An address that cannot be used.
    #[error("{url}: {reason}")]
    Address {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A proxy that cannot be used.
    #[error("proxy `{given}`: {reason}")]
    Proxy {
        /// The proxy, without its password.
        given: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server could not be reached or answered badly, also after retries.
    #[error(
        "{url}: {reason}{}; {}\nwithout a way to this address: fetch the file elsewhere, put it into a folder under the name `{name}` and use `data fetch --from FOLDER`",
        tries(*.attempts), of_use(*.kept)
    )]
    Unreachable {
        /// The address.
        url: String,
        /// The name of the file.
        name: String,
        /// What happened last.
        reason: String,
        /// How often it was tried.
        attempts: u32,
        /// Bytes that are here and will not be fetched again.
        kept: u64,
    },
    /// The server sent another file than the manifest speaks of.
    #[error("{url}: {reason}; nothing was placed")]
    WrongContent {
        /// The address.
        url: String,
        /// What was expected and what came.
        reason: String,
    },
    /// A file given by hand is not the one that the manifest speaks of.
    #[error("{path}: {reason}; nothing was placed")]
    WrongFile {
        /// The file.
        path: PathBuf,
        /// What was expected and what is there.
        reason: String,
    },
    /// Every address failed.
    #[error("`{name}` could not be fetched from any of its {} addresses:{}", .causes.len(), causes.iter().map(|c| format!("\n- {c}")).collect::<String>())]
    AllFailed {
        /// The name of the file.
        name: String,
        /// One error per address.
        causes: Vec<Error>,
    },
    /// The archive is damaged or does not hold what it should.
    #[error("{path}: {reason}; nothing was placed from it")]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A split could not be made from the original files.
    #[error("{path}:{line}: {reason}; nothing was placed")]
    Build {
        /// The original file.
        path: PathBuf,
        /// The line.
        line: u64,
        /// What was expected and what is there.
        reason: String,
    },
    /// Something else stands where a file belongs.
    #[error("{path}: {reason}; it was left alone: move it away, or replace it with --force")]
    Occupied {
        /// The file.
        path: PathBuf,
        /// How it differs.
        reason: String,
    },
    /// The caller asked to stop.
    #[error("stopped; {} of `{name}` are kept, and the next fetch continues from there", readable_bytes(*.kept))]
    Stopped {
        /// The file that was being fetched.
        name: String,
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

    /// Whether another address could do better.
    pub(crate) fn is_of_address(&self) -> bool {
        matches!(
            self,
            Self::Address { .. } | Self::Unreachable { .. } | Self::WrongContent { .. } | Self::AllFailed { .. }
        )
    }
}

fn advice(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            "; free some space, or choose a folder on another disk; what is here already will not be fetched again"
        }
        std::io::ErrorKind::PermissionDenied => "; check the owner and mode of the folder, or choose another one",
        _ => "",
    }
}

fn tries(attempts: u32) -> String {
    if attempts > 1 { format!(" (tried {attempts} times)") } else { String::new() }
}

fn of_use(kept: u64) -> String {
    if kept == 0 {
        "nothing was placed".to_owned()
    } else {
        format!("{} are kept, and the next fetch continues from there", readable_bytes(kept))
    }
}

/// A number of bytes as a person reads it.
pub fn readable_bytes(count: u64) -> String {
    match count {
        0..10_000 => format!("{count} bytes"),
        10_000..1_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        1_000_000..10_000_000_000 => format!("{:.1} MB", count as f64 / 1e6),
        _ => format!("{:.1} GB", count as f64 / 1e9),
    }
}
