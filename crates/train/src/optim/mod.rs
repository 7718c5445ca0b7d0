//! Optimizers, parameter groups, global-norm clipping, learning-rate schedules.
//!
//! | file | concern |
//! |---|---|
//! | `config` | which optimizer, with which numbers |
//! | `optimizer` | its state, and the update of a module |
//! | `rule` | the update of one parameter, in host memory or on a device |
//! | `muon` | the direction of Muon's updates |
//! | `groups` | parameters with a learning rate or decay of their own |
//! | `schedule` | the learning rate over the steps |
//! | `carried` | moments as a module of their own |
//! | `gradients` | the gradients of a module, their norm |
//! | `flat_param` | where the floats of a parameter lie |
//! | `written` | settings that are a name or a table |

mod carried;
mod config;
mod flat_param;
mod gradients;
mod groups;
mod muon;
mod optimizer;
mod rule;
mod schedule;
mod written;

pub use carried::{gradients_of, moments_of, state_of};
pub use config::{OptimizerConfig, OptimizerKind};
pub use gradients::Gradients;
pub use groups::{Gate, Group, check_groups, is_norm};
pub use optimizer::{Optimizer, Pace};
pub(crate) use rule::Rule;
pub use schedule::Schedule;
