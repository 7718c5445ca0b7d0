//! Packed operands.
//!
//! | file | concern |
//! |---|---|
//! | `weights` | the right operand, packed once or for one product |
//! | `input` | the left operand, packed for each product |
//! | `packing` | a whole operand in pieces, on all threads |

mod input;
mod packing;
mod weights;

pub use input::Input;
pub(super) use packing::Packing;
pub use weights::{OneUse, ScaledColumns, Weights};
