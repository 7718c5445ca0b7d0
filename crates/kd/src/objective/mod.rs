//! Which teacher layer teaches which student layer, as data.

mod layer_map;
mod terms;

pub use layer_map::{Feature, LayerMap, LayerMatch, MatchLoss, Shape};
pub use terms::{LossTerms, layer_terms};
