//! Model directories: what users carry away, and what every command reads.

mod config;
mod error;
mod mapped;
mod place;
mod tensors;

pub use config::{read_config, write_config};
pub use error::{Error, Result};
pub use place::{Shapes, resolve, resolve_unread};
pub use tensors::{Tensors, to_f32};
