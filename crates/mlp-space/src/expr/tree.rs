//! The expression tree.

use std::fmt;

use super::ops::{Binary, LinearId, Unary, WeightSlot};
use crate::error::Error;

/// Deepest nesting an [`Expression`] may have. The search space stops at 7; the limit keeps every recursion bounded.
pub const MAX_DEPTH: usize = 64;

/// One node of an expression.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    /// The feed-forward's input `x`.
    Input,
    /// An activation.
    Unary(Unary, Box<Node>),
    /// An element-wise operator.
    Binary(Binary, Box<Node>, Box<Node>),
    /// `input W + b` with the weights of one slot.
    Linear {
        /// Stack count and ratio, the same for both linear maps of a valid expression.
        id: LinearId,
        /// Which weights are applied.
        weights: WeightSlot,
        /// What they are applied to.
        input: Box<Node>,
    },
}

impl Node {
    /// An activation of `input`.
    pub fn unary(op: Unary, input: Self) -> Self {
        Self::Unary(op, Box::new(input))
    }

    /// An element-wise operator of `a` and `b`.
    pub fn binary(op: Binary, a: Self, b: Self) -> Self {
        Self::Binary(op, Box::new(a), Box::new(b))
    }

    /// A linear map of `input`.
    pub fn linear(id: LinearId, weights: WeightSlot, input: Self) -> Self {
        Self::Linear { id, weights, input: Box::new(input) }
    }

    /// The operands that are expressions (weights are not), left to right.
    pub fn children(&self) -> impl DoubleEndedIterator<Item = &Self> {
        let (a, b): (Option<&Self>, Option<&Self>) = match self {
            Self::Input => (None, None),
            Self::Unary(_, a) | Self::Linear { input: a, .. } => (Some(a), None),
            Self::Binary(_, a, b) => (Some(a), Some(b)),
        };
        a.into_iter().chain(b)
    }

    /// Whether the text form of the node has no comma, that is only activations around `x`.
    pub(crate) fn is_simple(&self) -> bool {
        match self {
            Self::Input => true,
            Self::Unary(_, a) => a.is_simple(),
            Self::Binary(..) | Self::Linear { .. } => false,
        }
    }

    /// Height with weights counted as leaves: 0 for `x`, at least 1 for a linear map.
    pub(crate) fn height(&self) -> usize {
        self.children().map(|c| c.height() + 1).max().unwrap_or(0)
    }

    fn within_depth(&self, left: usize) -> bool {
        self.children().all(|c| left > 0 && c.within_depth(left - 1))
    }

    fn set_id(&mut self, new: LinearId) {
        match self {
            Self::Input => {}
            Self::Unary(_, a) => a.set_id(new),
            Self::Binary(_, a, b) => {
                a.set_id(new);
                b.set_id(new);
            }
            Self::Linear { id, input, .. } => {
                *id = new;
                input.set_id(new);
            }
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input => f.write_str("x"),
            Self::Unary(op, a) => write!(f, "{op}({a})"),
            Self::Binary(op, a, b) => write!(f, "{op}({a},{b})"),
            Self::Linear { id, weights, input } => write!(f, "linear{id}({input},{weights})"),
        }
    }
}

/// A feed-forward expression `f(x; W1, b1, W2, b2)`, for example `linear2_2(gelu(linear2_2(max(x,tanh(x)),wb1)),wb2)`.
///
/// The text form is the one EfficientBERT's released code prints, without spaces. Any well-typed tree is an expression;
/// [`Expression::validate`] says whether it belongs to the search space. It serializes as its text form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Expression {
    root: Node,
}

impl Expression {
    /// Wraps a tree.
    ///
    /// # Errors
    /// [`Error::TooDeep`] when it is nested deeper than [`MAX_DEPTH`].
    pub fn new(root: Node) -> Result<Self, Error> {
        if root.within_depth(MAX_DEPTH) { Ok(Self { root }) } else { Err(Error::TooDeep { limit: MAX_DEPTH }) }
    }

