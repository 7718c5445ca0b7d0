//! Padded batches and their order.

mod collate;
mod plan;

pub use collate::{EncodedBatch, Labels};
pub use plan::{BatchPlan, EvalPlan};
