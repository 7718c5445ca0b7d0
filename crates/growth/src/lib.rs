//! Growth of encoders: the weights, and the moments of the optimizer, of a model that is deeper or wider than the one they come from.
//!
//! A [`Plan`] says of every weight of the large model where its values come from. It is made of two configurations alone, so that
//! whatever cannot be grown is an error before a weight is read. [`Plan::apply`] then makes weights, first moments or second moments.
//! [`Plan::changes`] lists what makes the large model compute something else than the small one; an empty list means that it
//! computes the same. A [`Ligo`] begins as a plan does, and its matrices are then learned by gradients.
//!
//! | file | concern |
//! |---|---|
//! | `config` | the operators, as a recipe names them |
//! | `fit` | whether two configurations can be of one model that grows |
//! | `dims` | which axis of which weight goes along which width |
//! | `expansion` | which old channel each new one is a copy of |
//! | `layers` | which small layer each large one comes from; new layers that pass their input on |
//! | `programs` | what can be said of a feed-forward without its weights |
//! | `plan` | all of it, for every weight |
//! | `apply` | the values |
//! | `ligo` | growth whose matrices are learned |

/// The example of the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod apply;
mod config;
mod dims;
mod error;
mod expansion;
mod fit;
mod layers;
mod ligo;
mod plan;
mod programs;

pub use config::{Copies, Depth, Growth, HiddenWidth, NewLayers, Quantity};
pub use error::{Error, Result};
pub use ligo::{LayerWidths, Ligo, LigoConfig};
pub use plan::{Change, Plan, grow};
