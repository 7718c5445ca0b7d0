//! Models and data files of the Hugging Face hub, in the cache that Python's libraries use.
//!
//! | file | concern |
//! |---|---|
//! | `id` | names of repositories and of files in them; what may be a path |
//! | `cache` | the layout of the cache: blobs, refs and snapshots |
//! | `files` | which files of a model are needed |
//! | `remote` | the questions to the hub, and what its statuses mean |
//! | `fetch` | a model or a file, from the cache or from the network |
//! | `error` | what can go wrong |
//!
//! Nothing here prints or reads the environment: see [`Settings`].
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod cache;
mod error;
mod fetch;
mod files;
mod id;
mod remote;

use std::path::PathBuf;

use data_catalog::net::Network;

pub use cache::repo_of_snapshot;
pub use data_catalog::download::{Event, Watch};
pub use error::{Error, Result};
pub use fetch::{Found, Hub};
pub use id::{Kind, RepoFile, RepoId};

/// The hub itself.
pub const ENDPOINT: &str = "https://huggingface.co";

/// Where things are, and who asks.
#[derive(Clone)]
pub struct Settings {
    /// The folder with `models--ORG--NAME` and its kin.
    pub cache: PathBuf,
    /// The address of the hub or of a mirror.
    pub endpoint: String,
    /// The user's access token. It is sent to the endpoint's server only.
    pub token: Option<String>,
    /// Whether only the cache may be used.
    pub offline: bool,
    /// How to reach the network.
    pub network: Network,
}

impl Settings {
    /// The hub itself, without a token.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        let network = Network::default();
        Self { cache: cache.into(), endpoint: ENDPOINT.to_owned(), token: None, offline: false, network }
    }
}
