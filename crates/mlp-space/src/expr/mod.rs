//! Expressions: the tree, its text form and its token form.

mod ops;
mod parse;
mod token;
mod tree;

pub use ops::{Binary, LinearId, Unary, WeightSlot};
pub use parse::MAX_LENGTH;
pub use token::{Token, subtree_end};
pub use tree::{Expression, MAX_DEPTH, Node};
