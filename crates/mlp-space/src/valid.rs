//! The rules of the search space.
//!
//! They are EfficientBERT's (`check_individual` of the released code). Its rule "contains x" needs no check here: every
//! leaf of a typed tree that is not a weight is `x`.

use crate::expr::{Binary, Expression, LinearId, Node, Unary, WeightSlot};

/// Allowed heights of an expression, both inclusive; see [`Expression::height`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heights {
    /// Smallest allowed height.
    pub min: usize,
    /// Largest allowed height.
    pub max: usize,
}

impl Default for Heights {
    /// The released search: 3 to 7.
    fn default() -> Self {
        Self { min: 3, max: 7 }
    }
}

/// The rule an expression breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The tree is too low or too high.
    #[error("height {height} is outside {min} to {max}")]
    Height {
        /// Height of the expression.
        height: usize,
        /// Smallest allowed height.
        min: usize,
        /// Largest allowed height.
        max: usize,
    },
    /// A weight is used never or more than once.
    #[error("{slot} is used {count} times; it must be used exactly once")]
    WeightCount {
        /// The weight.
        slot: WeightSlot,
        /// How often it is used.
        count: usize,
    },
    /// `wb2` stands before `wb1`.
    #[error("wb2 stands before wb1; the first linear map must come first in the text")]
    WeightOrder,
    /// An activation is applied directly to an activation.
    #[error("activation {inner} directly inside activation {outer}; put an operator or a linear map between them")]
    NestedActivation {
        /// The outer activation.
        outer: Unary,
        /// The inner activation.
        inner: Unary,
    },
    /// A linear map is applied directly to a linear map.
    #[error("linear{inner} directly inside linear{outer}; put an activation or an operator between them")]
    NestedLinear {
        /// Id of the outer linear map.
        outer: LinearId,
        /// Id of the inner linear map.
        inner: LinearId,
    },
    /// The two linear maps have different ids.
    #[error("linear{first} and linear{second} in one expression; both linear maps must have the same id")]
    MixedIds {
        /// The id that stands first in the text.
        first: LinearId,
        /// The other id.
        second: LinearId,
    },
    /// An operator is applied to two equal simple operands.
    #[error("{op} of {operand} and itself; the operands must differ")]
    EqualOperands {
        /// The operator.
        op: Binary,
        /// Text of the operand.
        operand: String,
    },
    /// A width of the student cannot carry the expression.
    #[error("inner width floor({base}/{ratio}) is 0; use a base width of at least {ratio}")]
    NoInnerWidth {
        /// Base width.
        base: usize,
        /// Ratio divisor.
        ratio: u8,
    },
    /// A linear map meets an input of another width than its weights have rows.
    #[error("{slot} takes {expected} channels but its input has {found} (hidden width {hidden}, base width {base})")]
    LinearInput {
        /// The weight.
        slot: WeightSlot,
        /// Rows of the weight.
        expected: usize,
        /// Width of its input.
        found: usize,
        /// Hidden width.
        hidden: usize,
        /// Base width.
        base: usize,
    },
    /// The result cannot be added to the residual.
    #[error("the result has {found} channels; the residual needs {hidden}")]
    Output {
        /// Hidden width.
        hidden: usize,
        /// Width of the result.
        found: usize,
    },
}

impl Expression {
    /// Whether the expression belongs to the search space with heights 3 to 7.
    ///
    /// # Errors
    /// The first rule it breaks, in the order of [`Invalid`]'s variants.
    pub fn validate(&self) -> Result<(), Invalid> {
        self.validate_within(Heights::default())
    }

    /// [`Expression::validate`] with other heights.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn validate_within(&self, heights: Heights) -> Result<(), Invalid> {
        let height = self.height();
        if height < heights.min || height > heights.max {
            return Err(Invalid::Height { height, min: heights.min, max: heights.max });
        }
        self.check_weights()?;
        if slots_in_text_order(self.root()) != [WeightSlot::First, WeightSlot::Second] {
            return Err(Invalid::WeightOrder);
        }
        self.iter().try_for_each(check_node)
    }

    /// Whether a feed-forward can be built at all: each weight used once and one id. Weaker than
    /// [`Expression::validate`], for architectures written by hand.
    ///
    /// # Errors
    /// [`Invalid::WeightCount`] or [`Invalid::MixedIds`].
    pub fn check_weights(&self) -> Result<LinearId, Invalid> {
        let mut ids = Vec::new();
        let mut counts = [0, 0];
        for node in self.iter() {
            if let Node::Linear { id, weights, .. } = node {
                ids.push(*id);
                counts[usize::from(*weights == WeightSlot::Second)] += 1;
            }
        }
        for (slot, count) in [WeightSlot::First, WeightSlot::Second].into_iter().zip(counts) {
            if count != 1 {
                return Err(Invalid::WeightCount { slot, count });
            }
        }
        match ids[..] {
            [first, second] if first != second => Err(Invalid::MixedIds { first, second }),
            // Two entries, one per slot: the counts above say so.
            _ => Ok(ids[0]),
        }
    }
}