    /// The plain feed-forward `linear(activation(linear(x,wb1)),wb2)`.
    pub fn plain(id: LinearId, activation: Unary) -> Self {
        let first = Node::linear(id, WeightSlot::First, Node::Input);
        Self { root: Node::linear(id, WeightSlot::Second, Node::unary(activation, first)) }
    }

    /// The root node.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// All nodes, parents before children, left to right.
    pub fn iter(&self) -> impl Iterator<Item = &Node> {
        let mut stack = vec![&self.root];
        std::iter::from_fn(move || {
            let node = stack.pop()?;
            stack.extend(node.children().rev());
            Some(node)
        })
    }

    /// The id of the first linear map in [`Expression::iter`] order; both have the same in a valid expression.
    /// `None` without a linear map.
    pub fn id(&self) -> Option<LinearId> {
        self.iter().find_map(|node| match node {
            Node::Linear { id, .. } => Some(*id),
            _ => None,
        })
    }

    /// The same operators with stack count and ratio `id`.
    #[must_use]
    pub fn with_id(&self, id: LinearId) -> Self {
        let mut root = self.root.clone();
        root.set_id(id);
        Self { root }
    }

    /// Height of the tree as DEAP counts it: a leaf (`x`, `wb1`, `wb2`) has 0, so the plain feed-forward has 3.
    pub fn height(&self) -> usize {
        self.root.height()
    }

    /// Inner width `floor(base / r)`, or `None` without a linear map.
    pub fn inner_size(&self, base: usize) -> Option<usize> {
        self.id().map(|id| id.inner_size(base))
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.fmt(f)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({})", self.root)
    }
}

impl serde::Serialize for Expression {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Expression {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_visited_parents_first_and_left_to_right() {
        let e: Expression = "add(gelu(x),linear1_2(max(x,tanh(x)),wb1))".parse().unwrap();
        let seen: Vec<String> = e.iter().map(ToString::to_string).collect();
        assert_eq!(
            seen,
            [
                "add(gelu(x),linear1_2(max(x,tanh(x)),wb1))",
                "gelu(x)",
                "x",
                "linear1_2(max(x,tanh(x)),wb1)",
                "max(x,tanh(x))",
                "x",
                "tanh(x)",
                "x"
            ]
        );
    }

    #[test]
    fn changing_the_id_changes_both_linear_maps_and_nothing_else() {
        let e: Expression = "mul(tanh(x),linear2_3(leaky_relu(linear2_3(x,wb1)),wb2))".parse().unwrap();
        let changed = e.with_id(LinearId::new(4, 1).unwrap());
        assert_eq!(changed.to_string(), "mul(tanh(x),linear4_1(leaky_relu(linear4_1(x,wb1)),wb2))");
        assert_eq!(changed.inner_size(540), Some(540));
    }

    #[test]
    fn the_plain_feed_forward_has_height_three() {
        assert_eq!(Expression::plain(LinearId::LARGEST, Unary::Gelu).height(), 3);
        assert_eq!("x".parse::<Expression>().unwrap().height(), 0);
    }

    #[test]
    fn a_tree_deeper_than_the_limit_is_refused() {
        let nest = |n| (0..n).fold(Node::Input, |node, _| Node::unary(Unary::Relu, node));
        assert!(Expression::new(nest(MAX_DEPTH)).is_ok());
        assert_eq!(Expression::new(nest(MAX_DEPTH + 1)), Err(Error::TooDeep { limit: MAX_DEPTH }));
    }

    #[test]
    fn expressions_serialize_as_text() {
        let e = Expression::plain(LinearId::LARGEST, Unary::Gelu);
        let json = serde_json::to_string(&e).unwrap();
        assert_eq!(json, "\"linear4_1(gelu(linear4_1(x,wb1)),wb2)\"");
        assert_eq!(serde_json::from_str::<Expression>(&json).unwrap(), e);
        assert!(serde_json::from_str::<Expression>("\"gelu(\"").is_err());
    }
}
