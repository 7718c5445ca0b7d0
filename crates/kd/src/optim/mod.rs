//! AdamW, global-norm clipping, learning-rate schedule.

mod adamw;
mod gradients;
mod schedule;

pub use adamw::{AdamW, AdamWConfig};
pub use gradients::Gradients;
pub use schedule::linear_warmup_decay;
