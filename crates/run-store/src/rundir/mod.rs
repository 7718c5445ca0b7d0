//! The layout of a run folder, and who may start or resume it.
//!
//! ```text
//! runs/NAME/
//!   recipe.toml          the effective recipe, written once
//!   run.json             versions, seed, device, machine, start and end
//!   log.jsonl            events, one JSON object a line
//!   study.sqlite         every trial
//!   lock.json            who works here
//!   teacher/ supernet/   checkpoints of the trainings, and of others that a run has
//!   student/             the result: a model directory
//!   report.html
//! ```
//!
//! Whatever is stored inside names other files relative to the folder, so a run folder can be moved.

mod folder;
mod paths;

pub use folder::RunFolder;
pub use paths::{RECIPE, RunPaths};
