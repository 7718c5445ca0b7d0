//! Questions and contexts as token windows.

mod batch;
mod config;
mod geometry;
mod set;

pub use batch::{SpanBatch, SpanLogits, SpanTargets};
pub use config::{AnswerlessWindows, WindowConfig};
pub use geometry::{ContextSpan, max_context_window, sliding_windows};
pub use set::{TrainingIssue, Trouble, Window, WindowSet};