/// The weights in the order of the text, where a linear map's weight stands after its input.
fn slots_in_text_order(node: &Node) -> Vec<WeightSlot> {
    let mut slots: Vec<WeightSlot> = node.children().flat_map(slots_in_text_order).collect();
    if let Node::Linear { weights, .. } = node {
        slots.push(*weights);
    }
    slots
}

fn check_node(node: &Node) -> Result<(), Invalid> {
    match node {
        Node::Unary(outer, a) => match **a {
            Node::Unary(inner, _) => Err(Invalid::NestedActivation { outer: *outer, inner }),
            _ => Ok(()),
        },
        Node::Linear { id: outer, input, .. } => match **input {
            Node::Linear { id: inner, .. } => Err(Invalid::NestedLinear { outer: *outer, inner }),
            _ => Ok(()),
        },
        Node::Binary(op, a, b) if a.is_simple() && a == b => {
            Err(Invalid::EqualOperands { op: *op, operand: a.to_string() })
        }
        Node::Binary(..) | Node::Input => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(), &str>) {
        let e: Expression = text.parse().unwrap();
        assert_eq!(e.validate().map_err(|e| e.to_string()), expected.map_err(ToOwned::to_owned), "{text}");
    }

    #[test]
    fn each_rule_is_reported_by_its_own_message() {
        check("linear1_1(x,wb1)", Err("height 1 is outside 3 to 7"));
        check("gelu(add(x,gelu(x)))", Err("wb1 is used 0 times; it must be used exactly once"));
        check(
            "add(linear1_1(x,wb1),linear1_1(gelu(linear1_1(x,wb1)),wb2))",
            Err("wb1 is used 2 times; it must be used exactly once"),
        );
        check(
            "linear1_1(gelu(linear1_1(x,wb2)),wb1)",
            Err("wb2 stands before wb1; the first linear map must come first in the text"),
        );
        check(
            "linear1_1(gelu(tanh(linear1_1(x,wb1))),wb2)",
            Err("activation tanh directly inside activation gelu; put an operator or a linear map between them"),
        );
        check(
            "gelu(linear1_1(linear1_1(x,wb1),wb2))",
            Err("linear1_1 directly inside linear1_1; put an activation or an operator between them"),
        );
        check(
            "linear1_1(gelu(linear1_2(x,wb1)),wb2)",
            Err("linear1_1 and linear1_2 in one expression; both linear maps must have the same id"),
        );
        check("linear1_1(gelu(linear1_1(max(x,x),wb1)),wb2)", Err("max of x and itself; the operands must differ"));
        check(
            "linear1_1(gelu(linear1_1(mul(tanh(x),tanh(x)),wb1)),wb2)",
            Err("mul of tanh(x) and itself; the operands must differ"),
        );
    }

    #[test]
    fn the_height_bounds_are_inclusive() {
        check("linear1_1(gelu(linear1_1(x,wb1)),wb2)", Ok(()));
        check("gelu(add(x,linear1_1(gelu(linear1_1(mul(x,gelu(x)),wb1)),wb2)))", Ok(()));
        check(
            "gelu(add(x,linear1_1(gelu(linear1_1(mul(x,gelu(add(x,tanh(x)))),wb1)),wb2)))",
            Err("height 9 is outside 3 to 7"),
        );
    }

    #[test]
    fn operators_before_between_and_after_the_linear_maps_are_valid() {
        check("swish(linear3_3(gelu(add(linear3_3(x,wb1),x)),wb2))", Ok(()));
        check("add(x,linear1_4(elu(linear1_4(sigmoid(x),wb1)),wb2))", Ok(()));
        check("mul(tanh(x),linear2_3(leaky_relu(linear2_3(x,wb1)),wb2))", Ok(()));
    }

    #[test]
    fn equal_operands_are_allowed_when_they_are_not_simple_as_in_the_reference() {
        check("linear1_1(gelu(linear1_1(add(add(x,tanh(x)),add(x,tanh(x))),wb1)),wb2)", Ok(()));
    }

    #[test]
    fn parallel_linear_maps_are_valid_in_text_order_only() {
        check("gelu(add(linear1_1(x,wb1),linear1_1(x,wb2)))", Ok(()));
        check(
            "gelu(add(linear1_1(x,wb2),linear1_1(x,wb1)))",
            Err("wb2 stands before wb1; the first linear map must come first in the text"),
        );
    }
}
