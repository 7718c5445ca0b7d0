//! Tasks of one's own: a description in a file or in options, and examples in tables.
//!
//! | file | concern |
//! |---|---|
//! | `file` | the description, as TOML and as part of recipes, and the task that is made of it |
//! | `describe` | what the description leaves open, found in the training file |
//! | `class_weights` | how much an example of each class counts |
//! | `cell` | cells of a table as texts and labels |
//! | `read` | the examples of a split |
//! | `part` | a dev part of the training rows, stratified |
//! | `tags` | texts of words with a tag for each |
//! | `predictions` | predictions as a table |

mod cell;
mod class_weights;
mod describe;
mod file;
mod part;
mod predictions;
mod read;
mod tags;

pub use class_weights::{Balanced, ClassWeights};
pub use describe::Described;
pub(super) use file::Home;
pub use file::{Kind, OwnTask};
pub use predictions::render_predictions;
pub use tags::render_tags;
