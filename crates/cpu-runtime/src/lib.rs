//! Inference of BERT-family encoders on processors.
//!
//! An encoder with its weights ([`Encoder<MappedTensor>`](encoder_spec::Encoder)) is compiled once for a number format ([`Model`]): products
//! of the same input are fused, activations move into the products, every other operation becomes part of a pass over
//! rows, and weights are packed for the machine's instructions. A [`Session`] runs models: it owns the threads and all
//! buffers, so a run allocates nothing after the first of its size. Batches are ragged ([`Batch`]): sequences stand one
//! after the other, and nothing is computed for padding.
//!
//! | file | concern |
//! |---|---|
//! | `program` | the steps that a compiled model consists of |
//! | `compile/` | from an encoder to steps and packed weights |
//! | `table` | embedding tables in the model's number format |
//! | `parts` | what a pass consists of, and how long each part takes |
//! | `batch` | token sequences, and the way from padded batches |
//! | `plan` | which worker computes what, and the buffers |
//! | `run` | a session, and what a worker does in each step |
//! | `rows` | the operations on rows |
//! | `team` | persistent threads with barriers |

/// The example of the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod batch;
mod buffer;
mod compile;
mod error;
mod parts;
mod plan;
mod program;
mod rows;
mod run;
mod table;
mod team;

pub use batch::{Batch, Ragged};
pub use compile::{Model, Packing};
pub use encoder_spec::Precision;
pub use error::Error;
pub use parts::{Lap, Part, parts};
pub use run::{Output, Outputs, Session};
pub use team::{Team, Worker};
