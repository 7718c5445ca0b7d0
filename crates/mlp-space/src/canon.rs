//! A canonical form under the algebra of `add`, `mul` and `max`.
//!
//! Nested uses of one operator are flattened, their operands brought to canonical form, sorted (and, under `max`, freed of
//! repetitions), and joined again as a balanced tree. All three operators are commutative and associative also where
//! operands are cut to the narrowest width, so the function stays the same; only the order of floating-point rounding
//! changes, and it changes to the same order for all expressions that differ by these laws alone.

use crate::expr::{Binary, Expression, Node};

/// The canonical form of an expression's tree. It may be somewhat deeper than the original.
pub fn canonical(expression: &Expression) -> Node {
    node(expression.root())
}

fn node(original: &Node) -> Node {
    match original {
        Node::Input => Node::Input,
        Node::Unary(op, a) => Node::unary(*op, node(a)),
        Node::Linear { id, weights, input } => Node::linear(*id, *weights, node(input)),
        Node::Binary(op, ..) => {
            let mut operands = Vec::new();
            collect(*op, original, &mut operands);
            operands.sort();
            if *op == Binary::Max {
                operands.dedup();
            }
            join(*op, &operands)
        }
    }
}

/// Appends the canonical operands of a run of `op`. A canonical operand never is a use of `op` itself unless the run was
/// reduced to one operand, which the caller's own run then splits.
fn collect(op: Binary, original: &Node, operands: &mut Vec<Node>) {
    match original {
        Node::Binary(inner, a, b) if *inner == op => {
            collect(op, a, operands);
            collect(op, b, operands);
        }
        // `max(a, a)` reduces to `a`, which may continue the run: `add(max(add(x,y),add(x,y)), z)`.
        Node::Binary(..) => match node(original) {
            reduced @ Node::Binary(inner, ..) if inner == op => flatten(op, reduced, operands),
            reduced => operands.push(reduced),
        },
        _ => operands.push(node(original)),
    }
}

fn flatten(op: Binary, canonical: Node, operands: &mut Vec<Node>) {
    match canonical {
        Node::Binary(inner, a, b) if inner == op => {
            flatten(op, *a, operands);
            flatten(op, *b, operands);
        }
        other => operands.push(other),
    }
}

fn join(op: Binary, operands: &[Node]) -> Node {
    match operands {
        // A run has operands; `x` stands for the impossible empty case.
        [] => Node::Input,
        [one] => one.clone(),
        many => {
            let (left, right) = many.split_at(many.len() / 2);
            Node::binary(op, join(op, left), join(op, right))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let e: Expression = text.parse().unwrap();
        assert_eq!(canonical(&e).to_string(), expected, "{text}");
        let again = Expression::new(canonical(&e)).unwrap();
        assert_eq!(canonical(&again).to_string(), expected, "{text}: not a fixed point");
    }

    #[test]
    fn order_and_nesting_of_one_operator_disappear() {
        check("add(tanh(x),x)", "add(x,tanh(x))");
        check("add(add(tanh(x),x),gelu(x))", "add(x,add(gelu(x),tanh(x)))");
        check("add(gelu(x),add(x,tanh(x)))", "add(x,add(gelu(x),tanh(x)))");
        check("mul(x,add(x,tanh(x)))", "mul(x,add(x,tanh(x)))");
    }

    #[test]
    fn repetition_disappears_under_max_only() {
        check("max(x,max(tanh(x),x))", "max(x,tanh(x))");
        check("relu(max(add(x,tanh(x)),add(tanh(x),x)))", "relu(add(x,tanh(x)))");
        check("add(max(add(x,tanh(x)),add(tanh(x),x)),gelu(x))", "add(x,add(gelu(x),tanh(x)))");
        check("add(x,x)", "add(x,x)");
    }
}
