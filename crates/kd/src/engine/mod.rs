//! The step loop: evaluation, checkpoints, resume, early stop, divergence.
//!
//! | file | concern |
//! |---|---|
//! | `config` | settings of one training |
//! | `devices` | one device, or several that share the steps |
//! | `job` | what is trained: loss and evaluation |
//! | `part` | the parts in which a step is taken |
//! | `precision` | number format of matrix products |
//! | `state` | what a checkpoint holds |
//! | `run` | the loop |

mod config;
mod devices;
mod job;
mod part;
mod precision;
mod run;
mod state;

pub use config::{NotFinite, TrainConfig, default};
pub use devices::Devices;
pub use job::{Evaluation, Job, Monitor, Silent, StepReport, TrainEvent};
pub use part::{Cut, Part};
pub use precision::Precision;
pub use run::{Trained, train};
pub use state::{Reached, reached};
