//! The step loop: evaluation, checkpoints, resume, early stop, divergence.
//!
//! | file | concern |
//! |---|---|
//! | `config` | settings of one training |
//! | `devices` | one device, or several that share the steps |
//! | `job` | what is trained: loss and evaluation |
//! | `loss_scale` | the factor of the loss where gradients are in `f16` |
//! | `micro_batch` | the micro-batches in which a step is taken |
//! | `state` | what a checkpoint holds |
//! | `step` | one step: losses, gradients, update |
//! | `terms` | the loss of a step, term by term |
//! | `run` | the loop |

mod config;
mod devices;
mod job;
mod loss_scale;
mod micro_batch;
mod run;
mod state;
mod step;
mod terms;

pub use fused_ops::Precision;

pub use config::{NotFinite, QuantizationAware, TrainConfig};
pub use devices::Devices;
pub use job::{Evaluated, Evaluation, Job, Monitor, Silent, StepReport, TrainEvent, Watch};
pub use micro_batch::{Cut, MicroBatch};
pub use run::{Stage, Trained, train, train_stage};
pub(crate) use state::{MEMORY, MODEL, OPTIMIZER};
pub use state::{Reached, keep_result, reached};
pub(crate) use step::loss_and_gradients;
pub use terms::LossTerms;
