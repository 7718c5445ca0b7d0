//! The step loop: evaluation, checkpoints, resume, divergence.
//!
//! | file | concern |
//! |---|---|
//! | `config` | settings of one training |
//! | `job` | what is trained: loss and evaluation |
//! | `precision` | number format of matrix products |
//! | `state` | what a checkpoint holds |
//! | `run` | the loop |

mod config;
mod job;
mod precision;
mod run;
mod state;

pub use config::TrainConfig;
pub use job::{Evaluation, Job, Monitor, Silent, StepReport, TrainEvent};
pub use precision::Precision;
pub use run::{Trained, train};
