//! Pre-training by masked language modeling, on texts without padding, with or without token dropping.
//!
//! | file | concern |
//! |---|---|
//! | `job` | the loss of a step |
//! | `counts` | how often each id stands in a text |
//! | `growing` | a training in stages, between which the encoder grows (Gu et al. 2021) |
//! | `learned` | how the encoder grows is learned (Wang et al. 2023) |
//! | `dropping` | which tokens the middle layers keep (Hou et al. 2022) |

mod counts;
mod dropping;
mod growing;
mod job;
mod learned;

pub use counts::id_counts;
pub use dropping::{DropBy, DropSettings, SpecialIds, TokenDropping};
pub use growing::{Growing, GrowthRecipe, GrowthStage, PlannedStage, Pooling, StageMoments};
pub use job::{MaskedLanguageModeling, Pool};
