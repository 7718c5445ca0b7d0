//! Batches for a trainer: their order, their content, and threads that make them ahead.

mod batches;
mod plan;
mod prefetch;

pub use batches::{Batch, IGNORED, Loader, LoaderSettings};
pub use plan::WindowPlan;
pub use prefetch::{Prefetch, Prefetched};
