//! HTTP as downloads need it. Everything about the machine is handed in: proxies, certificates, time limits.

mod address;
mod ask;
mod client;
mod proxy;

use std::path::PathBuf;
use std::time::Duration;

pub use ask::{Headers, Reply};
pub use client::Client;
pub(crate) use client::{Answer, Failure, Range};
pub use proxy::Proxies;

/// How to reach the network.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Which proxy for which address.
    pub proxies: Proxies,
    /// A file of PEM certificates to trust instead of the compiled-in ones; for networks whose proxy reads along.
    pub certificates: Option<PathBuf>,
    /// What the server is told of the program. Some servers refuse requests that do not say.
    pub user_agent: String,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for the next bytes.
    pub idle_timeout: Duration,
    /// Attempts in a row that may fail before an address is given up; those that brought much do not count.
    pub attempts: u32,
    /// The wait after the first failure; it doubles with each further one.
    pub first_wait: Duration,
    /// The longest wait between two attempts, also where a server asks for a longer one.
    pub longest_wait: Duration,
}

impl Default for Network {
    /// No proxy; 20 s to connect, 60 s between bytes, 5 attempts, waits of 1 to 30 s.
    fn default() -> Self {
        Self {
            proxies: Proxies::default(),
            certificates: None,
            user_agent: concat!("efficientbert/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(60),
            attempts: 5,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(30),
        }
    }
}
