//! What a server tells its program, which writes logs.

use std::net::SocketAddr;
use std::path::Path;

use serde::Serialize;

/// Something that happened, as a line of a log holds it.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// A model was read, at the start or by a reload.
    Loaded {
        /// Its name.
        model: &'a str,
        /// Its directory.
        dir: &'a Path,
        /// Tasks of its heads.
        heads: Vec<&'a str>,
        /// Bytes of weights and tables in memory.
        bytes: usize,
        /// Whether it takes the place of one that was served before.
        reload: bool,
    },
    /// What a person should know about a model.
    Note {
        /// The model's name.
        model: &'a str,
        /// What it is.
        message: &'a str,
    },
    /// A reload failed; the model that was served before still is.
    ReloadFailed {
        /// The model's name.
        model: &'a str,
        /// Its directory.
        dir: &'a Path,
        /// Why.
        message: &'a str,
    },
    /// The server accepts connections.
    Listening {
        /// Where.
        address: SocketAddr,
    },
    /// A request was answered.
    Request(&'a RequestEvent),
    /// The server was told to stop; requests that it has are answered.
    Stopping,
    /// Connections that did not end in time were cut.
    Cut {
        /// How many.
        connections: usize,
    },
    /// All is answered and closed.
    Stopped,
    /// A part of the server failed, and goes on.
    Failed {
        /// What and why.
        message: &'a str,
    },
}

/// A request and its answer.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RequestEvent {
    /// `x-request-id` of both.
    pub id: String,
    /// The method.
    pub method: String,
    /// The path, without its query.
    pub path: String,
    /// The status of the answer.
    pub status: u16,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The model that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Texts of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub texts: Option<usize>,
    /// Their tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<usize>,
    /// From texts to tokens, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenization_us: Option<u64>,
    /// From there to the first batch, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_us: Option<u64>,
    /// From there to the last value, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inference_us: Option<u64>,
    /// From the head of the request to that of the answer, in microseconds.
    pub total_us: u64,
}

/// Where events go. Called from the server's threads, so it should not take long.
pub type Events = std::sync::Arc<dyn Fn(&Event<'_>) + Send + Sync>;
