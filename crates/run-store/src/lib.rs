//! What a long run needs to survive: randomness that is never stored, files that are never half
//! written, checkpoints with checksums, an event log whose last line may be torn.
//!
//! | module | concern |
//! |---|---|
//! | [`rng`] | random streams named by (seed, purpose, counters) |
//! | [`atomic`] | replacing a file as a whole or not at all |
//! | [`output`] | writing to a path that a person names: links are followed, pipes and devices written through |
//! | [`folder`] | writing a folder of files as a whole |
//! | [`hash`] | SHA-256 of bytes and files |
//! | [`checkpoint`] | folders whose manifest is written last; the newest that verifies wins |
//! | [`log`] | append-only JSON lines |
//! | [`lock`] | one process per run folder |
//! | [`rundir`] | the layout of a run folder, and who may start or resume it |
//! | [`contain`] | foreign code whose panics are errors of its input |
//! | [`shown`] | values of the user as messages show them |
//! | [`similar`] | which of the names that there are was meant |
//!
//! The crate prints nothing and reads neither the environment nor the clock: host names and times
//! are handed in. Every create, write, fsync and rename goes through one private module, so that a
//! crash or a refusal can be injected at each of them (`failpoints`, a feature of the same name).

#![cfg_attr(target_family = "wasm", allow(unused_imports, clippy::drop_non_drop, reason = "there are no files"))]
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

pub mod atomic;
pub mod checkpoint;
pub mod contain;
mod error;
#[cfg(any(test, feature = "failpoints"))]
pub mod failpoints;
pub mod folder;
pub mod hash;
pub mod lock;
pub mod log;
mod ops;
pub mod output;
mod relative;
pub mod rng;
pub mod rundir;
pub mod shown;
pub mod similar;

pub use error::{Error, Operation, Result};
