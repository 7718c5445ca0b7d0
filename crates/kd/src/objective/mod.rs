//! What a student learns from its teacher, as data.
//!
//! | file | concern |
//! |---|---|
//! | `settings` | [`Objective`]: the section `[distill]` of a recipe or a file |
//! | `preset` | published objectives by name |
//! | `layer_match` | one comparison of two layers, checked against both models |
//! | `feature` | what can be compared, and how |
//! | `prediction` | the term between logits |
//! | `mlm` | the term between masked words |
//! | `schedule` | weights and temperatures that change with the step |
//! | `plan` | an objective bound to two models and a number of steps |
//! | `terms` | from two encoder outputs to loss terms |

mod feature;
mod layer_match;
mod mlm;
mod plan;
mod prediction;
mod preset;
mod schedule;
mod settings;
mod terms;

pub use feature::{Feature, MatchLoss};
pub use layer_match::{LayerMatch, Shape};
pub use mlm::{Mlm, MlmTerm};
pub use plan::{Plan, StepPlan};
pub use prediction::{Prediction, PredictionLoss, PredictionTerm, RegressionTarget};
pub use preset::{Preset, Source};
pub use schedule::{Point, Schedule};
pub use settings::Objective;
