//! Models over HTTP: the routes of text-embeddings-inference, OpenAI's embeddings, KServe v2, and routes for entities and questions.
//!
//! ```text
//! connection -> frame (id, token) -> route -> room in the queue, or 429
//!   -> tokenizing thread -> queue -> computing thread (ragged batch) -> answer
//! ```
//!
//! | module | concern |
//! |---|---|
//! | `settings` | [`Settings`], [`Limits`], [`Threads`] |
//! | `server` | [`Server`]: start, reload, stop |
//! | `models` | models by name, replaced by a reload |
//! | `engine` | from texts to values: threads and the queue between them |
//! | `http` | connections and routes |
//! | `failure` | why a request is refused, and by which status |
//! | `event` | [`Event`]: what the program writes into its log |
//! | `metrics` | numbers for Prometheus |
//!
//! The crate prints nothing; its threads are those of [`Server::start`], and end with [`Server::wait`].

/// The example of the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod engine;
mod error;
mod event;
mod failure;
mod http;
mod metrics;
mod models;
mod server;
mod settings;

pub use error::{Error, Result};
pub use event::{Event, Events, RequestEvent};
pub use server::{Handle, Server};
pub use settings::{Limits, ModelSource, Settings, Threads, Token};
