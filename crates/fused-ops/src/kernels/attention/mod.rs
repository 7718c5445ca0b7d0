//! Multi-head attention on heads that lie side by side: no transposed copies.
//!
//! Heads are columns `[h d, (h + 1) d)` of queries, keys and values, read where they are. Each batch element is one task
//! of the thread pool, so its scores, probabilities and context stay in a core's cache.

mod backward;
pub(crate) mod block;
mod forward;
mod heads;
mod ragged;

pub(crate) use backward::Saved;
pub(crate) use forward::{Attended, Outputs, forward};
pub(crate) use heads::Heads;
pub(crate) use ragged::RaggedAttention;
pub use ragged::{Ragged, TextRows};
