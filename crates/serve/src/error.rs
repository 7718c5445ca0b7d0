//! Why a server does not start.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of starting a server. What goes wrong with a request is answered to the client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A model directory cannot be served.
    #[error("model `{name}`: {cause}")]
    Model {
        /// Its name.
        name: String,
        /// Its directory.
        dir: PathBuf,
        /// Why not.
        #[source]
        cause: Box<predict::Error>,
    },
    /// Settings that make no sense.
    #[error("{0}")]
    Settings(String),
    /// No token, or one that a header cannot hold.
    #[error("the token must be one line of visible ASCII characters, and is not")]
    Token,
    /// The address cannot be listened at.
    #[error("cannot listen at {address}: {cause}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
    /// The system gives no threads or signals.
    #[error("cannot start {what}: {cause}")]
    Start {
        /// What was to be started.
        what: &'static str,
        /// Why it was not.
        #[source]
        cause: std::io::Error,
    },
}
